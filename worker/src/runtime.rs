//! The loop of a worker. One task owns all state: what comes from the stream, handlers that end, and time all meet here,
//! and whenever there is room in the stream, the most urgent frame is made from the state as it is then.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use proto::v1;
use tokio::{
    sync::{mpsc, watch},
    task::{self, AbortHandle, JoinError, JoinSet},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming, transport::Endpoint};

use crate::{
    artifact::Link,
    attempt::STOP_GRACE,
    config::WorkerConfig,
    connection::{Dialed, Dialer, Wire, is_final},
    context::ProgressCell,
    error::WorkerError,
    event_outbox::EventOutbox,
    frames_in::Waiting,
    grants::{Credit, GrantKey, Grants},
    handler::{Failure, Handler},
    heartbeats::Heartbeats,
    outcome::Outcome,
    reports::{FLUSH_TIMEOUT, Reports},
    stop::{Stop, StopCause, StopReason},
    wire,
    worker::{DrainedBy, WorkerStatus, WorkerSummary},
};

/// Assumed when a server does not say.
const DEFAULT_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_LEASE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server may take to end the stream after `Goodbye`.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
/// When nothing else is due, the loop looks at its state this often.
const IDLE: Duration = Duration::from_secs(3600);

/// What a runtime is made of.
pub(crate) struct Setup {
    pub(crate) config: WorkerConfig,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) kinds: Vec<String>,
    pub(crate) handlers: BTreeMap<String, Arc<dyn Handler>>,
    pub(crate) status: watch::Sender<WorkerStatus>,
}

/// The state of a worker.
pub(crate) struct Runtime {
    pub(crate) setup: Setup,
    pub(crate) identity: Option<Identity>,
    pub(crate) lease_timeout: Duration,
    pub(crate) grants: Grants<Waiting>,
    pub(crate) running: HashMap<GrantKey, Running>,
    pub(crate) tasks: JoinSet<Outcome>,
    pub(crate) task_keys: HashMap<task::Id, GrantKey>,
    pub(crate) events: EventOutbox,
    pub(crate) reports: Reports,
    pub(crate) session: Option<Session>,
    pub(crate) drain: Option<Drain>,
    pub(crate) lease_check: Option<Instant>,
    pub(crate) links: watch::Sender<Option<Link>>,
    pub(crate) summary: WorkerSummary,
}

/// From `Welcome`.
pub(crate) struct Identity {
    pub(crate) worker_id: String,
    pub(crate) secret: String,
}

/// A handler that runs.
pub(crate) struct Running {
    pub(crate) task: AbortHandle,
    pub(crate) stop: Arc<Stop>,
    pub(crate) progress: Arc<ProgressCell>,
}

/// What belongs to one stream.
pub(crate) struct Session {
    pub(crate) heartbeats: Heartbeats,
    pub(crate) credit: Credit,
    pub(crate) accepts: Vec<GrantKey>,
    pub(crate) cancel_acks: Vec<GrantKey>,
    /// The server shuts down: its end of the stream is no fault.
    pub(crate) is_server_leaving: bool,
    /// When `Goodbye` was sent.
    pub(crate) goodbye: Option<Instant>,
    /// Why the stream is to be given up.
    pub(crate) broken: Option<&'static str>,
}

/// The worker takes no more work.
pub(crate) struct Drain {
    /// When handlers that still run are told to stop; `None` once they were.
    pub(crate) stop_at: Option<Instant>,
    /// When the worker leaves, whatever is open.
    pub(crate) give_up_at: Instant,
}

