//! Limits of connections.

use std::time::Duration;

use clap::Args;

use super::values::duration;

/// Limits of connections. The server ends a call, or its connection, that exceeds them.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connections")]
pub(crate) struct TransportArgs {
    /// Open connections; one more is closed as soon as it is accepted
    #[arg(long, env = "OPS_MAX_CONNECTIONS", value_name = "COUNT", default_value_t = server::TransportConfig::default().max_connections)]
    max_connections: usize,
    /// Open calls on one connection; clients delay further calls
    #[arg(long, env = "OPS_MAX_STREAMS", value_name = "COUNT", default_value_t = server::TransportConfig::default().max_streams)]
    max_streams: u32,
    /// Streams that a client may open and reset before the server has read them
    #[arg(long, env = "OPS_MAX_PENDING_RESETS", value_name = "COUNT", default_value_t = server::TransportConfig::default().max_pending_resets)]
    max_pending_resets: usize,
    /// Streams of one connection that the server may have to reset because of its client's errors
    #[arg(long, env = "OPS_MAX_ERROR_RESETS", value_name = "COUNT", default_value_t = server::TransportConfig::default().max_error_resets)]
    max_error_resets: usize,
    /// The header of a request, in bytes
    #[arg(long, env = "OPS_MAX_HEADER_BYTES", value_name = "BYTES", default_value_t = server::TransportConfig::default().max_header_bytes)]
    max_header_bytes: u32,
    /// Bytes that the server sends on one stream ahead of its reader
    #[arg(long, env = "OPS_SEND_BUFFER_BYTES", value_name = "BYTES", default_value_t = server::TransportConfig::default().send_buffer_bytes)]
    send_buffer_bytes: u32,
    /// How long a new connection may take to say whether it speaks HTTP/2 or HTTP/1
    #[arg(long, env = "OPS_HANDSHAKE_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    handshake_timeout: Duration,
    /// How long the header of an HTTP/1 request may take, and how long such a connection stays open without a request
    #[arg(long, env = "OPS_HTTP1_HEADER_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    http1_header_timeout: Duration,
    /// Time between two pings on an HTTP/2 connection
    #[arg(long, env = "OPS_KEEPALIVE_INTERVAL", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    keepalive_interval: Duration,
    /// How long the other side may take to answer a ping before the connection is closed
    #[arg(long, env = "OPS_KEEPALIVE_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    keepalive_timeout: Duration,
    /// How long a connection takes new calls, so that clients spread over new servers [default: no limit]
    #[arg(long, env = "OPS_MAX_CONNECTION_AGE", value_name = "DURATION", value_parser = duration)]
    max_connection_age: Option<Duration>,
    /// How long the message of a call may take to arrive, except on streams of messages
    #[arg(long, env = "OPS_RECEIVE_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    receive_timeout: Duration,
}

impl TransportArgs {
    pub(crate) fn transport(&self) -> server::TransportConfig {
        server::TransportConfig {
            max_connections: self.max_connections,
            max_streams: self.max_streams,
            max_pending_resets: self.max_pending_resets,
            max_error_resets: self.max_error_resets,
            max_header_bytes: self.max_header_bytes,
            send_buffer_bytes: self.send_buffer_bytes,
            handshake_timeout: self.handshake_timeout,
            http1_header_timeout: self.http1_header_timeout,
            keepalive_interval: self.keepalive_interval,
            keepalive_timeout: self.keepalive_timeout,
            max_connection_age: self.max_connection_age,
            receive_timeout: self.receive_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::{Cli, Command};

    #[test]
    fn the_defaults_are_those_of_the_server() {
        let cli = Cli::try_parse_from(["ops", "serve", "--database-url", "postgres://h/d"]).unwrap();
        let Command::Serve(serve) = cli.command else { panic!() };
        assert_eq!(serve.transport.transport(), server::TransportConfig::default());
    }
}
