//! A run belongs to the trace of its enqueue, and its workers get the traceparent.

use std::sync::{Arc, Mutex};

use proto::v1::*;
use serde_json::Value;
use tonic::{Request, Status};

use crate::support::{Fixture, Handle, LiveWorker, Stream, Unary, failed, in_time, reason, spec};

const CALL: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const RUN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// A call in a trace.
fn traced<T>(message: T, traceparent: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("it can be sent"));
    request
}

async fn enqueue(fixture: &Fixture, run: RunSpec, traceparent: &str) -> Result<Run, Status> {
    let request = traced(EnqueueRunRequest { run: Some(run) }, traceparent);
    Ok(fixture.runs().enqueue_run(request).await?.into_inner().run.expect("it is answered"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_the_trace_of_its_call_or_its_own_and_each_worker_gets_it() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let own = |spec: RunSpec| RunSpec { traceparent: RUN.into(), max_attempts: Some(2), ..spec };
    let first = enqueue(&fixture, spec(&session, "any"), CALL).await.expect("it is enqueued");
    assert_eq!(first.traceparent, CALL, "the traceparent of the call");
    let runs = vec![own(spec(&session, "twice")), spec(&session, "any")];
    let request = traced(EnqueueRunsRequest { runs }, CALL);
    let ids = fixture.runs().enqueue_runs(request).await.expect("they are enqueued").into_inner().run_ids;
    let plain = fixture.enqueue(&session, "any").await;
    assert_eq!(plain.traceparent, "", "no traceparent");
    for (id, expected) in [(&first.id, CALL), (&ids[0], RUN), (&ids[1], CALL), (&plain.id, "")] {
        assert_eq!(fixture.get(id).await.traceparent, expected);
    }

    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let given = stream.assignment().await;
    assert_eq!(given.run.expect("it is named").id, first.id);
    assert_eq!(given.traceparent, CALL);
    let mut unary = Unary::new(&fixture.servers[0], "by-hand");
    // Both attempts of the run with its own trace get the same traceparent.
    for attempt in 1..=2 {
        let twice = ClaimRequest { kinds: vec!["twice".into()], ..Default::default() };
        let claimed = unary.claim(twice).await.expect("it claims").remove(0);
        let run = claimed.run.expect("it is named");
        assert_eq!((&run.id, run.attempt), (&ids[0], attempt));
        assert_eq!((claimed.traceparent.as_str(), run.traceparent.as_str()), (RUN, RUN));
        let lease = Lease { run_id: run.id, fence: claimed.fence };
        unary.report(&lease, failed("again")).await.expect("it is reported");
    }
    let rest = ClaimRequest { kinds: vec!["any".into()], max_runs: 9, ..Default::default() };
    let rest = unary.claim(rest).await.expect("it claims");
    let got: Vec<_> = rest.iter().map(|it| it.traceparent.as_str()).collect();
    assert_eq!(got, [CALL, ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_trace_is_ignored_in_metadata_and_refused_in_a_run() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
    for wrong in [zeros, "00-0af7", "nonsense", &CALL.to_uppercase(), &format!("{CALL}-more")] {
        let run = enqueue(&fixture, spec(&session, "any"), wrong).await.expect("it is enqueued");
        assert_eq!(run.traceparent, "", "{wrong}");
        let run = RunSpec { traceparent: wrong.into(), ..spec(&session, "any") };
        let refused = enqueue(&fixture, run, CALL).await.expect_err("no traceparent");
        assert_eq!(reason(&refused), "INVALID_FIELD");
        assert!(refused.message().contains("run.traceparent"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_may_come_in_another_trace_and_gets_the_first_run() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let run = || RunSpec { request_id: "once".into(), ..spec(&session, "any") };
    let first = enqueue(&fixture, run(), CALL).await.expect("it is enqueued");
    let again = enqueue(&fixture, run(), RUN).await.expect("it is the same request");
    assert_eq!((again.id, again.traceparent.as_str()), (first.id, CALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_gets_the_traceparent_of_its_run() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let got: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let seen = got.clone();
    let handle = Handle::new(move |context| {
        let seen = seen.clone();
        async move {
            seen.lock().expect("not poisoned").push(context.traceparent().map(ToOwned::to_owned));
            Ok(Value::Null)
        }
    });
    let worker = LiveWorker::start(&[&fixture.servers[0]], 1, "traced", &handle);
    let run = enqueue(&fixture, spec(&session, "traced"), CALL).await.expect("it is enqueued");
    in_time("the traced run", fixture.ended(&run.id)).await;
    fixture.ended(&fixture.enqueue(&session, "traced").await.id).await;
    worker.stop().await;
    assert_eq!(*got.lock().expect("not poisoned"), [Some(CALL.to_owned()), None]);
}