impl Runtime {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            setup,
            identity: None,
            lease_timeout: DEFAULT_LEASE_TIMEOUT,
            grants: Grants::default(),
            running: HashMap::new(),
            tasks: JoinSet::new(),
            task_keys: HashMap::new(),
            events: EventOutbox::default(),
            reports: Reports::default(),
            session: None,
            drain: None,
            lease_check: None,
            links: watch::Sender::new(None),
            summary: WorkerSummary::default(),
        }
    }

    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<WorkerSummary, WorkerError> {
        let mut dialer = Dialer::new(&self.setup.config, std::mem::take(&mut self.setup.endpoints))?;
        let mut dials: JoinSet<Result<Dialed, Status>> = JoinSet::new();
        // Both directions of the stream. The way out is closed before the way in, by a goodbye.
        let (mut tx, mut rx) = (None, None);
        let events_ready = self.events.ready();
        // The first try, and the one after a server that said that it leaves, wait for nothing.
        let mut dial_at_once = true;
        loop {
            let now = Instant::now();
            self.tick(now);
            if let Some(reason) = self.session.as_ref().and_then(|session| session.broken) {
                dial_at_once = self.stream_lost(reason);
                (tx, rx) = (None, None);
            }
            if self.is_finished(now) {
                break;
            }
            if rx.is_none() && dials.is_empty() {
                dials.spawn(dialer.dial(self.hello(), std::mem::take(&mut dial_at_once)));
            }
            self.publish_status();
            let has_frame = self.has_frame(now);
            tokio::select! {
                () = time::sleep_until(self.wake_at(now)) => {}
                () = shutdown.cancelled(), if self.drain.is_none() => self.begin_drain(DrainedBy::Shutdown),
                dialed = dials.join_next(), if !dials.is_empty() => match dialed {
                    Some(Ok(Ok(dialed))) => {
                        let wire = self.welcome(dialed);
                        (tx, rx) = (Some(wire.tx), Some(wire.rx));
                    }
                    Some(Ok(Err(status))) if self.identity.is_none() && is_final(status.code()) => {
                        return Err(WorkerError::Refused {
                            code: format!("{:?}", status.code()),
                            message: status.message().into(),
                        });
                    }
                    _ => {}
                },
                frame = receive(rx.as_mut()) => match frame {
                    Ok(Some(response)) => {
                        if matches!(response.frame, Some(v1::connect_response::Frame::HeartbeatAck(_))) {
                            dialer.succeeded();
                        }
                        self.on_frame(response, Instant::now());
                    }
                    Ok(None) => self.break_stream("ended by the server"),
                    Err(status) => {
                        tracing::warn!(code = ?status.code(), error = status.message(), "stream failed");
                        self.break_stream("failed");
                    }
                },
                room = room(tx.clone()), if has_frame => match room {
                    Some(room) => if let Some(frame) = self.next_frame(Instant::now()) {
                        room.send(frame);
                        if self.session.as_ref().is_some_and(|session| session.goodbye.is_some()) {
                            // The half-close that belongs to a goodbye.
                            tx = None;
                        }
                    },
                    None => self.break_stream("closed by the transport"),
                },
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.on_task_end(ended),
                () = events_ready.signalled(), if !has_frame => {}
            }
        }
        self.leave();
        Ok(self.summary)
    }

    /// What is due by the clock. It comes first in each turn: after the process was stopped for a while, leases are judged
    /// before anything else happens.
    fn tick(&mut self, now: Instant) {
        if self.lease_check.is_some_and(|at| now >= at) {
            for key in self.grants.expired(now, self.lease_timeout) {
                self.kill(key, "no heartbeat was acknowledged for a lease");
            }
            self.lease_check = self.grants.next_expiry(self.lease_timeout);
        }
        for key in self.reports.overdue(now) {
            tracing::warn!(grant = %key, "the log could not be flushed and is given up; the outcome is reported");
            self.events.remove(key);
            self.reports.release(key);
        }
        if let Some(session) = &mut self.session
            && session.heartbeats.is_dead(now)
        {
            session.broken.get_or_insert("no heartbeat is acknowledged");
        }
        if let Some(drain) = &mut self.drain
            && drain.stop_at.is_some_and(|at| now >= at)
        {
            drain.stop_at = None;
            for (key, running) in &self.running {
                tracing::warn!(grant = %key, "handler did not finish within the drain timeout and is stopped");
                running.stop.request(StopReason {
                    cause: StopCause::Shutdown,
                    reason: "the worker shuts down".into(),
                    grace: STOP_GRACE,
                });
            }
        }
    }

    /// When the clock makes something due.
    fn wake_at(&self, now: Instant) -> Instant {
        let session = self.session.as_ref().map(|session| match session.goodbye {
            Some(said) => said + GOODBYE_TIMEOUT,
            None => session.heartbeats.wake_at(now),
        });
        let drain = self.drain.as_ref().map(|drain| drain.stop_at.unwrap_or(drain.give_up_at));
        let wakes = [session, drain, self.lease_check, self.reports.next_deadline()];
        wakes.into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    fn is_finished(&self, now: Instant) -> bool {
        let Some(drain) = &self.drain else { return false };
        if now >= drain.give_up_at {
            return true;
        }
        let said_goodbye = |session: &Session| session.goodbye.is_some_and(|said| now >= said + GOODBYE_TIMEOUT);
        self.is_quiet() && self.session.as_ref().is_none_or(said_goodbye)
    }

    /// True if nothing runs and every outcome is acknowledged.
    pub(crate) fn is_quiet(&self) -> bool {
        self.grants.is_idle() && self.tasks.is_empty()
    }

    /// Room for more runs. Handlers that were killed and have not ended yet still hold theirs; and so do outcomes, as soon as
    /// there are more than slots, so that they stay bounded while no server takes them.
    pub(crate) fn free_slots(&self) -> usize {
        let slots = self.setup.config.slots;
        let waiting_outcomes = self.reports.len().saturating_sub(slots);
        slots.saturating_sub(self.grants.assigned_count() + self.tasks.len() + waiting_outcomes)
    }

    pub(crate) fn begin_drain(&mut self, by: DrainedBy) {
        if self.drain.is_some() {
            return;
        }
        tracing::info!(?by, running = self.running.len(), "draining");
        self.summary.drained_by = by;
        let stop_at = Instant::now() + self.setup.config.drain_timeout;
        let give_up_at = stop_at + STOP_GRACE * 2 + FLUSH_TIMEOUT;
        self.drain = Some(Drain { stop_at: Some(stop_at), give_up_at });
        let is_quiet = self.is_quiet();
        if let Some(session) = &mut self.session {
            session.accepts.clear();
            // Credit can not be taken back, and what the server still sends on it would be lost to others until it
            // notices that nobody accepts it. A new stream has no credit, and what was not started goes back at once. An
            // operator's drain needs none of this, since the server knows.
            if by == DrainedBy::Shutdown
                && !is_quiet
                && session.credit.outstanding() + self.grants.assigned_count() as i64 > 0
            {
                session.broken.get_or_insert("left to give credit back");
                session.is_server_leaving = true;
            }
        }
    }

    fn hello(&self) -> v1::Hello {
        let config = &self.setup.config;
        v1::Hello {
            protocol_version: 1,
            name: config.name.clone(),
            lanes: config.lanes.iter().map(|lane| wire::lane(*lane)).collect(),
            kinds: self.setup.kinds.clone(),
            labels: config.labels.clone(),
            version: config.version.clone(),
            resume: self.identity.as_ref().map(|identity| v1::Resume {
                worker_id: identity.worker_id.clone(),
                secret: identity.secret.clone(),
                held: wire::leases(&self.grants.held()),
            }),
        }
    }

    fn welcome(&mut self, dialed: Dialed) -> Wire {
        let Dialed { welcome, hello_sent, link, wire } = dialed;
        let now = Instant::now();
        let is_same = self.identity.as_ref().is_some_and(|identity| identity.worker_id == welcome.worker_id);
        let standing = if is_same { wire::grant_keys(&welcome.standing) } else { Vec::new() };
        for key in self.grants.fallen(&standing) {
            self.kill(key, "the grant does not stand any more");
        }
        self.lease_timeout = wire::duration(welcome.lease_timeout).unwrap_or(DEFAULT_LEASE_TIMEOUT);
        self.grants.renew(&standing, hello_sent);
        self.lease_check = self.grants.next_expiry(self.lease_timeout);
        let interval = wire::duration(welcome.heartbeat_interval).filter(|interval| !interval.is_zero());
        self.session = Some(Session {
            heartbeats: Heartbeats::new(interval.unwrap_or(DEFAULT_HEARTBEAT_INTERVAL), now),
            credit: Credit::default(),
            accepts: Vec::new(),
            cancel_acks: Vec::new(),
            is_server_leaving: false,
            goodbye: None,
            broken: None,
        });
        self.events.resume(welcome.event_credits as usize);
        self.reports.resume(now);
        self.running.values().for_each(|running| running.progress.mark_changed());
        self.summary.connects += 1;
        tracing::info!(
            worker_id = welcome.worker_id,
            stream_epoch = welcome.stream_epoch,
            standing = standing.len(),
            "connected"
        );
        self.links.send_replace(Some(link));
        self.identity = Some(Identity { worker_id: welcome.worker_id, secret: welcome.secret });
        wire
    }

    pub(crate) fn break_stream(&mut self, reason: &'static str) {
        if let Some(session) = &mut self.session {
            session.broken.get_or_insert(reason);
        }
    }

    /// Started runs go on; the rest is dropped. True if the next server can be tried at once.
    fn stream_lost(&mut self, reason: &'static str) -> bool {
        let Some(session) = self.session.take() else { return false };
        let dropped = self.grants.drop_unstarted();
        self.events.pause();
        self.reports.pause();
        if session.goodbye.is_none() {
            tracing::info!(reason, running = self.running.len(), dropped, "stream lost");
        }
        session.is_server_leaving
    }

    /// Ends a grant that is no longer this worker's: nothing of it is reported.
    pub(crate) fn kill(&mut self, key: GrantKey, reason: &str) {
        if let Some(running) = self.running.remove(&key) {
            running.task.abort();
        }
        self.events.remove(key);
        self.reports.remove(key);
        if self.grants.remove(key) {
            self.summary.lost += 1;
            tracing::warn!(grant = %key, reason, "grant lost");
        }
    }

    fn on_task_end(&mut self, ended: Result<(task::Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Some(outcome)),
            Err(error) if error.is_panic() => {
                (error.id(), Some(Outcome::failed(Failure::new("Panic", "the worker's own task panicked"))))
            }
            Err(error) => (error.id(), None),
        };
        let Some(key) = self.task_keys.remove(&id) else { return };
        self.events.close(key);
        // A grant that was lost meanwhile has nothing to report.
        let Some(outcome) = outcome.filter(|_| self.grants.end(key)) else { return };
        self.running.remove(&key);
        if self.events.is_flushed(key) {
            self.reports.add(key, outcome);
        } else {
            let until = self.session.is_some().then(|| Instant::now() + FLUSH_TIMEOUT);
            self.reports.hold(key, outcome, until);
        }
    }

    fn publish_status(&self) {
        let status = WorkerStatus {
            worker_id: self.identity.as_ref().map(|identity| identity.worker_id.clone()),
            is_connected: self.session.is_some(),
            is_draining: self.drain.is_some(),
            running: self.running.len(),
        };
        self.setup.status.send_if_modified(|published| {
            let is_new = *published != status;
            if is_new {
                *published = status;
            }
            is_new
        });
    }

    fn leave(&mut self) {
        self.summary.worker_id = self.identity.as_ref().map(|identity| identity.worker_id.clone());
        self.summary.unreported = (self.reports.len() + self.running.len()) as u64;
        self.setup.status.send_modify(|status| status.is_connected = false);
        tracing::info!(summary = ?self.summary, "left");
    }
}

async fn receive(rx: Option<&mut Streaming<v1::ConnectResponse>>) -> Result<Option<v1::ConnectResponse>, Status> {
    match rx {
        Some(rx) => rx.message().await,
        None => std::future::pending().await,
    }
}

/// Room for one frame; `None` if the stream is gone.
async fn room(tx: Option<mpsc::Sender<v1::ConnectRequest>>) -> Option<mpsc::OwnedPermit<v1::ConnectRequest>> {
    match tx {
        Some(tx) => tx.reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}
