//! One direction of a link: bytes that were read and not written yet, and when to write them.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::orders::{Flow, Pass};

/// The most bytes that a direction keeps. A sender of more has to wait, as with a slow network.
const ROOM: usize = 256 * 1024;
/// A limit of bytes a second is kept in this many steps.
const STEPS: u32 = 20;

/// The bytes on their way.
#[derive(Debug)]
pub(super) struct Direction {
    flow: Flow,
    queue: VecDeque<(Instant, Vec<u8>)>,
    queued: usize,
    /// Nothing is written before this time.
    paced: Instant,
    /// The source has ended.
    pub(super) is_ended: bool,
    /// The sink was closed.
    pub(super) is_closed: bool,
    /// Bytes were lost.
    pub(super) has_lost: bool,
}

impl Direction {
    pub(super) fn new(flow: Flow) -> Self {
        Self {
            flow,
            queue: VecDeque::new(),
            queued: 0,
            paced: Instant::now(),
            is_ended: false,
            is_closed: false,
            has_lost: false,
        }
    }

    /// Adopts a flow. False if bytes were lost, so the link can not continue.
    pub(super) fn flow(&mut self, flow: Flow) -> bool {
        let goes_on = flow.pass == Pass::Swallow || !self.has_lost;
        self.flow = flow;
        goes_on
    }

    pub(super) fn has_room(&self) -> bool {
        !self.is_ended && self.queued < ROOM
    }

    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        if self.flow.pass == Pass::Swallow {
            self.has_lost = true;
            return;
        }
        self.queued += bytes.len();
        self.queue.push_back((Instant::now() + self.flow.delay, bytes));
    }

    /// When the next bytes may be written; none while the orders hold them, or there are none.
    pub(super) fn due(&self) -> Option<Instant> {
        let (due, _) = self.queue.front()?;
        (self.flow.pass == Pass::Through).then(|| self.paced.max(*due))
    }

    /// Writes the bytes that are due.
    pub(super) fn write(&mut self, sink: &TcpStream) -> io::Result<()> {
        while self.due().is_some_and(|due| due <= Instant::now()) {
            let Some((_, bytes)) = self.queue.front_mut() else { break };
            let most = self.flow.rate.map_or(usize::MAX, |rate| (rate / STEPS).max(1) as usize);
            let written = match sink.try_write(&bytes[..most.min(bytes.len())]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            bytes.drain(..written);
            if bytes.is_empty() {
                self.queue.pop_front();
            }
            self.queued -= written;
            if self.flow.rate.is_some() {
                self.paced = Instant::now() + Duration::from_secs(1) / STEPS;
            }
        }
        Ok(())
    }

    /// Whether to close the sink now.
    pub(super) fn is_over(&self) -> bool {
        self.is_ended && !self.is_closed && self.queue.is_empty() && self.flow.pass == Pass::Through
    }

    /// Whether all bytes have been written.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
