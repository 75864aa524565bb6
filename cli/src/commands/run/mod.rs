//! `ops run ...`

use anyhow::Result;
use client::Client;
use proto::v1::{CancelRunRequest, GetRunRequest, ListRunsRequest, ListRunsResponse, Run};

use super::pages;
use crate::{
    args::run::{RunArgs, RunCancel, RunList, RunVerb},
    connection,
    exit::Exit,
    output::{self, Format},
};

mod enqueue;
mod filter;
mod logs;
mod wait;
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
        RunVerb::Wait(args) => wait::execute(format, connection::connect(server).await?, args).await,
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
    let filter = filter::of_contract(list.filter);
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

fn print(format: Format, run: Option<Run>) -> Result<Exit> {
    output::record(format, &run.unwrap_or_default())?;
    Ok(Exit::Success)
}
