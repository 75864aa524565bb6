//! `ops worker`, `ops worker list` and `ops worker drain`

use anyhow::Result;
use proto::v1::{DrainWorkerRequest, ListWorkersRequest, ListWorkersResponse, WorkerState};

use super::pages;
use crate::{
    args::worker::{self as words, WorkerArgs, WorkerVerb},
    client::Client,
    exit::Exit,
    output::{self, Format},
};

pub(crate) async fn execute(args: WorkerArgs) -> Result<Exit> {
    match args.verb {
        None => anyhow::bail!("not built yet"),
        Some(WorkerVerb::List { state, limit, target, output }) => {
            print_list(output.output, Client::connect(&target.server).await?, state, limit).await
        }
        Some(WorkerVerb::Drain { worker_id, target, output }) => {
            let request = DrainWorkerRequest { worker_id };
            let answer = Client::connect(&target.server).await?.workers.drain_worker(request).await?;
            output::record(output.output, &answer.into_inner().worker.unwrap_or_default())?;
            Ok(Exit::Success)
        }
    }
}

async fn print_list(format: Format, mut client: Client, states: Vec<words::WorkerState>, limit: u32) -> Result<Exit> {
    let states: Vec<i32> = states.into_iter().map(|state| WorkerState::from(state).into()).collect();
    let (workers, next_page_token) = pages::collect(limit, async |page_size, page_token| {
        let request = ListWorkersRequest { states: states.clone(), page_size, page_token };
        let page = client.workers.list_workers(request).await?.into_inner();
        Ok((page.workers, page.next_page_token))
    })
    .await?;
    let page = ListWorkersResponse { workers, next_page_token };
    output::list(format, "ListWorkersResponse", &page, &page.workers)?;
    output::mention_more(&page.next_page_token);
    Ok(Exit::Success)
}
