//! The callers. First each waits for its answers, which measures the capacity of the server. Then they call at a fixed rate and do not
//! wait for answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use client::{Client, Refusal};
use proto::v1::{EnqueueRunsRequest, Lane, RunSpec};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::{Code, Request, Status};

use super::worker::QUICK;
use crate::server::Server;
use crate::times::Times;

/// Runs of one call.
pub(super) const BATCH: usize = 100;
/// The calls are spread over this number of connections.
const CONNECTIONS: usize = 32;
/// Callers that wait for their answers, to measure the capacity.
const WAITING_CALLERS: usize = 16;
/// How long a caller waits for an answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Calls are due in groups, one in this interval.
const TICK: Duration = Duration::from_millis(10);

/// The results of all calls.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) served: AtomicU64,
    /// Refused as overload, with a time to retry.
    pub(super) refused: AtomicU64,
    /// Not answered within the deadline.
    pub(super) late: AtomicU64,
    /// The time of each served call.
    pub(super) served_times: Times,
    /// The time of each refused call.
    pub(super) refused_times: Times,
    /// All other answers, by code and message. There should be none.
    pub(super) others: Mutex<BTreeMap<String, u64>>,
}

/// Callers of one server with one session.
#[derive(Clone)]
pub(super) struct Callers {
    clients: Arc<Vec<Client>>,
    session: String,
}

impl Callers {
    pub(super) async fn connect(server: &Server, session: String) -> Result<Self> {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(server.connect().await?);
        }
        Ok(Self { clients: Arc::new(clients), session })
    }

    /// The calls a second that the server answers when each caller waits for its answer.
    pub(super) async fn capacity(&self, during: Duration) -> f64 {
        let (answers, over) = (Arc::new(Answers::default()), Arc::new(AtomicBool::new(false)));
        let mut calls = JoinSet::new();
        let begin = Instant::now();
        for number in 0..WAITING_CALLERS {
            let (callers, answers, over) = (self.clone(), Arc::clone(&answers), Arc::clone(&over));
            calls.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    callers.call(number, &answers).await;
                }
            });
        }
        tokio::time::sleep(during).await;
        over.store(true, Ordering::Relaxed);
        while calls.join_next().await.is_some() {}
        answers.served.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64()
    }

    /// Calls at this rate without waiting for answers. Returns the number of calls once all have a result.
    pub(super) async fn offer(&self, calls_per_second: f64, during: Duration, answers: &Arc<Answers>) -> u64 {
        let (begin, mut made) = (Instant::now(), 0_u64);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = JoinSet::new();
        while begin.elapsed() < during {
            ticks.tick().await;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of calls")]
            let due = (begin.elapsed().as_secs_f64() * calls_per_second) as u64;
            while made < due {
                let (callers, answers, number) = (self.clone(), Arc::clone(answers), made as usize);
                calls.spawn(async move { callers.call(number, &answers).await });
                made += 1;
            }
            while calls.try_join_next().is_some() {}
        }
        while calls.join_next().await.is_some() {}
        made
    }

    async fn call(&self, number: usize, answers: &Answers) {
        let spec = RunSpec {
            session_id: self.session.clone(),
            lane: Lane::A.into(),
            kind: QUICK.to_owned(),
            ..RunSpec::default()
        };
        let mut request = Request::new(EnqueueRunsRequest { runs: vec![spec; BATCH] });
        request.set_timeout(DEADLINE);
        let mut runs = self.clients[number % self.clients.len()].runs();
        let begin = Instant::now();
        let answer = tokio::time::timeout(DEADLINE, runs.enqueue_runs(request)).await;
        let count = |number: &AtomicU64| number.fetch_add(1, Ordering::Relaxed);
        match answer {
            Ok(Ok(_)) => {
                count(&answers.served);
                answers.served_times.add(begin.elapsed());
            }
            Ok(Err(status)) if is_overload(&status) => {
                count(&answers.refused);
                answers.refused_times.add(begin.elapsed());
            }
            Err(_) => {
                count(&answers.late);
            }
            Ok(Err(status)) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
                count(&answers.late);
            }
            Ok(Err(status)) => {
                let text = format!("{:?}: {}", status.code(), status.message());
                *answers.others.lock().unwrap_or_else(PoisonError::into_inner).entry(text).or_default() += 1;
            }
        }
    }
}

/// Whether the server refuses the call as overload and says when to retry.
fn is_overload(status: &Status) -> bool {
    let Refusal { code, reason, retry_delay, .. } = Refusal::from(status);
    code == Code::ResourceExhausted && reason.as_deref() == Some("OVERLOADED") && retry_delay.is_some()
}
