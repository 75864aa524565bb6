//! One request over plain HTTP/1.1.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The time limit for a connection, and again for its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer, in bytes. The metrics of a server have less than 100 KiB.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_owned(), body: body.to_owned() })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// A field of the body, if the body is a JSON object.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        body[name].as_str().map(str::to_owned)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// No connection.
    Closed(io::Error),
    /// A connection without an answer, or with an answer that is not HTTP.
    Strange(String),
}

/// Gets `path` from `authority`.
pub(super) async fn get(authority: &str, path: &str) -> Result<Answer, NoAnswer> {
    let late = |_| NoAnswer::Closed(io::Error::from(io::ErrorKind::TimedOut));
    let mut stream = timeout(TIMEOUT, TcpStream::connect(authority)).await.map_err(late)?.map_err(NoAnswer::Closed)?;
    let asked = async {
        let question = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        stream.write_all(question.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
        io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match timeout(TIMEOUT, asked).await {
        Ok(Ok(text)) => Answer::parse(&text).ok_or_else(|| NoAnswer::Strange("its answer is not HTTP".to_owned())),
        Ok(Err(error)) => Err(NoAnswer::Strange(error.to_string())),
        Err(_) => {
            Err(NoAnswer::Strange(format!("it accepts a connection, and then does not answer within {TIMEOUT:?}")))
        }
    }
}
