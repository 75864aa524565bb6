//! The log of a run of the demonstration.

use anyhow::{Context, Result, ensure};
use client::Client;
use proto::v1::TailRunEventsRequest;

use crate::output;

/// The whole log of a run, which ends when the run has ended.
pub(super) async fn read(client: &Client, run_id: &str) -> Result<String> {
    let request = TailRunEventsRequest { run_id: run_id.to_owned(), ..Default::default() };
    let mut stream = client.runs().tail_run_events(request).await.context("can not read the log")?.into_inner();
    let mut log = Vec::new();
    while let Some(message) = stream.message().await.context("the log was cut")? {
        log.extend(message.events.iter().flat_map(output::event_bytes));
    }
    let text = String::from_utf8(log).context("the log is not text")?;
    ensure!(!text.is_empty(), "run {run_id} wrote a log, and it came out empty");
    Ok(text)
}
