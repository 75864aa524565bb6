//! A program's output as log lines, as they come.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::{
    context::RunContext,
    log_entry::{Content, Level},
};

/// A line that is longer is split.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// A line without an end, such as a prompt, is shown after this time.
const PARTIAL_AFTER: Duration = Duration::from_millis(200);
/// Once the program has ended, what is still in its pipe is read until it is quiet for this time. A process that left the
/// group may keep the pipe open for ever, or write for ever: so there is an end to both.
const QUIET_AFTER: Duration = Duration::from_millis(500);
const MAX_REST_BYTES: usize = 1024 * 1024;
/// What is kept of the end of the output, for the error of a program that fails.
const TAIL_BYTES: usize = 4 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// Which output.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Logs what comes out of the pipe, until its end, and returns the last of it. `closing` says that the program has ended.
pub(super) async fn pump<R: AsyncRead + Unpin>(
    ctx: &RunContext,
    stream: Stream,
    pipe: Option<R>,
    closing: &CancellationToken,
) -> Tail {
    let mut tail = Tail::default();
    let Some(mut pipe) = pipe else { return tail };
    let (level, name) = match stream {
        Stream::Stdout => (Level::Info, "stdout"),
        Stream::Stderr => (Level::Warn, "stderr"),
    };
    let data = json!({ "stream": name });
    let mut lines = Lines::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut rest = MAX_REST_BYTES;
    let mut flush_at = None;
    loop {
        let is_closing = closing.is_cancelled();
        let wait_until = if is_closing { Some(Instant::now() + QUIET_AFTER) } else { flush_at };
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => read.unwrap_or(0),
            () = until(wait_until) => {
                if is_closing {
                    break;
                }
                flush_at = None;
                if let Some(line) = lines.flush() {
                    ctx.log_with(level, line_content(line), &data).await;
                }
                continue;
            }
            () = closing.cancelled(), if !is_closing => continue,
        };
        if is_closing {
            rest = rest.saturating_sub(read);
        }
        if read == 0 || rest == 0 {
            break;
        }
        tail.push(&buffer[..read]);
        for line in lines.push(&buffer[..read]) {
            ctx.log_with(level, line_content(line), &data).await;
        }
        flush_at = if lines.has_partial() { flush_at.or(Some(Instant::now() + PARTIAL_AFTER)) } else { None };
    }
    if let Some(line) = lines.finish() {
        ctx.log_with(level, line_content(line), &data).await;
    }
    tail
}

/// The last bytes of an output.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let surplus = self.bytes.len().saturating_sub(TAIL_BYTES);
        self.bytes.drain(..surplus);
    }

    /// As readable text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).trim_end().to_owned()
    }
}

/// Cuts bytes into lines, without their ends.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
    /// The beginning of the current line was given out already.
    is_continued: bool,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end], &mut lines);
            if self.partial.last() == Some(&b'\r') {
                self.partial.pop();
            }
            let line = std::mem::take(&mut self.partial);
            // The end of a line whose beginning was shown is no empty line.
            if !(line.is_empty() && self.is_continued) {
                lines.push(line);
            }
            self.is_continued = false;
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, &mut lines);
        lines
    }

    /// What there is of an unfinished line, up to its last whole character.
    fn flush(&mut self) -> Option<Vec<u8>> {
        let whole = whole_characters(&self.partial);
        self.give_out(whole)
    }

    /// What is left at the end of the output.
    fn finish(&mut self) -> Option<Vec<u8>> {
        self.give_out(self.partial.len())
    }

    fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    fn extend(&mut self, bytes: &[u8], lines: &mut Vec<Vec<u8>>) {
        self.partial.extend_from_slice(bytes);
        while self.partial.len() > MAX_LINE_BYTES {
            let whole = whole_characters(&self.partial[..MAX_LINE_BYTES]);
            lines.extend(self.give_out(whole));
        }
    }

    fn give_out(&mut self, count: usize) -> Option<Vec<u8>> {
        if count == 0 {
            return None;
        }
        let rest = self.partial.split_off(count);
        self.is_continued = true;
        Some(std::mem::replace(&mut self.partial, rest))
    }
}

/// How many bytes there are before a character that is cut off at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(4);
    // The last characters only: what comes before may be anything.
    let cut = (start..bytes.len()).rev().find(|at| bytes[*at] & 0xC0 != 0x80);
    match cut.map(|at| (at, std::str::from_utf8(&bytes[at..]))) {
        Some((at, Err(error))) if error.error_len().is_none() && at > 0 => at,
        Some((0, Err(error))) if error.error_len().is_none() => 0,
        _ => bytes.len(),
    }
}

fn line_content(line: Vec<u8>) -> Content {
    match String::from_utf8(line) {
        Ok(text) => Content::Text(text),
        Err(error) => Content::Bytes(Bytes::from(error.into_bytes())),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(lines: Vec<Vec<u8>>) -> Vec<String> {
        lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_come_without_their_ends_and_partial_lines_are_kept() {
        let mut lines = Lines::default();
        assert_eq!(texts(lines.push(b"a\r\nb\n\nc")), ["a", "b", ""]);
        assert_eq!(texts(lines.push(b"d\n")), ["cd"]);
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn the_end_of_a_line_that_was_shown_is_no_empty_line() {
        let mut lines = Lines::default();
        lines.push(b"Password: ");
        assert_eq!(lines.flush().unwrap(), b"Password: ");
        assert_eq!(texts(lines.push(b"\nnext\n")), ["next"]);
    }

    #[test]
    fn characters_are_not_cut_in_two() {
        let mut lines = Lines::default();
        lines.push(b"x\xC3");
        assert_eq!(lines.flush().unwrap(), b"x");
        assert_eq!(lines.flush(), None);
        assert_eq!(texts(lines.push(b"\xA9\n")), ["é"]);
        let long = "é".repeat(MAX_LINE_BYTES);
        let parts = lines.push(format!("x{long}\n").as_bytes());
        assert_eq!(parts.len(), 3);
        assert_eq!(texts(parts).concat(), format!("x{long}"));
    }

    proptest! {
        /// However the output arrives, no byte of it is lost, and no line is too long.
        #[test]
        fn nothing_is_lost(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 0..4)) {
            let mut lines = Lines::default();
            let mut got = Vec::new();
            for chunk in &chunks {
                for line in lines.push(chunk).into_iter().chain(lines.flush()) {
                    prop_assert!(line.len() <= MAX_LINE_BYTES);
                    got.extend(line);
                }
            }
            got.extend(lines.finish().unwrap_or_default());
            // Line ends are left out, and so are some carriage returns before them.
            let plain = |bytes: &[u8]| bytes.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect::<Vec<_>>();
            prop_assert_eq!(plain(&got), plain(&chunks.concat()));
        }
    }
}
