//! `ops run ...`

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use client::Client;
use proto::v1::{CancelRunRequest, GetRunRequest, Lane, ListRunsRequest, ListRunsResponse, Run, RunFilter, RunStatus};

use super::pages;
use crate::{
    args::{
        run::{Filter, RunArgs, RunCancel, RunList, RunVerb, RunWait},
        values::Label,
    },
    connection,
    errors::TimedOut,
    exit::Exit,
    output::{self, Format},
};

mod enqueue;
mod logs;
mod watch;

pub(crate) async fn execute(args: RunArgs) -> Result<Exit> {
    let format = args.output.output;
    let server = &args.target.server;
    match args.verb {
        RunVerb::Enqueue(enqueue) => enqueue::execute(format, server, *enqueue).await,
        RunVerb::Get { run_id } => {
            let answer = connection::connect(server).await?.runs().get_run(GetRunRequest { run_id }).await?;
            print(format, answer.into_inner().run)
        }
        RunVerb::List(list) => print_list(format, connection::connect(server).await?, list).await,
        RunVerb::Watch(args) => watch::execute(format, connection::connect(server).await?, args).await,
        RunVerb::Wait(args) => print_end(format, connection::connect(server).await?, args).await,
        RunVerb::Cancel(cancel) => {
            let request = cancel_request(cancel)?;
            print(format, connection::connect(server).await?.runs().cancel_run(request).await?.into_inner().run)
        }
        RunVerb::Logs(args) => logs::execute(format, connection::connect(server).await?, args).await,
    }
}

fn cancel_request(cancel: RunCancel) -> Result<CancelRunRequest> {
    Ok(CancelRunRequest {
        run_id: cancel.run_id,
        reason: cancel.reason,
        grace: cancel.grace.map(TryInto::try_into).transpose()?,
    })
}

async fn print_list(format: Format, client: Client, list: RunList) -> Result<Exit> {
    let filter = filter(list.filter);
    let (runs, next_page_token) = pages::collect(list.limit, async |page_size, page_token| {
        let request = ListRunsRequest { filter: Some(filter.clone()), page_size, page_token };
        let page = client.runs().list_runs(request).await?.into_inner();
        Ok((page.runs, page.next_page_token))
    })
    .await?;
    let page = ListRunsResponse { runs, next_page_token };
    output::list(format, "ListRunsResponse", &page, &page.runs)?;
    output::mention_more(&page.next_page_token);
    Ok(Exit::Success)
}

async fn print_end(format: Format, client: Client, args: RunWait) -> Result<Exit> {
    let run = until_ended(&client, &args.run_id, args.timeout).await?;
    output::record(format, &run)?;
    Exit::of_run(&run).context("the server answered a wait with a run that has not ended")
}

/// The run once it has ended.
async fn until_ended(client: &Client, run_id: &str, limit: Option<Duration>) -> Result<Run> {
    let ended = client.wait_run(run_id, limit, connection::retry_budget()).await?;
    Ok(ended.ok_or_else(|| TimedOut { run_id: run_id.to_owned(), limit: limit.unwrap_or_default() })?)
}

fn print(format: Format, run: Option<Run>) -> Result<Exit> {
    output::record(format, &run.unwrap_or_default())?;
    Ok(Exit::Success)
}

fn filter(filter: Filter) -> RunFilter {
    RunFilter {
        session_id: filter.session.unwrap_or_default(),
        lanes: filter.lane.into_iter().map(|lane| Lane::from(lane).into()).collect(),
        statuses: filter.status.into_iter().map(|status| RunStatus::from(status).into()).collect(),
        kinds: filter.kind,
        labels: labels(filter.labels),
    }
}

fn labels(labels: Vec<Label>) -> BTreeMap<String, String> {
    labels.into_iter().map(|label| (label.key, label.value)).collect()
}
