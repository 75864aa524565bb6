//! How a running handler is asked to stop.

use std::{sync::OnceLock, time::Duration};

use tokio_util::sync::CancellationToken;

/// Why a handler was asked to stop, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReason {
    /// Who asks.
    pub cause: StopCause,
    /// For people.
    pub reason: String,
    /// After this the handler is aborted: its future is dropped, and with it what it holds.
    pub grace: Duration,
}

/// Who asks a handler to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// Someone cancelled the run.
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
        // The reason is there before anyone can see the token cancelled.
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
