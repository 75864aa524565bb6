//! The resources that connections may use.

use std::time::Duration;

/// The smallest limit for headers that ordinary clients stay within.
const HEADER_BYTES_MIN: u32 = 8 * 1024;
/// HTTP/2 encodes lengths in 31 bits.
const HTTP2_MAX: u32 = i32::MAX as u32;

/// Bounds of connections, streams and their frames. Beyond them a stream or its connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportConfig {
    /// Connections at once. One more is closed as soon as it is accepted.
    pub max_connections: usize,
    /// Calls at once on one connection. Clients hold back further calls.
    pub max_streams: u32,
    /// Streams that a client opened and reset before the server accepted them. One more closes the connection, with all other
    /// streams on it, so a client whose calls were abandoned while the server or the network stood still must stay below.
    pub max_pending_resets: usize,
    /// Streams that the server reset because of a client's errors, since the connection was opened. One more closes the
    /// connection. Each frame of a message that comes after its call was answered counts, so a long-lived connection of an
    /// honest client has some.
    pub max_error_resets: usize,
    /// The size of a request's header, all names and values together, in bytes.
    pub max_header_bytes: u32,
    /// The bytes that may wait on one stream for its reader.
    pub send_buffer_bytes: u32,
    /// How long a new connection may take to show whether it speaks HTTP/2 or HTTP/1.
    pub handshake_timeout: Duration,
    /// How long the header of an HTTP/1 request may take to arrive, and how long an HTTP/1 connection is kept without a request.
    pub http1_header_timeout: Duration,
    /// The time between two pings on a connection of HTTP/2.
    pub keepalive_interval: Duration,
    /// How long the answer to a ping may take before the connection is closed.
    pub keepalive_timeout: Duration,
    /// How long a connection accepts new calls; `None` means for ever. Open calls continue afterwards.
    pub max_connection_age: Option<Duration>,
    /// How long the message of a call may take to arrive. Streams of messages are excepted.
    pub receive_timeout: Duration,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            max_connections: 12_000,
            max_streams: 1_000,
            // As many as may be open at once. A flood of opened and reset streams is far above: one read brings thousands.
            max_pending_resets: 1_000,
            max_error_resets: 10_000,
            max_header_bytes: 16 * 1024,
            send_buffer_bytes: 256 * 1024,
            handshake_timeout: Duration::from_secs(10),
            http1_header_timeout: Duration::from_secs(30),
            // Both together are less than the shortest useful lease.
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(10),
            max_connection_age: None,
            receive_timeout: Duration::from_secs(30),
        }
    }
}

impl TransportConfig {
    /// Adds a text for each bad value, with the name of its setting.
    pub fn check(&self, wrong: &mut Vec<String>) {
        for (name, value, min, max) in [
            ("transport.max_connections", self.max_connections, 1, usize::MAX),
            ("transport.max_streams", self.max_streams as usize, 1, HTTP2_MAX as usize),
            ("transport.max_pending_resets", self.max_pending_resets, 1, usize::MAX),
            ("transport.max_error_resets", self.max_error_resets, 1, usize::MAX),
            (
                "transport.max_header_bytes",
                self.max_header_bytes as usize,
                HEADER_BYTES_MIN as usize,
                HTTP2_MAX as usize,
            ),
            ("transport.send_buffer_bytes", self.send_buffer_bytes as usize, 1024, HTTP2_MAX as usize),
        ] {
            if value < min || value > max {
                let upto = if max == usize::MAX { "or more".to_owned() } else { format!("to {max}") };
                wrong.push(format!("{name}: expected {min} {upto}, got {value}"));
            }
        }
        for (name, value) in [
            ("transport.handshake_timeout", Some(self.handshake_timeout)),
            ("transport.http1_header_timeout", Some(self.http1_header_timeout)),
            ("transport.keepalive_interval", Some(self.keepalive_interval)),
            ("transport.keepalive_timeout", Some(self.keepalive_timeout)),
            ("transport.max_connection_age", self.max_connection_age),
            ("transport.receive_timeout", Some(self.receive_timeout)),
        ] {
            if let Some(value) = value.filter(|value| *value < Duration::from_millis(100)) {
                wrong.push(format!("{name}: expected 100 ms or more, got {value:?}"));
            }
        }
    }
}
