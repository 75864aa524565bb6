//! Cuts the output of a program into log lines that together keep exactly its bytes. Pure.

use bytes::Bytes;
use worker::Content;

/// A longer line is cut into pieces.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// A line, or a part of one.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    /// Without the newline.
    bytes: Vec<u8>,
    /// Whether the line ends after this piece.
    pub(super) is_ended: bool,
}

impl Piece {
    /// The content of its event: text without the newline; or, if text can not keep the bytes exactly, the bytes with the
    /// newline.
    pub(super) fn content(self) -> Content {
        let Self { bytes, is_ended } = self;
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Content::Text(text),
            inexact => {
                let mut bytes = inexact.map_or_else(|error| error.into_bytes(), String::into_bytes);
                bytes.extend(is_ended.then_some(b'\n'));
                Content::Bytes(Bytes::from(bytes))
            }
        }
    }
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Adds bytes. Returns the lines that they end, and pieces of a line that is too long.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end], &mut pieces);
            pieces.push(Piece { bytes: std::mem::take(&mut self.partial), is_ended: true });
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, &mut pieces);
        pieces
    }

    /// The beginning of an unfinished line, up to its last whole character.
    pub(super) fn flush(&mut self) -> Option<Piece> {
        let whole = whole_characters(&self.partial);
        self.take(whole)
    }

    /// The rest, at the end of the output.
    pub(super) fn finish(&mut self) -> Option<Piece> {
        self.take(self.partial.len())
    }

    pub(super) fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    fn extend(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) {
        self.partial.extend_from_slice(bytes);
        while self.partial.len() > MAX_LINE_BYTES {
            let whole = whole_characters(&self.partial[..MAX_LINE_BYTES]);
            pieces.extend(self.take(whole));
        }
    }

    fn take(&mut self, count: usize) -> Option<Piece> {
        if count == 0 {
            return None;
        }
        let rest = self.partial.split_off(count);
        Some(Piece { bytes: std::mem::replace(&mut self.partial, rest), is_ended: false })
    }
}

/// The number of bytes without a character that is cut off at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(4);
    // Look only at the last character. The bytes before it may be no UTF-8.
    let cut = (start..bytes.len()).rev().find(|at| bytes[*at] & 0xC0 != 0x80);
    match cut.map(|at| (at, std::str::from_utf8(&bytes[at..]))) {
        Some((at, Err(error))) if error.error_len().is_none() && at > 0 => at,
        Some((0, Err(error))) if error.error_len().is_none() => 0,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Does what `ops run logs` does: a text is a line, unless it is partial; bytes stay as they are.
    fn put_together(pieces: impl IntoIterator<Item = Piece>) -> Vec<u8> {
        let mut output = Vec::new();
        for piece in pieces {
            let is_ended = piece.is_ended;
            match piece.content() {
                Content::Text(text) => {
                    output.extend(text.into_bytes());
                    output.extend(is_ended.then_some(b'\n'));
                }
                Content::Bytes(bytes) => output.extend(bytes),
            }
        }
        output
    }

    fn shown(pieces: impl IntoIterator<Item = Piece>) -> Vec<(Content, bool)> {
        pieces.into_iter().map(|piece| (piece.is_ended, piece)).map(|(ended, piece)| (piece.content(), ended)).collect()
    }

    #[test]
    fn text_comes_without_its_newline_and_keeps_its_carriage_return() {
        let mut lines = Lines::default();
        let expected = [("a\r".into(), true), ("b".into(), true), ("".into(), true)];
        assert_eq!(shown(lines.push(b"a\r\nb\n\nc")), expected);
        assert_eq!(shown(lines.push(b"d\n")), [("cd".into(), true)]);
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn a_line_that_text_can_not_keep_comes_as_bytes_with_the_newline() {
        let mut lines = Lines::default();
        let bytes = |bytes: &'static [u8]| Content::Bytes(Bytes::from_static(bytes));
        let expected = [(bytes(b"\xFF\r\n"), true), (bytes(b"a\0b\n"), true)];
        assert_eq!(shown(lines.push(b"\xFF\r\na\0b\n\xFE")), expected);
        assert_eq!(shown(lines.finish()), [(bytes(b"\xFE"), false)]);
    }

    #[test]
    fn a_line_that_was_shown_before_its_end_is_partial() {
        let mut lines = Lines::default();
        lines.push(b"Password: ");
        assert_eq!(shown(lines.flush()), [("Password: ".into(), false)]);
        assert_eq!(shown(lines.push(b"\nlast")), [("".into(), true)]);
        assert_eq!(shown(lines.finish()), [("last".into(), false)]);
    }

    #[test]
    fn characters_are_not_cut_in_two() {
        let mut lines = Lines::default();
        lines.push(b"x\xC3");
        assert_eq!(shown(lines.flush()), [("x".into(), false)]);
        assert_eq!(lines.flush(), None);
        assert_eq!(shown(lines.push(b"\xA9\n")), [("\u{e9}".into(), true)]);
        let long = "\u{e9}".repeat(MAX_LINE_BYTES);
        let pieces = lines.push(format!("x{long}\n").as_bytes());
        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|piece| std::str::from_utf8(&piece.bytes).is_ok()));
        assert_eq!(put_together(pieces), format!("x{long}\n").into_bytes());
    }

    proptest! {
        /// However the output arrives, the pieces together are exactly its bytes, and no piece is too long.
        #[test]
        fn nothing_is_lost_and_nothing_is_added(
            chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40_000), any::<bool>()), 0..4),
            texts in prop::collection::vec(prop::sample::select(vec!["a", "\r", "\n", "\r\n", "\0", "\u{e9}"]), 0..50),
        ) {
            let mut lines = Lines::default();
            let mut pieces = Vec::new();
            let chunks = chunks.into_iter().chain(texts.iter().map(|text| (text.as_bytes().to_vec(), text.len() == 1)));
            let mut all = Vec::new();
            for (chunk, is_flushed) in chunks {
                all.extend_from_slice(&chunk);
                pieces.extend(lines.push(&chunk));
                if is_flushed {
                    pieces.extend(lines.flush());
                }
            }
            pieces.extend(lines.finish());
            prop_assert!(pieces.iter().all(|piece| piece.bytes.len() <= MAX_LINE_BYTES));
            prop_assert_eq!(put_together(pieces), all);
        }
    }
}
