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
