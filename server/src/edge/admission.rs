//! How much the server takes in at once.
//!
//! A message is read as a whole before a call begins, and is kept until the call is answered. Many large ones at once would be
//! more than the machine has; what is too much is refused while it arrives. And each call takes its share of the processor:
//! beyond a number of calls they are refused before they are read, so that what was taken in ends soon, and heartbeats,
//! results and cancels do not wait behind it. What class a call has stands in the table of methods.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::edge::caller::method_of;
use crate::edge::methods::Class;
use crate::edge::status::status_of;
use engine::EngineError;

/// The room for requests.
#[derive(Debug, Clone)]
pub struct Admission {
    /// In bytes.
    priority: Arc<Semaphore>,
    normal: Arc<Semaphore>,
    /// In calls.
    calls: Arc<Semaphore>,
}

impl Admission {
    /// So many bytes for what goes first, and as many for all else; so many of the latter calls, but for those that wait.
    pub fn new(bytes: u32, calls: usize) -> Self {
        let room = || Arc::new(Semaphore::new(bytes as usize));
        Self { priority: room(), normal: room(), calls: Arc::new(Semaphore::new(calls)) }
    }
}

/// Takes a request in, if there is room, and counts its bytes from their arrival until it is answered.
pub async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    let method = method_of(&request);
    let class = method.map_or(Class::Normal, |method| method.class);
    if class == Class::Stream {
        return next.run(request).await;
    }
    let waits = method.is_some_and(|method| method.waits);
    let _call = match class == Class::Priority || waits {
        true => None,
        false => match admission.calls.try_acquire() {
            Ok(call) => Some(call),
            Err(_) => return status_of(EngineError::Overloaded).into_http(),
        },
    };
    let room = if class == Class::Priority { &admission.priority } else { &admission.normal };
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
            Err(_) => Poll::Ready(Some(Err(status_of(EngineError::Overloaded).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
