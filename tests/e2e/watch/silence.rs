//! Streams on which nothing happens say something, so that no proxy ends them as idle.

use proto::v1::*;

use crate::support::{Fixture, Stream, in_time};

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_of_a_run_that_logs_nothing_says_something_and_can_be_resumed_from_it() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    stream.log(&lease, 1, &["first".to_owned()]);
    let tail = async |resume_token: String| {
        let request = TailRunEventsRequest { run_id: run.id.clone(), resume_token, ..Default::default() };
        fixture.runs().tail_run_events(request).await.expect("the run is there").into_inner()
    };
    let mut tailed = tail(String::new()).await;
    let first = in_time("the first event", tailed.message()).await.expect("it lives").expect("it goes on");
    assert_eq!(first.events.len(), 1);
    let nothing = in_time("something", tailed.message()).await.expect("it lives").expect("it goes on");
    assert_eq!((nothing.events.len(), &nothing.resume_token), (0, &first.resume_token));
    stream.log(&lease, 2, &["second".to_owned()]);
    let mut resumed = tail(nothing.resume_token).await;
    for tail in [&mut tailed, &mut resumed] {
        let second = in_time("the second event", tail.message()).await.expect("it lives").expect("it goes on");
        assert_eq!(second.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2]);
    }
}
