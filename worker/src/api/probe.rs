//! A context without a server, for tests of handlers.

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    api::{
        context::{ContextFields, RunContext},
        log_entry::LogEntry,
        run_info::RunInfo,
        stop::{Stop, StopReason},
    },
    grant::{key::GrantKey, progress::ProgressCell},
    log::queue::{EventQueue, Ready},
};

/// The other end of a context: it reads the log and the progress of a handler, and asks it to stop. Artifacts fail.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<Stop>,
    events: Arc<EventQueue>,
    ready: Arc<Ready>,
    progress: Arc<ProgressCell>,
}

impl Probe {
    /// A context for this run, and its other end.
    pub fn new(mut info: RunInfo) -> (RunContext, Self) {
        let run_id = info.run_id.parse().unwrap_or_else(|_| Uuid::now_v7());
        info.run_id = run_id.to_string();
        let key = GrantKey { run_id, fence: 1 };
        let (stop, ready, progress) = (Arc::<Stop>::default(), Arc::<Ready>::default(), Arc::<ProgressCell>::default());
        let events = Arc::new(EventQueue::new(key, Arc::clone(&ready)));
        let (_, links) = watch::channel(None);
        let fields = ContextFields {
            info,
            key,
            stop: Arc::clone(&stop),
            events: Arc::clone(&events),
            progress: Arc::clone(&progress),
            links,
        };
        (RunContext::new(fields), Self { stop, events, ready, progress })
    }

    /// A context for a run with these params, and its other end.
    pub fn with_params(params: serde_json::Value) -> (RunContext, Self) {
        Self::new(RunInfo { params, attempt: 1, max_attempts: 1, ..RunInfo::default() })
    }

    /// Asks the handler to stop.
    pub fn stop(&self, reason: StopReason) {
        self.stop.request(reason);
    }

    /// Waits for the next line of the log.
    pub async fn next_entry(&self) -> LogEntry {
        loop {
            if let Some(entry) = self.try_next_entry() {
                return entry;
            }
            self.ready.signalled().await;
        }
    }

    /// The next line of the log; `None` if there is none yet.
    pub fn try_next_entry(&self) -> Option<LogEntry> {
        while self.ready.pop().is_some() {}
        let batch = self.events.take(1, usize::MAX)?;
        self.events.acknowledge(batch.first_seq);
        batch.entries.into_iter().next()
    }

    /// All lines that are not taken yet.
    pub fn entries(&self) -> Vec<LogEntry> {
        std::iter::from_fn(|| self.try_next_entry()).collect()
    }

    /// The fraction and the message of the latest progress; `None` if it has not changed since the last call.
    pub fn progress(&self) -> Option<(f64, String)> {
        self.progress.take_changed().map(|progress| (progress.fraction, progress.message))
    }
}
