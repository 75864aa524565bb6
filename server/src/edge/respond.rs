//! The three steps of a handler: convert, call, convert; and the one place where an error becomes a status.

use engine::EngineError;
use prost::Message;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::status::{no_caller, status_of};

/// Answers of at least so many bytes are counted while they wait for their reader. Most are far smaller.
const LARGE_ANSWER: usize = 16 * 1024;

/// The bytes of a large answer, in the extensions of its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerBytes(pub usize);

/// Answers a call with the message that `handle` makes of the caller and of the call's message.
pub async fn respond<M, R: Message>(
    request: Request<M>,
    handle: impl AsyncFnOnce(Caller, M) -> Result<R, EngineError>,
) -> Result<Response<R>, Status> {
    let mut response = respond_with_stream(request, handle).await?;
    let bytes = response.get_ref().encoded_len();
    if bytes >= LARGE_ANSWER {
        response.extensions_mut().insert(AnswerBytes(bytes));
    }
    Ok(response)
}

/// Answers a call with the stream that `handle` opens.
pub async fn respond_with_stream<M, R>(
    request: Request<M>,
    handle: impl AsyncFnOnce(Caller, M) -> Result<R, EngineError>,
) -> Result<Response<R>, Status> {
    let caller = caller_of(&request)?;
    handle(caller, request.into_inner()).await.map(Response::new).map_err(status_of)
}

/// The caller of a call.
pub fn caller_of<M>(request: &Request<M>) -> Result<Caller, Status> {
    Caller::of(request.extensions()).cloned().ok_or_else(no_caller)
}
