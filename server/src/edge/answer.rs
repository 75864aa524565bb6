//! The end of each answer. The gRPC library can fail to send an answer after its headers, above all because it is too large. Such an error
//! is put into the terms of this API, as every other one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::Status;

use crate::edge::status::of_answer;

/// An answer whose errors have their reasons.
pub struct Answer {
    inner: Body,
}

impl Answer {
    pub fn new(inner: Body) -> Self {
        Self { inner }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map(explained)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Trailers with the reason of their error. Other frames stay as they are.
fn explained(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(explained_trailers(trailers)),
        Err(frame) => frame,
    }
}

fn explained_trailers(trailers: HeaderMap) -> HeaderMap {
    let status = Status::from_header_map(&trailers).filter(|status| status.details().is_empty());
    let mut explained = HeaderMap::new();
    match status.and_then(of_answer).map(|status| status.add_header(&mut explained)) {
        Some(Ok(())) => explained,
        _ => trailers,
    }
}
