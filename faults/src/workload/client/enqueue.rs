//! Enqueues, with and without request ids.

use std::collections::BTreeMap;

use anyhow::Result;
use proto::v1::{EnqueueRunRequest, EnqueueRunsRequest, Lane, RunSpec, run_spec};
use rand::RngExt;
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::state::Client;
use crate::history::{Asked, What};
use crate::workload::caller::Failure;
use crate::workload::script::{KIND, Script, max_attempts};

/// How long the same call is retried.
const RETRY_BUDGET: Duration = Duration::from_secs(40);

impl Client {
    pub(super) async fn enqueue_one(&mut self) -> Result<()> {
        let request_id = self.rng.random_bool(0.6).then(|| self.unique("request"));
        let Some((session, mut specs)) = self.specs(1)? else { return Ok(()) };
        specs[0].request_id = request_id.clone().unwrap_or_default();
        self.enqueue(session, request_id, specs).await
    }

    pub(super) async fn enqueue_many(&mut self) -> Result<()> {
        let request_id = self.rng.random_bool(0.5).then(|| self.unique("request"));
        let count =
            if self.rng.random_ratio(1, 8) { self.rng.random_range(12..60) } else { self.rng.random_range(2..12) };
        let Some((session, mut specs)) = self.specs(count)? else { return Ok(()) };
        for (index, spec) in specs.iter_mut().enumerate() {
            spec.request_id = request_id.as_ref().map(|id| format!("{id}-{index}")).unwrap_or_default();
        }
        self.enqueue(session, request_id, specs).await
    }

    /// Enqueues. With a request id it retries until the answer is definite.
    async fn enqueue(&mut self, session: Uuid, request_id: Option<String>, specs: Vec<RunSpec>) -> Result<()> {
        let asked = |spec: &RunSpec| Asked {
            key: spec.labels.get("key").cloned().unwrap_or_default(),
            max_attempts: spec.max_attempts.unwrap_or(1),
        };
        let runs: Vec<_> = specs.iter().map(asked).collect();
        let end = Instant::now() + RETRY_BUDGET;
        loop {
            let call = self.unique("call");
            let (request_id, runs) = (request_id.clone(), runs.clone());
            let is_repeatable = request_id.is_some();
            self.recorder.record(What::EnqueueAsked { call: call.clone(), session, request_id, runs })?;
            match self.send(&specs).await {
                Ok(ids) => {
                    self.known.add_runs(&ids);
                    return Ok(self.recorder.record(What::EnqueueAnswered { call, ids })?);
                }
                Err(failure) => {
                    let Failure { code, reason, is_definite, delay } = failure;
                    let is_final = is_definite && reason != "OVERLOADED";
                    self.recorder.record(What::EnqueueRefused { call, code, reason, definite: is_definite })?;
                    if is_final || !is_repeatable || Instant::now() >= end {
                        return Ok(());
                    }
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    async fn send(&mut self, specs: &[RunSpec]) -> Result<Vec<Uuid>, Failure> {
        let mut calls = self.caller.runs();
        let ids = if let [spec] = specs {
            let request = EnqueueRunRequest { run: Some(spec.clone()) };
            vec![self.caller.call(calls.enqueue_run(request)).await?.run.unwrap_or_default().id]
        } else {
            let request = EnqueueRunsRequest { runs: specs.to_vec() };
            self.caller.call(calls.enqueue_runs(request)).await?.run_ids
        };
        // The checker finds a malformed id as a run that does not exist.
        Ok(ids.iter().map(|id| Uuid::parse_str(id).unwrap_or_default()).collect())
    }

    fn specs(&mut self, count: usize) -> Result<Option<(Uuid, Vec<RunSpec>)>> {
        let Some(session) = self.known.session(&mut self.rng) else { return Ok(None) };
        let specs = (0..count).map(|_| self.spec(session)).collect::<Result<_>>()?;
        Ok(Some((session, specs)))
    }

    fn spec(&mut self, session: Uuid) -> Result<RunSpec> {
        let key = self.unique("key");
        let lane = [Lane::A, Lane::B, Lane::C, Lane::D][self.rng.random_range(0..4)];
        let script = Script::choose(key.clone(), &mut self.rng);
        Ok(RunSpec {
            session_id: session.to_string(),
            lane: lane.into(),
            priority: self.rng.random_range(-2..=2),
            kind: KIND.to_owned(),
            params: Some(run_spec::Params::ParamsJson(serde_json::to_string(&script)?)),
            labels: BTreeMap::from([("key".to_owned(), key)]),
            max_attempts: Some(max_attempts(&mut self.rng)),
            ..RunSpec::default()
        })
    }
}
