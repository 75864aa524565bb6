//! What a handler gets: the run, and ways to log, to report progress, to keep artifacts, and to learn of a stop.

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
        text,
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

/// What a handler gets. Clones belong to the same attempt.
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

/// The fields of a context.
pub(crate) struct ContextFields {
    pub(crate) info: RunInfo,
    pub(crate) key: GrantKey,
    pub(crate) stop: Arc<Stop>,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) progress: Arc<ProgressCell>,
    pub(crate) links: watch::Receiver<Option<Link>>,
}

impl RunContext {
    /// A context for an attempt that begins now.
    pub(crate) fn new(fields: ContextFields) -> Self {
        let ContextFields { info, key, stop, events, progress, links } = fields;
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

    /// The number of this grant of the run, higher than the number of each earlier grant. A handler can guard with it what it
    /// writes elsewhere, so that an attempt whose lease has ended changes nothing any more.
    pub fn fence(&self) -> i64 {
        self.inner.key.fence
    }

    /// The run's kind.
    pub fn kind(&self) -> &str {
        &self.inner.info.kind
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> i32 {
        self.inner.info.attempt
    }

    /// The largest number of attempts.
    pub fn max_attempts(&self) -> i32 {
        self.inner.info.max_attempts
    }

    /// When the attempt reaches its timeout, by the monotonic clock; `None` = never.
    pub fn deadline(&self) -> Option<Instant> {
        self.inner.deadline
    }

    /// The place of this attempt in a distributed trace, as a W3C `traceparent`: pass it on to what the handler calls. `None`
    /// if the run belongs to no trace.
    pub fn traceparent(&self) -> Option<&str> {
        self.inner.info.traceparent.as_deref()
    }

    /// The params as JSON.
    pub fn params_value(&self) -> &Value {
        &self.inner.info.params
    }

    /// The params as a `T`.
    ///
    /// # Errors
    /// A permanent failure of type `InvalidParams`, such as "params.env.PATH: expected a string, got 3".
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        params::from_value(&self.inner.info.params)
    }

    /// Waits until the worker asks the handler to stop. Then the handler has the reason's grace to return; after that the
    /// worker drops its future.
    pub async fn cancelled(&self) -> StopReason {
        self.inner.stop.requested().await
    }

    /// Why the worker asked the handler to stop; `None` if it did not.
    pub fn stop_reason(&self) -> Option<&StopReason> {
        self.inner.stop.reason()
    }

    /// A token that is cancelled when the worker asks the handler to stop, for code that takes one.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.inner.stop.token()
    }

    /// Reports how far the attempt is, from 0 to 1, with a message for people. The next heartbeat carries the latest report.
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let message = text::prose(&message.into(), usize::MAX).chars().take(MAX_PROGRESS_CHARACTERS).collect();
        self.inner.progress.set(Progress { fraction, message });
    }

    /// Adds a line to the run's log. Waits while 1 MiB of this log has no acknowledgement from a server.
    pub async fn log(&self, level: Level, content: impl Into<Content>) {
        self.push(level, content.into(), None).await;
    }

    /// Adds bytes to the run's log, such as output that is not UTF-8. The server keeps them exactly.
    pub async fn log_bytes(&self, level: Level, bytes: impl Into<Bytes>) {
        self.push(level, Content::Bytes(bytes.into()), None).await;
    }

    /// Adds a line with data: a JSON object of up to 64 KiB.
    pub async fn log_with(&self, level: Level, content: impl Into<Content>, data: &Value) {
        self.push(level, content.into(), Some(data)).await;
    }

    /// Keeps an artifact of the run, and returns its id. `name` is a plain file name of up to 200 characters; `kind` names the
    /// sort of artifact, such as `report`. While no server answers, the call is repeated for up to 60 s.
    ///
    /// # Errors
    /// Those of [`ArtifactError`]; `?` turns them into a failure.
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
