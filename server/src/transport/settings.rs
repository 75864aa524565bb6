//! What a connection may take of the server.

use std::time::Duration;

/// The least that a client may be allowed to say in its header: what real clients say.
const HEADER_BYTES_MIN: u32 = 8 * 1024;
/// HTTP/2 says lengths in 31 bits.
const HTTP2_MAX: u32 = i32::MAX as u32;

/// Bounds of connections, streams and their frames. Beyond them a stream or its connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportConfig {
    /// Connections at once. One more is closed as soon as it is accepted.
    pub max_connections: usize,
    /// Calls at once on one connection. Clients hold back what is more.
    pub max_streams: u32,
    /// Streams that were opened and reset before the server has looked at them. With one more the connection is closed.
    pub max_pending_resets: usize,
    /// Streams that the server had to reset because of a client's errors. With one more the connection is closed.
    pub max_error_resets: usize,
    /// The header of a request, all names and values together, in bytes.
    pub max_header_bytes: u32,
    /// What is sent on one stream ahead of what its reader takes, in bytes.
    pub send_buffer_bytes: u32,
    /// How long a new connection may take to say whether it speaks HTTP/2 or HTTP/1.
    pub handshake_timeout: Duration,
    /// How long the header of a request of HTTP/1 may take, and how long such a connection is kept without a request.
    pub http1_header_timeout: Duration,
    /// How often a connection of HTTP/2 is asked whether its other side is there.
    pub keepalive_interval: Duration,
    /// How long the other side may take to answer that before the connection is closed.
    pub keepalive_timeout: Duration,
    /// How long a connection takes new calls; `None` = for ever. Calls that are open then go on.
    pub max_connection_age: Option<Duration>,
    /// How long the message of a call may take to arrive, but for calls that are a stream of messages.
    pub receive_timeout: Duration,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            max_connections: 12_000,
            max_streams: 1_000,
            max_pending_resets: 20,
            max_error_resets: 100,
            max_header_bytes: 16 * 1024,
            send_buffer_bytes: 256 * 1024,
            handshake_timeout: Duration::from_secs(10),
            http1_header_timeout: Duration::from_secs(30),
            // Together less than the shortest lease that makes sense.
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(10),
            max_connection_age: None,
            receive_timeout: Duration::from_secs(30),
        }
    }
}

impl TransportConfig {
    /// All that is wrong with it, each with the name of its setting.
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
