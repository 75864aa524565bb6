//! What the worker keeps for one stream.

use std::time::Duration;

use tokio::time::Instant;

use crate::grant::{credit::Credit, heartbeats::Heartbeats, key::GrantKey};

/// The lease that the worker assumes if a server names none.
pub(crate) const DEFAULT_LEASE_TIMEOUT: Duration = Duration::from_secs(30);

/// From `Welcome`.
pub(crate) struct Identity {
    pub(crate) worker_id: String,
    pub(crate) secret: String,
}

/// What belongs to one stream.
pub(crate) struct StreamState {
    pub(crate) heartbeats: Heartbeats,
    pub(crate) credit: Credit,
    pub(crate) accepts: Vec<GrantKey>,
    pub(crate) cancel_acks: Vec<GrantKey>,
    /// The end of the stream is no fault, such as that of a server that shuts down: the next one is tried at once.
    pub(crate) is_end_expected: bool,
    /// When `Goodbye` was sent.
    pub(crate) goodbye: Option<Instant>,
    /// Why the stream is to be given up.
    pub(crate) broken: Option<&'static str>,
}
