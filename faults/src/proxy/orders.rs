//! The orders for all links of a proxy.

use std::net::SocketAddr;
use std::time::Duration;

/// How a link ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// As when a process closes its socket.
    #[default]
    Fin,
    /// As when a process is killed with unread data.
    Rst,
}

/// The fate of the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pass {
    /// They arrive.
    #[default]
    Through,
    /// They wait, and so does the end of the stream: a network partition that heals.
    Hold,
    /// They are lost, and neither side notices: a half-open connection.
    Swallow,
}

/// How the bytes of one direction pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    pub pass: Pass,
    /// The delay of each byte.
    pub delay: Duration,
    /// The most bytes a second; none means no limit.
    pub rate: Option<u32>,
}

/// The orders for all links, new ones included. A cut ends the links that are open.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// The server of new links; none refuses connections.
    pub upstream: Option<SocketAddr>,
    /// Refuses connections, as if no process listened.
    pub is_refusing: bool,
    pub to_server: Flow,
    pub to_client: Flow,
    /// How many cuts were ordered, and the kind of the last one.
    pub(super) cuts: u64,
    pub(super) cut: Cut,
}

impl Orders {
    pub(super) fn listens(&self) -> bool {
        self.upstream.is_some() && !self.is_refusing
    }
}
