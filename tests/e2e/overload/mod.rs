//! A server refuses calls over its limits with a time to retry. Workers come first.

use proto::v1::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Fixture, Stream, reason};

mod bytes;
mod calls;
mod readers;
mod reads;

/// A worker that has started a run.
async fn busy(fixture: &Fixture, session: &str) -> (Stream, Lease) {
    fixture.enqueue(session, "any").await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    stream.credit(1);
    let lease = stream.begin().await;
    fixture.running(&lease.run_id).await;
    (stream, lease)
}

/// The refusal has its reason, and says when to retry.
fn assert_overloaded(refused: &Status) {
    assert_eq!((refused.code(), reason(refused)), (Code::ResourceExhausted, "OVERLOADED".into()));
    let retry = refused.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{refused:?}");
}
