//! The three steps of a handler: convert, call, convert; and the one place where an error becomes a status.

use engine::EngineError;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::status::{no_caller, status_of};

/// Answers a call with the result of `handle`, which receives the caller and the message.
pub async fn respond<M, R>(
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
