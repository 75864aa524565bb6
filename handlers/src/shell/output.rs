//! The output of a program as log lines, as it comes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use worker::{Level, RunContext};

use super::lines::{Lines, Piece};

/// A line without a newline, such as a prompt, is logged after this time.
const PARTIAL_AFTER: Duration = Duration::from_millis(200);
/// After the program has ended, its pipe is read until nothing comes for this time, and up to so many bytes, and no longer than the
/// whole time: a process that left the group may keep the pipe open for ever, or write for ever, fast or slowly.
const QUIET_AFTER: Duration = Duration::from_millis(500);
const REST_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REST_BYTES: usize = 1024 * 1024;
/// How much of the end of the output is kept, for the error of a program that fails.
const TAIL_BYTES: usize = 4 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// An output of the program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Logs what comes out of the pipe, until its end, and returns the tail of it. `closing` is cancelled when the program has
/// ended.
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
    let data = LineData { ended: json!({ "stream": name }), partial: json!({ "stream": name, "partial": true }) };
    let mut lines = Lines::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut rest = MAX_REST_BYTES;
    let mut flush_at = None;
    // When the pipe is closed from this side, once the program has ended.
    let mut close_at = None;
    let is_ended = loop {
        let is_closing = closing.is_cancelled();
        let wait_until = if is_closing {
            let now = Instant::now();
            let close_at = *close_at.get_or_insert(now + REST_TIMEOUT);
            if now >= close_at {
                break false;
            }
            Some(close_at.min(now + QUIET_AFTER))
        } else {
            flush_at
        };
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => read.unwrap_or(0),
            () = until(wait_until) => {
                if is_closing {
                    break false;
                }
                flush_at = None;
                if let Some(piece) = lines.flush() {
                    data.log(ctx, level, piece).await;
                }
                continue;
            }
            () = closing.cancelled(), if !is_closing => continue,
        };
        if is_closing {
            rest = rest.saturating_sub(read);
        }
        if read == 0 || rest == 0 {
            break read == 0;
        }
        tail.push(&buffer[..read]);
        for piece in lines.push(&buffer[..read]) {
            data.log(ctx, level, piece).await;
        }
        flush_at = if lines.has_partial() { flush_at.or(Some(Instant::now() + PARTIAL_AFTER)) } else { None };
    };
    if let Some(piece) = lines.finish() {
        data.log(ctx, level, piece).await;
    }
    if !is_ended {
        let left = format!(
            "a process that the program left behind still holds its {name}, which is closed now: what it writes is lost"
        );
        ctx.log_with(Level::Warn, left, &json!({ "stream": "worker" })).await;
    }
    tail
}

/// The data of the log lines of one output.
struct LineData {
    ended: Value,
    partial: Value,
}

impl LineData {
    async fn log(&self, ctx: &RunContext, level: Level, piece: Piece) {
        let data = if piece.is_ended { &self.ended } else { &self.partial };
        ctx.log_with(level, piece.content(), data).await;
    }
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

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
