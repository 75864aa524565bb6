//! A filter reads the bytes of a link, and may change them.

use std::time::Duration;

use super::orders::Cut;

/// Follows the protocol of one link.
pub(super) trait Filter: Send {
    /// The client has sent these bytes.
    fn client_sent(&mut self, bytes: &[u8], out: &mut Passed);

    /// The server has sent these bytes.
    fn server_sent(&mut self, bytes: &[u8], out: &mut Passed);
}

/// The bytes that a filter lets pass.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) to_server: Vec<u8>,
    pub(super) to_client: Vec<u8>,
    /// How the link ends, after this time and after these bytes are written. Then no more bytes pass.
    pub(super) cut: Option<(Cut, Duration)>,
}

/// Lets everything pass.
#[derive(Debug)]
pub(super) struct Plain;

impl Filter for Plain {
    fn client_sent(&mut self, bytes: &[u8], out: &mut Passed) {
        out.to_server.extend_from_slice(bytes);
    }

    fn server_sent(&mut self, bytes: &[u8], out: &mut Passed) {
        out.to_client.extend_from_slice(bytes);
    }
}
