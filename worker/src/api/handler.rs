//! What executes runs: a handler for each kind.

use async_trait::async_trait;
use serde_json::Value;

use crate::api::{context::RunContext, failure::HandlerError};

/// Executes the runs of one kind.
///
/// The worker calls a handler for several runs at the same time. It drops the handler's future, at any await, when the grant is
/// lost, or when the handler has not stopped within the grace of a cancel. So a handler must release on drop everything that must not
/// outlive the run. The worker can not abort a handler that blocks its thread; use `tokio::task::spawn_blocking` for such work.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Executes one attempt of one run, and returns its result: any JSON value of up to 1 MiB.
    async fn run(&self, ctx: RunContext) -> Result<Value, HandlerError>;
}
