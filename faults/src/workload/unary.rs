//! A worker without a stream: it claims and reports by unary calls, which it retries until they are answered.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::Result;
use proto::v1::{Assignment, ClaimRequest, ReportRunRequest, RunReport};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::raw::succeeded;
use super::{Caller, KIND};
use crate::history::{Outcome, Recorder, Verdict, What};

const NAME: &str = "unary";
/// How many runs it claims at a time.
const CLAIM: i32 = 3;
/// How long a claim waits for runs.
const WAIT: Duration = Duration::from_secs(1);
/// The lease of a claimed run, longer than any execution here, so it needs no heartbeat.
const LEASE: Duration = Duration::from_secs(4);
/// How long the same call is retried: longer than the lease, so that late calls are refused.
const RETRY_BUDGET: Duration = Duration::from_secs(10);
/// The longest execution.
const LONGEST: Duration = Duration::from_millis(300);

/// The worker.
#[derive(Debug)]
pub struct UnaryWorker {
    caller: Caller,
    recorder: Recorder,
    rng: StdRng,
    /// The grants that it has started. A repeated claim returns some of them again.
    begun: BTreeSet<(Uuid, i64)>,
}

impl UnaryWorker {
    pub fn new(caller: Caller, recorder: Recorder, seed: u64) -> Self {
        Self { caller, recorder, rng: StdRng::seed_from_u64(seed), begun: BTreeSet::new() }
    }

    /// Claims and executes until `stop`.
    ///
    /// # Errors
    ///
    /// Its history can not be written.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        self.recorder.record(What::WorkerBegan { worker: NAME.to_owned(), process: std::process::id() })?;
        for number in 1.. {
            if stop.is_cancelled() {
                break;
            }
            let (worker_id, assignments) = self.claim(format!("{NAME}-claim{number}")).await?;
            for assignment in assignments {
                self.execute(&worker_id, &assignment).await?;
            }
        }
        Ok(())
    }

    /// Repeats the same claim until there is an answer.
    async fn claim(&mut self, request_id: String) -> Result<(String, VecDeque<Assignment>)> {
        let request = ClaimRequest {
            worker_name: NAME.to_owned(),
            kinds: vec![KIND.to_owned()],
            max_runs: CLAIM,
            wait: Some(WAIT.try_into()?),
            lease_timeout: Some(LEASE.try_into()?),
            request_id,
            ..ClaimRequest::default()
        };
        let end = Instant::now() + RETRY_BUDGET;
        loop {
            let mut calls = self.caller.workers();
            match self.caller.call(calls.claim(request.clone())).await {
                Ok(answer) => return Ok((answer.worker_id, answer.assignments.into())),
                Err(_) if Instant::now() >= end => return Ok((String::new(), VecDeque::new())),
                Err(failure) => sleep(failure.delay).await,
            }
        }
    }

    async fn execute(&mut self, worker_id: &str, assignment: &Assignment) -> Result<()> {
        let given = assignment.run.clone().unwrap_or_default();
        let (run, fence, attempt) = (Uuid::parse_str(&given.id)?, assignment.fence, given.attempt);
        if !self.begun.insert((run, fence)) {
            return Ok(());
        }
        let key = given.labels.get("key").cloned().unwrap_or_default();
        self.recorder.record(What::ExecutionBegan { run, fence, attempt, key })?;
        sleep(self.rng.random_range(Duration::ZERO..LONGEST)).await;
        let token = format!("{NAME}/{run}/{fence}");
        let ended = What::ExecutionEnded { run, fence, token: token.clone(), outcome: Outcome::Succeeded };
        self.recorder.record(ended)?;
        let report = RunReport { run_id: given.id, fence, outcome: Some(succeeded(&token)) };
        let request = ReportRunRequest { worker_id: worker_id.to_owned(), report: Some(report) };
        let end = Instant::now() + RETRY_BUDGET;
        loop {
            let mut calls = self.caller.workers();
            let verdict = match self.caller.call(calls.report_run(request.clone())).await {
                Ok(_) => Verdict::Accepted,
                Err(failure) => match failure.reason.as_str() {
                    "LEASE_LOST" => Verdict::LeaseLost,
                    "OUTCOME_CONFLICT" => Verdict::Conflict,
                    _ if Instant::now() < end => {
                        sleep(failure.delay).await;
                        continue;
                    }
                    _ => Verdict::Refused(failure.code),
                },
            };
            return Ok(self.recorder.record(What::ReportAnswered { run, fence, token, verdict })?);
        }
    }
}
