//! `ops run watch`

use anyhow::{Context, Result};
use chrono::Utc;
use client::{Begin, Client, runs_of};
use proto::v1::{GetRunRequest, Run, RunChange, RunFilter, WatchRunsResponse, watch_runs_response::Event};

use super::{filter, wait};
use crate::{
    args::run::RunWatch,
    connection,
    exit::Exit,
    output::{self, Format},
};

pub(super) async fn execute(format: Format, client: Client, args: RunWatch) -> Result<Exit> {
    if let Some(run_id) = args.run_id {
        return one(format, client, run_id).await;
    }
    let begin = match args.resume_token {
        Some(token) => Begin::Token(token),
        None if args.snapshot => Begin::Snapshot,
        None => Begin::Now,
    };
    let mut feed = client.follow_runs(filter::of_contract(args.filter), begin, connection::retry_budget()).await?;
    loop {
        print(format, &feed.next().await?)?;
    }
}

/// Watches one run. No filter selects a single run, so the watch is of similar runs, and the others are left out. A
/// wait beside the watch finds the end even if the stream is lost.
async fn one(format: Format, client: Client, run_id: String) -> Result<Exit> {
    let mut run = get(&client, &run_id).await?;
    let filter = RunFilter {
        session_id: run.session_id.clone(),
        lanes: vec![run.lane],
        kinds: vec![run.kind.clone()],
        ..RunFilter::default()
    };
    let mut feed = client.follow_runs(filter, Begin::Now, connection::retry_budget()).await?;
    // Read again, because the run may have changed before the watch began.
    run = get(&client, &run_id).await?;
    print_run(format, &run)?;
    let ended = wait::until_ended(&client, &run_id, None);
    tokio::pin!(ended);
    while Exit::of_run(&run).is_none() {
        let message = tokio::select! {
            message = feed.next() => message?,
            last = &mut ended => {
                run = last?;
                print_run(format, &run)?;
                break;
            }
        };
        for seen in message.event.iter().flat_map(runs_of) {
            if seen.id == run_id && seen.revision > run.revision {
                run = seen.clone();
                print_run(format, &run)?;
            }
        }
    }
    Exit::of_run(&run).context("the watch ended before the run")
}

async fn get(client: &Client, run_id: &str) -> Result<Run> {
    let request = GetRunRequest { run_id: run_id.to_owned() };
    Ok(client.runs().get_run(request).await?.into_inner().run.unwrap_or_default())
}

fn change(run: Run) -> WatchRunsResponse {
    WatchRunsResponse { event: Some(Event::Change(RunChange { run: Some(run) })) }
}

fn print_run(format: Format, run: &Run) -> Result<()> {
    print(format, &change(run.clone()))
}

fn print(format: Format, message: &WatchRunsResponse) -> Result<()> {
    let Some(event) = &message.event else { return Ok(()) };
    match format {
        Format::Json => output::print_json("WatchRunsResponse", message, true),
        Format::Jsonl => output::print_json("WatchRunsResponse", message, false),
        Format::Id => runs_of(event).iter().try_for_each(|run| output::print(format!("{}\n", run.id))),
        Format::Table => match event {
            Event::LeftFilter(left) => print_gone(&left.run_id, "left the filter"),
            Event::Deleted(deleted) => print_gone(&deleted.run_id, "deleted"),
            other => runs_of(other).iter().try_for_each(|run| output::print(output::transition(run, Utc::now()))),
        },
    }
}

fn print_gone(run_id: &str, how: &str) -> Result<()> {
    output::print(format!("{}  {}  {how}\n", Utc::now().format("%H:%M:%S%.3fZ"), output::text::line(run_id)))
}
