//! How the engine behaves, where that can be chosen, and the constants behind it.

use std::time::Duration;

/// How often what NOTIFY wakeups at is looked for without a wakeup. A wakeup may be lost; polling is the truth.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a report, a start or a given-back grant waits before it is tried again while the database is away.
pub const OUTAGE_RETRY_DELAY: Duration = Duration::from_millis(250);

/// How often a worker sends a heartbeat, as a part of its lease: five may be lost.
pub const HEARTBEATS_PER_LEASE: u32 = 6;

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// How long a grant lives without a heartbeat.
    pub lease_timeout: Duration,
    /// How long a worker may take to accept a run before it is given to another.
    pub accept_timeout: Duration,
    /// How many log events a worker may send ahead of their acknowledgement.
    pub event_credits: u32,
    /// How many bytes of results and log events of all workers may wait to be written, as while the database is away. Beyond
    /// them streams are ended as overload; their workers keep what was not answered, and send it again.
    pub stream_bytes: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            lease_timeout: Duration::from_secs(30),
            accept_timeout: Duration::from_secs(5),
            event_credits: 1_000,
            stream_bytes: 256 << 20,
        }
    }
}
