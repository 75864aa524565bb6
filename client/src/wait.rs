//! Waiting for the end of a run.

use std::time::Duration;

use proto::v1::{Run, RunStatus, WaitRunRequest};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::{Client, RetryBudget};

/// The longest wait of one call, so that a connection that hangs is noticed.
const CALL_WAIT: Duration = Duration::from_secs(30);
/// A server answers a wait in time. A call that takes longer than its wait and this will not be answered.
const SLACK: Duration = Duration::from_secs(5);

impl Client {
    /// The run once it has ended, or nothing if that takes longer than `limit`. Lost connections are retried within the budget.
    ///
    /// # Errors
    /// A retry can not help, or the budget is spent.
    pub async fn wait_run(
        &self,
        run_id: &str,
        limit: Option<Duration>,
        mut budget: RetryBudget,
    ) -> Result<Option<Run>, Status> {
        // The clock can not count some limits; such a limit is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let wait = deadline
                .map_or(CALL_WAIT, |deadline| deadline.saturating_duration_since(Instant::now()).min(CALL_WAIT));
            let wait_timeout = prost_types::Duration {
                seconds: wait.as_secs().cast_signed(),
                nanos: wait.subsec_nanos().cast_signed(),
            };
            let request = WaitRunRequest { run_id: run_id.to_owned(), wait_timeout: Some(wait_timeout) };
            let answer = timeout(wait + SLACK, self.runs().wait_run(request)).await;
            match answer.unwrap_or_else(|_| Err(Status::unavailable("the server does not answer"))) {
                Ok(answer) => {
                    budget.renew();
                    let run = answer.into_inner().run.unwrap_or_default();
                    if has_ended(&run) {
                        return Ok(Some(run));
                    }
                }
                Err(status) => budget.wait(status).await?,
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
        }
    }
}

/// Whether a run has succeeded, failed, or been cancelled.
#[must_use]
pub fn has_ended(run: &Run) -> bool {
    match run.status() {
        RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => true,
        RunStatus::Unspecified | RunStatus::Queued | RunStatus::Claimed | RunStatus::Running => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    async fn outcome(waits: Vec<Result<Run, Status>>, limit: Option<Duration>) -> Result<Option<Run>, Status> {
        let (_fake, client, _task) = Fake::of_waits(waits).serve().await;
        client.wait_run("0190", limit, RetryBudget::new(Duration::from_secs(60))).await
    }

    fn run(status: RunStatus) -> Result<Run, Status> {
        Ok(Run { status: status.into(), ..Run::default() })
    }

    #[tokio::test]
    async fn a_wait_survives_a_server_that_is_away_for_a_while() {
        let waits = vec![run(RunStatus::Running), Err(Status::unavailable("gone")), run(RunStatus::Failed)];
        assert_eq!(outcome(waits, None).await.unwrap().unwrap().status(), RunStatus::Failed);
    }

    #[tokio::test]
    async fn a_wait_for_a_run_that_does_not_exist_fails_at_once() {
        let error = outcome(vec![Err(Status::not_found("no such run"))], None).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::NotFound);
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_limit() {
        assert_eq!(outcome(vec![run(RunStatus::Queued)], Some(Duration::ZERO)).await.unwrap(), None);
    }
}
