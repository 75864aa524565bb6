//! HTTP/2 by hand: frames as bytes, over plain TCP.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const ACK: u8 = 1;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Far longer than a server takes to answer, or to close a silent connection.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Marks the end of the frames that a client sends.
const LAST_PING: &[u8; 8] = b"the end!";

/// The reaction of a server to frames.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It continues the connection.
    GoesOn,
    /// It continues, and has reset streams with these codes, each listed once.
    Resets(Vec<u32>),
    /// It has closed the connection, with this code.
    GoAway(u32),
    /// It has closed the connection without a code: it sent nothing, or no HTTP/2.
    Closed,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block: each field is a literal without indexing and without compression.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer of HPACK with a prefix of seven bits.
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).expect("it is short"));
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).expect("it is short") | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("it is short"));
}

/// The header of a call to this method.
pub fn head(method: &str) -> Vec<u8> {
    let path = format!("/{method}");
    block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", &path),
        (":authority", "server"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

/// Opens an HTTP/2 connection with these settings, sends these frames, and returns the reaction.
pub async fn say(address: &str, settings: &[u8], frames: impl IntoIterator<Item = Vec<u8>>) -> Taken {
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
    exchange(address, begin, frames).await
}

/// Sends bytes and then frames, and reads meanwhile until the server has closed the connection or has answered several
/// PINGs in turn. One PING is not enough: a reaction to a stream may come after the answer to the first.
pub async fn exchange(address: &str, begin: Vec<u8>, frames: impl IntoIterator<Item = Vec<u8>>) -> Taken {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let (mut read, mut write) = stream.into_split();
    let mut resets = Vec::new();
    let both = async {
        let talk = async {
            write.write_all(&begin).await?;
            for frame in frames {
                write.write_all(&frame).await?;
            }
            write.write_all(&frame(PING, 0, 0, LAST_PING)).await
        };
        // A closed server reads no more. Only what it sent counts.
        let (_, mut end) = tokio::join!(talk, listen(&mut read, &mut resets));
        for _ in 0..2 {
            if end.is_none() && write.write_all(&frame(PING, 0, 0, LAST_PING)).await.is_ok() {
                end = listen(&mut read, &mut resets).await;
            }
        }
        end
    };
    let end = tokio::time::timeout(TIMEOUT, both).await.expect("the server answers or closes");
    resets.sort_unstable();
    resets.dedup();
    match end {
        Some(end) => end,
        None if resets.is_empty() => Taken::GoesOn,
        None => Taken::Resets(resets),
    }
}

/// Reads until the last PING is answered or the server has closed the connection. Returns the reaction.
async fn listen(read: &mut OwnedReadHalf, resets: &mut Vec<u32>) -> Option<Taken> {
    loop {
        let Some((kind, flags, payload)) = next(read).await else { return Some(Taken::Closed) };
        match (kind, flags) {
            (GOAWAY, _) => return Some(Taken::GoAway(number(&payload[4..8]))),
            (RST_STREAM, _) => resets.push(number(&payload)),
            (PING, ACK) if payload == LAST_PING => return None,
            _ => {}
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// The next frame; none if the server has closed the connection or does not speak HTTP/2.
pub async fn next(read: &mut OwnedReadHalf) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    read.read_exact(&mut head).await.ok()?;
    if head.starts_with(b"HTTP/1.1") {
        return None;
    }
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    read.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], payload))
}
