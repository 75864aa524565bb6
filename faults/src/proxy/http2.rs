//! Follows the frames of an HTTP/2 server far enough to know where a response begins.

use std::sync::Arc;

use super::filter::{Filter, Passed};
use super::orders::Cut;
use super::trap::{Trap, Traps};

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// One link.
#[derive(Debug)]
pub(super) struct Http2 {
    traps: Arc<Traps>,
    /// A header that is not complete yet.
    header: Vec<u8>,
    /// The bytes of the current frame's payload that are missing.
    payload: usize,
}

impl Http2 {
    pub(super) fn new(traps: Arc<Traps>) -> Self {
        Self { traps, header: Vec::with_capacity(HEADER), payload: 0 }
    }
}

impl Filter for Http2 {
    fn client_sent(&mut self, bytes: &[u8], out: &mut Passed) {
        out.to_server.extend_from_slice(bytes);
    }

    fn server_sent(&mut self, bytes: &[u8], out: &mut Passed) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.payload > 0 {
                let (now, later) = rest.split_at(self.payload.min(rest.len()));
                out.to_client.extend_from_slice(now);
                self.payload -= now.len();
                rest = later;
                continue;
            }
            let (now, later) = rest.split_at((HEADER - self.header.len()).min(rest.len()));
            self.header.extend_from_slice(now);
            rest = later;
            if self.header.len() < HEADER {
                return;
            }
            let header = std::mem::take(&mut self.header);
            self.payload = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
            let is_response = header[3] == HEADERS || (header[3] == DATA && self.payload > 0);
            let dropped = || {
                self.traps.spring(|trap| match trap {
                    Trap::DropResponse { cut_after } => Some(*cut_after),
                    _ => None,
                })
            };
            if is_response && let Some(cut_after) = dropped() {
                out.cut = Some((Cut::Rst, cut_after));
                return;
            }
            out.to_client.extend_from_slice(&header);
        }
    }
}
