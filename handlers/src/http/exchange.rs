//! Requests and answers, hop by hop. Each hop opens a connection of its own, and its address is checked anew.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Body, Incoming},
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use url::Position;
use worker::{Level, RunContext};

use super::{
    dial::{Dialer, Stream},
    failure::{HttpError, Phase, Shown},
    redirect,
    request::{Limits, Request},
};

const USER_AGENT: &str = concat!("ops-worker/", env!("CARGO_PKG_VERSION"));
/// Limits of the head of an answer.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_ANSWER_HEADERS: usize = 200;

/// The final answer, after redirects.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) is_truncated: bool,
    pub(super) redirects: u8,
}

/// The phase that an exchange has reached. An error names it.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) url: Shown,
    pub(super) phase: Phase,
    pub(super) address: Option<SocketAddr>,
}

/// Sends the request, follows redirects, and reads the answer.
pub(super) async fn exchange(
    ctx: &RunContext,
    dialer: &Dialer,
    mut request: Request,
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Answer, HttpError> {
    let mut redirects = 0;
    loop {
        (progress.url, progress.phase, progress.address) = (Shown::from(&request.url), Phase::Connecting, None);
        let (stream, address) = dialer.connect(&request.url, limits.connect_timeout).await?;
        (progress.phase, progress.address) = (Phase::WaitingForTheAnswer, Some(address));
        // This task drives the connection. Dropping the set cuts the connection.
        let mut connection = JoinSet::new();
        let response = send(&mut connection, stream, &request).await?;
        let status = response.status();
        ctx.log(Level::Info, format!("{} {}: {status}", request.method, progress.url)).await;
        let next =
            if limits.expect.accepts(status) { None } else { redirect::next(&request, status, response.headers())? };
        if let Some(next) = next.filter(|_| limits.max_redirects > 0) {
            if redirects == limits.max_redirects {
                return Err(HttpError::Redirect(format!("more than {redirects} times")));
            }
            redirects += 1;
            request = next;
            continue;
        }
        progress.phase = Phase::ReadingTheBody;
        let (head, body) = response.into_parts();
        // An unexpected answer fails anyway: a body that is too large must not hide its status.
        let truncate = limits.truncate || !limits.expect.accepts(status);
        let (body, is_truncated) = read(body, limits.max_response_bytes, truncate).await?;
        return Ok(Answer { status, headers: head.headers, body, is_truncated, redirects });
    }
}

async fn send(
    connection: &mut JoinSet<hyper::Result<()>>,
    stream: Box<dyn Stream>,
    request: &Request,
) -> Result<Response<Incoming>, HttpError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_ANSWER_HEADERS);
    let (mut sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
    connection.spawn(driver);
    Ok(sender.send_request(on_the_wire(request)).await?)
}

fn on_the_wire(request: &Request) -> hyper::Request<Full<Bytes>> {
    let url = &request.url;
    let mut message = hyper::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    // Every parsed URL has a valid request target. Without one, the request would go to `/`.
    *message.uri_mut() = url[Position::BeforePath..Position::AfterQuery].parse().unwrap_or_default();
    let headers = message.headers_mut();
    headers.clone_from(&request.headers);
    if let Ok(host) = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
    message
}

/// Reads up to `limit` bytes of the body. True if that is not all of it.
async fn read(mut body: Incoming, limit: usize, truncate: bool) -> Result<(Bytes, bool), HttpError> {
    // Do not read a body that announces that it is too large.
    if !truncate && body.size_hint().lower() > limit as u64 {
        return Err(HttpError::TooLarge(limit));
    }
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = limit - kept.len();
        if data.len() > room {
            if !truncate {
                return Err(HttpError::TooLarge(limit));
            }
            kept.extend_from_slice(&data[..room]);
            return Ok((kept.into(), true));
        }
        kept.extend_from_slice(&data);
    }
    Ok((kept.into(), false))
}
