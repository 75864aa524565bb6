//! The request to a handler to stop.

use std::{sync::OnceLock, time::Duration};

use tokio_util::sync::CancellationToken;

/// Why a handler must stop, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReason {
    /// The cause.
    pub cause: StopCause,
    /// The reason, for people.
    pub reason: String,
    /// After this time the worker drops the future of the handler.
    pub grace: Duration,
}

/// What makes a handler stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// A cancel of the run.
    Cancel,
    /// The attempt has reached its timeout.
    Timeout,
    /// The worker shuts down and its drain timeout is over.
    Shutdown,
}

/// The switch that stops one handler. The first request wins.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    reason: OnceLock<StopReason>,
}

impl Stop {
    pub(crate) fn request(&self, reason: StopReason) {
        // Set the reason first, because a task that sees the cancelled token reads it.
        let _already_stopping = self.reason.set(reason);
        self.token.cancel();
    }

    pub(crate) fn reason(&self) -> Option<&StopReason> {
        if self.token.is_cancelled() { self.reason.get() } else { None }
    }

    pub(crate) fn token(&self) -> CancellationToken {
        self.token.child_token()
    }

    pub(crate) async fn requested(&self) -> StopReason {
        loop {
            self.token.cancelled().await;
            if let Some(reason) = self.reason.get() {
                return reason.clone();
            }
        }
    }
}
