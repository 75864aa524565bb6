//! How much of all requests may be in memory at once.
//!
//! A message is read as a whole before a call begins, and is kept until the call is answered. Many large ones at once would be
//! more than the machine has; what is too much is refused while it arrives. Calls of workers have room of their own, so that
//! no burst of other requests is in their way.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::service::ServiceError;

/// Calls of workers.
const WORKERS: &str = "/ops.v1.WorkerService/";
/// A worker's stream is not one message, and has bounds of its own.
const CONNECT: &str = "/ops.v1.WorkerService/Connect";

/// The room for requests.
#[derive(Debug, Clone)]
pub struct Admission {
    workers: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Admission {
    /// So many bytes for the calls of workers, and as many for all others.
    pub fn new(bytes: u32) -> Self {
        let room = || Arc::new(Semaphore::new(bytes as usize));
        Self { workers: room(), others: room() }
    }

    fn of(&self, path: &str) -> Option<&Arc<Semaphore>> {
        match path {
            CONNECT => None,
            path if path.starts_with(WORKERS) => Some(&self.workers),
            _ => Some(&self.others),
        }
    }
}

/// Counts the bytes of a request from their arrival until it is answered.
pub async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    let Some(room) = admission.of(request.uri().path()) else { return next.run(request).await };
    let taken = Taken::default();
    let counted = |inner| Body::new(Counted { inner, room: room.clone(), taken: taken.clone() });
    let response = next.run(request.map(counted)).await;
    taken.give_back();
    response
}

/// What a request has taken so far.
#[derive(Debug, Clone, Default)]
struct Taken(Arc<Mutex<Vec<OwnedSemaphorePermit>>>);

impl Taken {
    fn add(&self, permit: OwnedSemaphorePermit) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.first_mut() {
            Some(first) => first.merge(permit),
            None => taken.push(permit),
        }
    }

    fn give_back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A body that ends in a refusal when there is no room for what comes.
struct Counted {
    inner: Body,
    room: Arc<Semaphore>,
    taken: Taken,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let bytes = frame.data_ref().map_or(0, |data| u32::try_from(data.len()).unwrap_or(u32::MAX));
        match self.room.clone().try_acquire_many_owned(bytes) {
            Ok(permit) => {
                self.taken.add(permit);
                Poll::Ready(Some(Ok(frame)))
            }
            Err(_) => Poll::Ready(Some(Err(Status::from(ServiceError::Overloaded).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
