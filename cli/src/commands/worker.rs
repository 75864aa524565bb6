//! `ops worker`, `ops worker list`, `ops worker drain` and `ops worker undrain`

use anyhow::Result;
use client::Client;
use proto::v1::{DrainWorkerRequest, ListWorkersRequest, ListWorkersResponse, UndrainWorkerRequest, WorkerState};
use tokio::task::JoinSet;
use worker::WorkerSummary;

use super::{listener, pages};
use crate::{
    args::worker::{self as words, WorkerArgs, WorkerRun, WorkerVerb},
    connection,
    errors::UsageError,
    exit::Exit,
    output::{self, Format},
    signals::Signals,
};

pub(crate) async fn execute(args: WorkerArgs) -> Result<Exit> {
    match args.verb {
        None => run(&args.run).await,
        Some(WorkerVerb::List { state, limit, target, output }) => {
            print_list(output.output, connection::connect(&target.server).await?, state, limit).await
        }
        Some(WorkerVerb::Drain { worker_id, target, output }) => {
            let request = DrainWorkerRequest { worker_id };
            let answer = connection::connect(&target.server).await?.workers().drain_worker(request).await?;
            let worker = answer.into_inner().worker.unwrap_or_default();
            if let Some(note) = not_reached(worker.state()) {
                output::tell(format_args!("worker {} {note}", worker.id));
            }
            output::record(output.output, &worker)?;
            Ok(Exit::Success)
        }
        Some(WorkerVerb::Undrain { worker_id, target, output }) => {
            let request = UndrainWorkerRequest { worker_id };
            let answer = connection::connect(&target.server).await?.workers().undrain_worker(request).await?;
            output::record(output.output, &answer.into_inner().worker.unwrap_or_default())?;
            Ok(Exit::Success)
        }
    }
}

async fn run(args: &WorkerRun) -> Result<Exit> {
    let worker = args.worker()?;
    let signals = Signals::listen()?;
    // The port answers until the worker has ended.
    let mut port = JoinSet::new();
    if let Some(address) = &args.http_listen {
        let address = address.resolve().map_err(|why| UsageError::settings([("http-listen".to_owned(), why)]))?;
        let listener = listener::bind(address, "--http-listen").await?;
        output::tell(format_args!("listening on http://{}", listener.local_addr()?));
        port.spawn(worker.monitor().serve(listener));
    }
    let done = worker.run(signals.first().clone()).await?;
    output::tell(summary(&done));
    Ok(Exit::Success)
}

/// Why a drain does not reach a worker in this state now.
fn not_reached(state: WorkerState) -> Option<&'static str> {
    match state {
        WorkerState::Gone => Some("is gone: it has said goodbye, so there is nothing to drain"),
        WorkerState::Lost | WorkerState::Disconnected => Some("is not connected: it drains if it comes back"),
        WorkerState::Active | WorkerState::Draining | WorkerState::Unspecified => None,
    }
}

/// The results of a worker in one line.
pub(super) fn summary(done: &WorkerSummary) -> String {
    let counts = [
        (done.succeeded, "succeeded"),
        (done.failed, "failed"),
        (done.cancelled, "cancelled"),
        (done.snoozed, "put off"),
        (done.given_back, "given back"),
        (done.lost, "lost to another worker"),
        (done.refused, "refused by the server"),
        (done.unreported, "not reported"),
    ];
    let mut text = format!("worker stopped: {} runs begun", done.started);
    for (count, how) in counts.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(", {count} {how}"));
    }
    text
}

async fn print_list(format: Format, client: Client, states: Vec<words::WorkerState>, limit: u32) -> Result<Exit> {
    let states: Vec<i32> = states.into_iter().map(|state| WorkerState::from(state).into()).collect();
    let (workers, next_page_token) = pages::collect(limit, async |page_size, page_token| {
        let request = ListWorkersRequest { states: states.clone(), page_size, page_token };
        let page = client.workers().list_workers(request).await?.into_inner();
        Ok((page.workers, page.next_page_token))
    })
    .await?;
    let page = ListWorkersResponse { workers, next_page_token };
    output::list(format, "ListWorkersResponse", &page, &page.workers)?;
    output::mention_more(&page.next_page_token);
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_leaves_out_counts_of_zero() {
        let done = WorkerSummary { started: 3, succeeded: 2, lost: 1, ..WorkerSummary::default() };
        assert_eq!(summary(&done), "worker stopped: 3 runs begun, 2 succeeded, 1 lost to another worker");
    }
}
