//! Waiting for the end of a run.

use std::time::Duration;

use anyhow::Result;
use proto::v1::{Run, WaitRunRequest, run_service_client::RunServiceClient};
use tokio::time::{Instant, timeout};
use tonic::{Status, transport::Channel};

use crate::{errors::TimedOut, exit::Exit, patience::Patience};

/// One call waits this long at the most, so that a connection which hangs is noticed.
const ROUND: Duration = Duration::from_secs(30);
/// The server answers a wait in time; after this, it does not answer at all.
const SLACK: Duration = Duration::from_secs(5);

/// The run once it has ended. A server that goes away meanwhile is borne for a while; after `limit` it gives up.
pub(crate) async fn until_ended(
    mut client: RunServiceClient<Channel>,
    run_id: &str,
    limit: Option<Duration>,
) -> Result<Run> {
    // A limit beyond what the clock can count is none.
    let deadline = limit.and_then(|limit| Some((limit, Instant::now().checked_add(limit)?)));
    let mut patience = Patience::default();
    loop {
        let wait = deadline.map_or(ROUND, |(_, end)| end.saturating_duration_since(Instant::now()).min(ROUND));
        let request = WaitRunRequest { run_id: run_id.to_owned(), wait_timeout: Some(wait.try_into()?) };
        let answer = timeout(wait + SLACK, client.wait_run(request)).await;
        match answer.unwrap_or_else(|_| Err(Status::unavailable("the server does not answer"))) {
            Ok(answer) => {
                patience.renew();
                let run = answer.into_inner().run.unwrap_or_default();
                if Exit::of_run(&run).is_some() {
                    return Ok(run);
                }
            }
            Err(status) => patience.bear(status).await?,
        }
        if let Some((limit, end)) = deadline
            && Instant::now() >= end
        {
            return Err(TimedOut { run_id: run_id.to_owned(), limit }.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proto::v1::RunStatus;

    use super::*;
    use crate::fake::Fake;

    async fn outcome(waits: Vec<Result<Run, Status>>, limit: Option<Duration>) -> Result<Run> {
        let fake = Fake { waits: VecDeque::from(waits).into(), ..Fake::default() };
        let (_fake, client, _task) = fake.serve().await;
        until_ended(client.runs, "0190", limit).await
    }

    fn run(status: RunStatus) -> Result<Run, Status> {
        Ok(Run { status: status.into(), ..Run::default() })
    }

    #[tokio::test]
    async fn it_bears_a_server_that_goes_away_for_a_while() {
        let waits = vec![run(RunStatus::Running), Err(Status::unavailable("gone")), run(RunStatus::Failed)];
        assert_eq!(outcome(waits, None).await.unwrap().status(), RunStatus::Failed);
    }

    #[tokio::test]
    async fn it_does_not_bear_a_run_that_does_not_exist() {
        let error = outcome(vec![Err(Status::not_found("no such run"))], None).await.unwrap_err();
        assert!(error.is::<Status>());
    }

    #[tokio::test]
    async fn after_the_limit_it_has_timed_out() {
        let error = outcome(vec![run(RunStatus::Queued)], Some(Duration::ZERO)).await.unwrap_err();
        assert!(error.is::<TimedOut>());
    }
}
