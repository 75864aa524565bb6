//! Splits a byte stream into messages of PostgreSQL's protocol.

/// Replaces the tag of a client's first messages, which have none.
pub(super) const STARTUP: u8 = 0;

/// One whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) tag: u8,
    /// All bytes, tag and length included.
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    /// Its content, without tag and length.
    pub(super) fn body(&self) -> &[u8] {
        let head = if self.tag == STARTUP { 4 } else { 5 };
        self.bytes.get(head..).unwrap_or_default()
    }
}

/// Makes a message.
pub(super) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// The text up to the first NUL, and the bytes after that.
pub(super) fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// The bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    waiting: Vec<u8>,
}

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next whole message, which has a tag unless it is a startup.
    pub(super) fn next(&mut self, is_startup: bool) -> Option<Frame> {
        let head = usize::from(!is_startup);
        let length = self.waiting.get(head..head + 4)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        // The length includes itself.
        let end = head + usize::try_from(length).ok()?.max(4);
        if self.waiting.len() < end {
            return None;
        }
        let rest = self.waiting.split_off(end);
        let bytes = std::mem::replace(&mut self.waiting, rest);
        Some(Frame { tag: if is_startup { STARTUP } else { bytes[0] }, bytes })
    }

    /// One byte: the server's answer to a request for TLS.
    pub(super) fn byte(&mut self) -> Option<u8> {
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }

    /// All bytes that are left.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.waiting)
    }
}
