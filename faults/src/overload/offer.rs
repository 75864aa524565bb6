//! The clients: first as fast as they are answered, to find out what the server can do, then at a fixed pace that does not
//! care for answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::{EnqueueRunsRequest, Lane, RunSpec};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::fleet::QUICK;
use super::samples::Samples;

/// Runs of one call.
pub(super) const BATCH: usize = 100;
/// Connections, over which the calls are spread.
const CONNECTIONS: usize = 32;
/// Callers that wait for their answers, to find out what the server can do.
const CALLERS: usize = 16;
/// How long a client waits for an answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Calls are due in groups, so often.
const TICK: Duration = Duration::from_millis(10);

/// What became of all calls.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) served: AtomicU64,
    /// Refused as overload, with a time to come back.
    pub(super) refused: AtomicU64,
    /// The client gave up.
    pub(super) late: AtomicU64,
    /// How long it took to be served, and to be refused.
    pub(super) times: Samples,
    pub(super) refusal_times: Samples,
    /// Everything else, by code and message: nobody should be told that.
    pub(super) others: Mutex<BTreeMap<String, u64>>,
}

/// Clients of one server.
#[derive(Clone)]
pub(super) struct Clients {
    channels: Arc<Vec<Channel>>,
    session: String,
}

impl Clients {
    pub(super) async fn connect(url: &str, session: String) -> Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(Endpoint::from_shared(url.to_owned())?.connect().await?);
        }
        Ok(Self { channels: Arc::new(channels), session })
    }

    /// Calls a second that the server answers when each caller waits for its answer.
    pub(super) async fn capacity(&self, during: Duration) -> f64 {
        let (answers, over) = (Arc::new(Answers::default()), Arc::new(AtomicBool::new(false)));
        let mut callers = JoinSet::new();
        let begin = Instant::now();
        for caller in 0..CALLERS {
            let (clients, answers, over) = (self.clone(), Arc::clone(&answers), Arc::clone(&over));
            callers.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    clients.call(caller, &answers).await;
                }
            });
        }
        tokio::time::sleep(during).await;
        over.store(true, Ordering::Relaxed);
        while callers.join_next().await.is_some() {}
        answers.served.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64()
    }

    /// Calls at this pace, whatever becomes of them. Says how many were made; all are answered when it returns.
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
                let (clients, answers, number) = (self.clone(), Arc::clone(answers), made as usize);
                calls.spawn(async move { clients.call(number, &answers).await });
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
        let mut runs = RunServiceClient::new(self.channels[number % self.channels.len()].clone());
        let begin = Instant::now();
        let answer = tokio::time::timeout(DEADLINE, runs.enqueue_runs(request)).await;
        let count = |number: &AtomicU64| number.fetch_add(1, Ordering::Relaxed);
        match answer {
            Ok(Ok(_)) => {
                count(&answers.served);
                answers.times.add(begin.elapsed());
            }
            Ok(Err(status)) if is_overload(&status) => {
                count(&answers.refused);
                answers.refusal_times.add(begin.elapsed());
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

/// Whether a client is told that it is too much, and when to come back.
fn is_overload(status: &Status) -> bool {
    let reason = status.get_details_error_info().map(|info| info.reason);
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    status.code() == Code::ResourceExhausted && reason.as_deref() == Some("OVERLOADED") && retry.is_some()
}
