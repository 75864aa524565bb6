//! `ops run wait`, and the wait for the end of a run.

use std::time::Duration;

use anyhow::{Context, Result};
use client::Client;
use proto::v1::Run;

use crate::{
    args::run::RunWait,
    connection,
    errors::TimedOut,
    exit::Exit,
    output::{self, Format},
};

pub(super) async fn execute(format: Format, client: Client, args: RunWait) -> Result<Exit> {
    let run = until_ended(&client, &args.run_id, args.timeout).await?;
    output::record(format, &run)?;
    Exit::of_run(&run).context("the server answered a wait with a run that has not ended")
}

/// The run once it has ended.
pub(super) async fn until_ended(client: &Client, run_id: &str, limit: Option<Duration>) -> Result<Run> {
    let ended = client.wait_run(run_id, limit, connection::retry_budget()).await?;
    Ok(ended.ok_or_else(|| TimedOut { run_id: run_id.to_owned(), limit: limit.unwrap_or_default() })?)
}
