//! The state of one stream, from `Welcome` to its loss.

use std::time::Duration;

use tokio::time::Instant;

use crate::grant::{credit::Credit, heartbeats::Heartbeats, key::GrantKey};

/// The lease that the worker assumes if a server names none.
pub(crate) const DEFAULT_LEASE_TIMEOUT: Duration = Duration::from_secs(30);

/// The identity of the worker, from `Welcome`.
pub(crate) struct Identity {
    pub(crate) worker_id: String,
    pub(crate) secret: String,
}

/// The state of one stream.
pub(crate) struct StreamState {
    pub(crate) heartbeats: Heartbeats,
    pub(crate) credit: Credit,
    pub(crate) accepts: Vec<GrantKey>,
    pub(crate) cancel_acks: Vec<GrantKey>,
    /// The end of the stream is expected, such as when a server shuts down: the worker tries the next server at once.
    pub(crate) is_end_expected: bool,
    /// When `Goodbye` was sent.
    pub(crate) goodbye: Option<Instant>,
    /// Why the worker must leave the stream.
    pub(crate) broken: Option<&'static str>,
    /// The stream ended, and no server said why.
    pub(crate) is_cut: bool,
}
