//! What all links of a proxy do from now on.

use std::net::SocketAddr;
use std::time::Duration;

/// How a link ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// In order, as when a process closes its socket.
    #[default]
    Fin,
    /// At once, as when a process is killed with data that nobody read.
    Rst,
}

/// What becomes of the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pass {
    /// They arrive.
    #[default]
    Through,
    /// They wait, and the end of the stream with them: a network that is split, and heals.
    Hold,
    /// They are gone, and nobody is told: half of a connection whose other side has forgotten it.
    Swallow,
}

/// How one direction flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    pub pass: Pass,
    /// How long each byte is on its way.
    pub delay: Duration,
    /// Bytes a second at the most; `None` = no bound.
    pub rate: Option<u32>,
}

/// What all links do. New links take part at once; each is ended by a cut that is ordered while it lives.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// New links go there; `None` = nobody is there, and connections are refused.
    pub upstream: Option<SocketAddr>,
    /// Connections are refused, as by a machine on which nobody listens.
    pub is_refusing: bool,
    pub to_server: Flow,
    pub to_client: Flow,
    /// How often a cut was ordered, and how the last one is done.
    pub(super) cuts: u64,
    pub(super) cut: Cut,
}

impl Orders {
    pub(super) fn listens(&self) -> bool {
        self.upstream.is_some() && !self.is_refusing
    }
}
