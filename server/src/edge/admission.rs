//! How many calls and bytes the server admits at once.
//!
//! A message is read as a whole before its call begins, and stays in memory until the call is answered. Many large messages at once would
//! not fit into memory, so a message for which there is no room is refused while it arrives. Each call also takes its share of the
//! processor. An answer waits in memory for its reader, which may be slow. Beyond a number of calls, new ones are refused before they are
//! read, so that the admitted ones end soon, and heartbeats, results and cancels do not wait behind them. The table of methods has the
//! class of each call.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::edge::caller::{Caller, method_of};
use crate::edge::respond::AnswerBytes;
use crate::edge::status::status_of;
use engine::EngineError;
use engine::db::Class;

/// The room that is left for calls.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Bytes of messages of [`Class::Priority`].
    priority_bytes: Arc<Semaphore>,
    /// Bytes of all other messages.
    normal_bytes: Arc<Semaphore>,
    /// Calls of [`Class::Normal`] that do not wait.
    normal_calls: Arc<Semaphore>,
    /// Bytes of large answers to reads that are not read yet.
    answer_bytes: Arc<Semaphore>,
}

impl Admission {
    /// Room for `bytes` of priority messages, for as many `bytes` of others and of answers to reads, and for `calls` of class normal that do
    /// not wait.
    pub fn new(bytes: u32, calls: usize) -> Self {
        let room = || Arc::new(Semaphore::new(bytes as usize));
        let normal_calls = Arc::new(Semaphore::new(calls));
        Self { priority_bytes: room(), normal_bytes: room(), normal_calls, answer_bytes: room() }
    }

    /// Counts a large answer until it was read or its reader has gone. Without room it is refused.
    fn count_answer(&self, response: Response) -> Response {
        let Some(AnswerBytes(bytes)) = response.extensions().get().copied() else { return response };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        match self.answer_bytes.clone().try_acquire_many_owned(bytes) {
            Ok(room) => response.map(|inner| Body::new(Waiting { inner, _room: room })),
            Err(_) => status_of(EngineError::Overloaded).into_http(),
        }
    }
}

/// Admits a call if there is room. Its bytes count from their arrival until the call is answered.
pub async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    let class = Caller::of(request.extensions()).map_or(Class::Normal, |caller| caller.class);
    // A worker's stream, which its credits bound.
    if class == Class::Engine {
        return next.run(request).await;
    }
    let method = method_of(&request);
    let waits = method.is_some_and(|method| method.waits);
    // A call that has changed something is not refused afterwards.
    let reads = method.is_some_and(|method| method.reads);
    let _call = match class == Class::Priority || waits {
        true => None,
        false => match admission.normal_calls.try_acquire() {
            Ok(call) => Some(call),
            Err(_) => return status_of(EngineError::Overloaded).into_http(),
        },
    };
    let room = if class == Class::Priority { &admission.priority_bytes } else { &admission.normal_bytes };
    let taken = Taken::default();
    let counted = |inner| Body::new(Counted { inner, room: room.clone(), taken: taken.clone() });
    let response = next.run(request.map(counted)).await;
    taken.give_back();
    if reads { admission.count_answer(response) } else { response }
}

/// The room that the message of a call has taken so far.
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

/// An answer that waits for its reader. The HTTP library drops it once its bytes are on their way.
struct Waiting {
    inner: Body,
    _room: OwnedSemaphorePermit,
}

impl HttpBody for Waiting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body that ends with OVERLOADED if there is no room for its next bytes.
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
