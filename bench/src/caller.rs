//! Enqueues runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use client::Client;
use futures::future::try_join_all;
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::{CreateSessionRequest, EnqueueRunRequest, EnqueueRunsRequest, Lane, RunSpec, run_spec};
use tokio::sync::mpsc;
use tonic::transport::Channel;

use crate::server::Server;
use crate::times::now;

/// The kind of the runs that workers execute.
pub const KIND: &str = "bench";

/// A client with a session.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    pub session: String,
}

impl Caller {
    pub async fn new(server: &Server) -> Result<Self> {
        let client = server.connect().await?;
        let request = CreateSessionRequest { name: "bench".to_owned(), ..CreateSessionRequest::default() };
        let answer = client.sessions().create_session(request).await?.into_inner();
        Ok(Self { client, session: answer.session.context("an answer without a session")?.id })
    }

    pub fn runs(&self) -> RunServiceClient<Channel> {
        self.client.runs()
    }

    /// A run that does nothing.
    pub fn spec(&self) -> RunSpec {
        RunSpec { session_id: self.session.clone(), lane: Lane::A.into(), kind: KIND.to_owned(), ..RunSpec::default() }
    }

    /// Enqueues `runs` in calls of `batch` runs, with `at_once` calls at a time.
    pub async fn enqueue(&self, runs: usize, batch: usize, at_once: usize) -> Result<()> {
        let left = Arc::new(AtomicUsize::new(runs));
        let take = |left: &AtomicUsize| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(batch)))
                .map_or(0, |left| left.min(batch))
        };
        let caller = |_| {
            let (left, mut calls) = (Arc::clone(&left), self.runs());
            async move {
                loop {
                    match take(&left) {
                        0 => return Ok::<_, anyhow::Error>(()),
                        1 if batch == 1 => drop(calls.enqueue_run(EnqueueRunRequest { run: Some(self.spec()) }).await?),
                        some => {
                            drop(calls.enqueue_runs(EnqueueRunsRequest { runs: vec![self.spec(); some] }).await?);
                        }
                    }
                }
            }
        };
        try_join_all((0..at_once).map(caller)).await?;
        Ok(())
    }

    /// Enqueues one run with its due time in the params. The worker measures from it to the start.
    pub async fn enqueue_due(&self, due: u64) -> Result<()> {
        let spec = RunSpec { params: Some(run_spec::Params::ParamsJson(due_params(due))), ..self.spec() };
        self.runs().enqueue_run(EnqueueRunRequest { run: Some(spec) }).await?;
        Ok(())
    }
}

fn due_params(due: u64) -> String {
    format!("{{\"due\":{due}}}")
}

/// The due time in the params of a run, if there is one.
pub fn due_of(params: &str) -> Option<u64> {
    // The server may write the object with other white space.
    let digits = params.split_once("\"due\":")?.1.trim_start();
    digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

/// Calls `work` at a fixed rate, with the due time of each call. The model is open: a slow answer delays no later call, and each call
/// is timed from its due time.
pub async fn at_pace<F>(per_second: f64, times: usize, work: impl Fn(u64) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (ticks, mut ticking) = mpsc::unbounded_channel();
    // A thread, because the runtime's timer has a resolution of a millisecond, which would blur the figure.
    let pacer = std::thread::spawn(move || {
        let begin = now();
        for number in 0..times {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "nanoseconds of a few minutes")]
            let due = begin + (number as f64 * 1e9 / per_second) as u64;
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(now())));
            if ticks.send(due).is_err() {
                return;
            }
        }
    });
    let mut calls = tokio::task::JoinSet::new();
    while let Some(due) = ticking.recv().await {
        calls.spawn(work(due));
        while let Some(done) = calls.try_join_next() {
            done??;
        }
    }
    while let Some(done) = calls.join_next().await {
        done??;
    }
    ensure!(pacer.join().is_ok(), "the thread that sets the pace has panicked");
    Ok(())
}
