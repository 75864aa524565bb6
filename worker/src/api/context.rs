//! What a handler is given: the run, and the ways to say how it goes.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        artifact::{ArtifactContent, ArtifactError},
        failure::HandlerError,
        log_entry::{Content, Level, LogEntry},
        params,
        run_info::RunInfo,
        stop::{Stop, StopReason},
    },
    dial::{artifact, link::Link},
    grant::{
        key::GrantKey,
        progress::{Progress, ProgressCell},
    },
    log::queue::EventQueue,
};

/// The contract's limit for a progress message.
const MAX_PROGRESS_CHARACTERS: usize = 4000;

/// What a handler is given. Clones stand for the same attempt.
#[derive(Clone, Debug)]
pub struct RunContext {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: RunInfo,
    key: GrantKey,
    deadline: Option<Instant>,
    stop: Arc<Stop>,
    events: Arc<EventQueue>,
    progress: Arc<ProgressCell>,
    links: watch::Receiver<Option<Link>>,
}

/// What a context is made of.
pub(crate) struct Parts {
    pub(crate) info: RunInfo,
    pub(crate) key: GrantKey,
    pub(crate) stop: Arc<Stop>,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) progress: Arc<ProgressCell>,
    pub(crate) links: watch::Receiver<Option<Link>>,
}

impl RunContext {
    /// The attempt begins now.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { info, key, stop, events, progress, links } = parts;
        let deadline = info.timeout.map(|timeout| Instant::now() + timeout);
        Self { inner: Arc::new(Inner { info, key, deadline, stop, events, progress, links }) }
    }

    /// The run.
    pub fn info(&self) -> &RunInfo {
        &self.inner.info
    }

    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.inner.info.run_id
    }

    /// The number of this grant of the run: higher than that of every grant before it. What the handler writes elsewhere
    /// can be guarded with it, so that an attempt that was given up for dead changes nothing any more.
    pub fn fence(&self) -> i64 {
        self.inner.key.fence
    }

    /// What kind of work it is.
    pub fn kind(&self) -> &str {
        &self.inner.info.kind
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> i32 {
        self.inner.info.attempt
    }

    /// How many attempts there may be.
    pub fn max_attempts(&self) -> i32 {
        self.inner.info.max_attempts
    }

    /// When this attempt is stopped, by the monotonic clock; `None` = never.
    pub fn deadline(&self) -> Option<Instant> {
        self.inner.deadline
    }

    /// Where this attempt stands in a distributed trace: a W3C `traceparent`, to be handed on to what the handler calls. `None`
    /// if who enqueued the run said nothing of it.
    pub fn traceparent(&self) -> Option<&str> {
        self.inner.info.traceparent.as_deref()
    }

    /// The input as it came.
    pub fn params_value(&self) -> &Value {
        &self.inner.info.params
    }

    /// The input as a `T`.
    ///
    /// # Errors
    /// A permanent failure of type `InvalidParams`, such as "params.env.PATH: expected a string, got 3".
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        params::from_value(&self.inner.info.params)
    }

    /// Waits until the handler is asked to stop. It then has the reason's grace to return; after that its future is dropped.
    pub async fn cancelled(&self) -> StopReason {
        self.inner.stop.requested().await
    }

    /// Why the handler is asked to stop, if it is.
    pub fn stop_reason(&self) -> Option<&StopReason> {
        self.inner.stop.reason()
    }

    /// A token that is cancelled when the handler is asked to stop, for code that takes one.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.inner.stop.token()
    }

    /// Says how far the attempt is, from 0 to 1, with a message for people. Only the latest is sent, with the next heartbeat.
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let message = message.into().replace('\0', "\u{fffd}").chars().take(MAX_PROGRESS_CHARACTERS).collect();
        self.inner.progress.set(Progress { fraction, message });
    }

    /// Adds a line to the run's log. It waits while a mebibyte of this run's log is on its way to the server.
    pub async fn log(&self, level: Level, content: impl Into<Content>) {
        self.push(level, content.into(), None).await;
    }

    /// Adds bytes to the run's log, such as output that is not UTF-8; kept exactly.
    pub async fn log_bytes(&self, level: Level, bytes: impl Into<Bytes>) {
        self.push(level, Content::Bytes(bytes.into()), None).await;
    }

    /// Adds a line with data: a JSON object of up to 64 KiB.
    pub async fn log_with(&self, level: Level, content: impl Into<Content>, data: &Value) {
        self.push(level, content.into(), Some(data)).await;
    }

    /// Keeps an artifact of the run, and returns its id. `name` is a plain file name of up to 200 characters, `kind` says
    /// what it is, such as `report`. While no server answers it is tried again, for a minute.
    ///
    /// # Errors
    /// Those of [`ArtifactError`]; `?` makes a failure of them.
    pub async fn artifact(&self, name: &str, kind: &str, content: ArtifactContent) -> Result<String, ArtifactError> {
        artifact::create(self.inner.links.clone(), self.inner.key, name, kind, content).await
    }

    /// The switch that [`Self::cancelled`] waits for.
    pub(crate) fn stop_switch(&self) -> Arc<Stop> {
        Arc::clone(&self.inner.stop)
    }

    async fn push(&self, level: Level, content: Content, data: Option<&Value>) {
        for entry in LogEntry::split(level, content, data) {
            self.inner.events.push(entry).await;
        }
    }
}
