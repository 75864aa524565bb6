//! The settings of the engine, and the constants that several of its layers share.

use std::time::Duration;

/// How often each loop looks for work without a wakeup, because a wakeup may be lost.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long work waits before its next try while the database is away.
pub const OUTAGE_RETRY_DELAY: Duration = Duration::from_millis(250);

/// The number of heartbeats that a worker sends within a lease, at least: five of them may be lost.
const HEARTBEATS_PER_LEASE: u32 = 6;

/// The longest time between two heartbeats. Between worker and server there may be a proxy that ends streams on which nothing comes for its
/// idle time, which is a minute for most.
const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(20);

/// The time between two heartbeats of a worker with leases of this length.
pub fn heartbeat_interval(lease: Duration) -> Duration {
    (lease / HEARTBEATS_PER_LEASE).min(HEARTBEAT_INTERVAL_MAX)
}

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
    /// that sends more ends as overloaded. Its worker keeps everything that was not answered, and sends it again. As many bytes of runs
    /// may wait for workers to accept them.
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
