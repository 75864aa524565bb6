//! The settings of the engine, and the constants that several of its layers share.

use std::time::Duration;

/// How often each loop looks for work without a wakeup, because a wakeup may be lost.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long work waits before its next try while the database is away.
pub const OUTAGE_RETRY_DELAY: Duration = Duration::from_millis(250);

/// The number of heartbeats that a worker sends within a lease: five of them may be lost.
pub const HEARTBEATS_PER_LEASE: u32 = 6;

/// The settings of the engine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// How long a grant lives without a heartbeat.
    pub lease_timeout: Duration,
    /// How long a worker may take to accept a run before the run is given to another worker. At most half of a lease counts.
    pub accept_timeout: Duration,
    /// The number of log events that a worker may send before they are acknowledged.
    pub event_credits: u32,
    /// The bytes of results and log events of all workers that may wait to be written, for example while the database is away. A stream
    /// that sends more ends as overloaded. Its worker keeps everything that was not answered, and sends it again.
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
