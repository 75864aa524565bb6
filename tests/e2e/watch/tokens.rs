//! The tokens from which a watch resumes.

use engine::domain::token;
use proto::v1::*;
use serde_json::Value;

use crate::support::{Fixture, Server, Stream, Watcher, in_time, reason, succeeded};

/// The refusal of this token with this filter.
async fn refused(server: &Server, resume_token: &str, filter: Option<RunFilter>) -> tonic::Status {
    let request = WatchRunsRequest { resume_token: resume_token.to_owned(), filter, ..Default::default() };
    let called = in_time("the answer of a watch", server.runs().watch_runs(request)).await;
    match called {
        Err(status) => status,
        Ok(stream) => {
            let first = in_time("a message", stream.into_inner().message()).await;
            first.expect_err("the token is not taken")
        }
    }
}

/// A token with another content and the right checksum.
fn edited(token: &str, edit: impl FnOnce(&mut Value)) -> String {
    let bytes = token::open(token).expect("it is a token");
    let mut value: Value = serde_json::from_slice(&bytes).expect("JSON");
    edit(&mut value);
    token::seal(value.to_string().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_resumes_at_another_replica_without_a_gap() {
    let fixture = Fixture::with(2, |_| {}).await;
    let session = fixture.session().await;
    let seen = fixture.enqueue(&session, "any").await;
    let mut first = Watcher::all(&fixture.servers[0]).await;
    let token = first.bookmark().await;
    drop(first);
    let missed = fixture.enqueue_many(&session, "any", 1_500).await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    assert_eq!(lease.run_id, seen.id);
    assert_eq!(stream.finish(&lease, succeeded("1")).await, "");

    for server in &fixture.servers {
        let mut second = Watcher::resume(server, &token).await.expect("the token is good");
        second.until(|runs| missed.iter().all(|id| runs.contains_key(id))).await;
        second.sees(&seen.id, RunStatus::Succeeded).await;
        let next = fixture.enqueue(&session, "any").await;
        second.sees(&next.id, RunStatus::Queued).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_after_a_change_does_not_repeat_it() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut first = Watcher::all(&fixture.servers[0]).await;
    let old = fixture.enqueue(&session, "any").await;
    first.sees(&old.id, RunStatus::Queued).await;
    let token = first.bookmark().await;
    let mut second = Watcher::resume(&fixture.servers[0], &token).await.expect("the token is good");
    let new = fixture.enqueue(&session, "any").await;
    second.sees(&new.id, RunStatus::Queued).await;
    assert!(!second.runs.contains_key(&old.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_or_foreign_token_is_refused() {
    let (fixture, other) = (Fixture::new().await, Fixture::new().await);
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    let token = watcher.bookmark().await;
    let foreign = Watcher::all(&other.servers[0]).await.bookmark().await;
    let forged = [
        "rubbish".to_owned(),
        "e30".to_owned(),
        foreign,
        token[..token.len() - 3].to_owned(),
        edited(&token, |value| value["s"] = "1:2:'; DROP TABLE ops.runs; --".into()),
        edited(&token, |value| value["s"] = "9:2:".into()),
        edited(&token, |value| value["v"] = 99.into()),
        edited(&token, |value| value["at"] = "2999-01-01T00:00:00Z".into()),
    ];
    for forged in &forged {
        let refused = refused(&fixture.servers[0], forged, None).await;
        let answer = (refused.code(), reason(&refused));
        assert_eq!(answer, (tonic::Code::InvalidArgument, "RESUME_TOKEN_INVALID".into()), "{forged}");
    }
    let filter = Some(RunFilter { kinds: vec!["other".into()], ..Default::default() });
    let refused = refused(&fixture.servers[0], &token, filter).await;
    assert_eq!(reason(&refused), "RESUME_TOKEN_INVALID", "a token is bound to its filter");
    Watcher::resume(&fixture.servers[0], &token).await.expect("the token itself is good").bookmark().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_too_old_or_of_another_timeline_is_out_of_range() {
    let fixture = Fixture::new().await;
    let mut watcher = Watcher::all(&fixture.servers[0]).await;
    let token = watcher.bookmark().await;
    let old = edited(&token, |value| value["at"] = "2020-01-01T00:00:00Z".into());
    let promoted = edited(&token, |value| value["tl"] = 99.into());
    for token in [old, promoted] {
        let refused = refused(&fixture.servers[0], &token, None).await;
        assert_eq!((refused.code(), reason(&refused)), (tonic::Code::OutOfRange, "REVISION_COMPACTED".into()));
    }
}
