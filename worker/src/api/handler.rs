//! What executes runs: a handler for each kind.

use async_trait::async_trait;
use serde_json::Value;

use crate::api::{context::RunContext, failure::HandlerError};

/// Executes the runs of one kind.
///
/// A handler is called for several runs at the same time. Its future is dropped at any await when the grant is lost, or when
/// the handler has not stopped within the grace of a cancel: what must not outlive the run has to be released on drop.
/// A handler that blocks its thread can not be aborted; use `tokio::task::spawn_blocking` for such work.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Executes one attempt of one run, and returns its result: any JSON value of up to 1 MiB.
    async fn run(&self, ctx: RunContext) -> Result<Value, HandlerError>;
}
