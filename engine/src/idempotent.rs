//! Calls with a `request_id`: the same request again gets the first answer.

use std::sync::Arc;

use futures::FutureExt;
use uuid::Uuid;

use crate::EngineError;
use crate::db::{Db, PgConnection, StoreError, Work};
use crate::domain::{Refusal, TenantId};
use crate::store::request::id::{RequestClaim, request_claim_in_tx, request_release_in_tx};

/// A request that creates something.
#[derive(Debug, Clone)]
pub struct Request {
    pub tenant: TenantId,
    /// The method.
    pub scope: &'static str,
    /// Without it, each call creates a resource.
    pub request_id: Option<String>,
    /// Two requests with equal hashes are the same.
    pub payload_hash: Vec<u8>,
}

/// Creates a resource, or finds the one that the same request created before. Returns what `read` reads.
///
/// `insert` writes the resource under the id that it is given, or refuses. Both run in one transaction. If the answer to the commit is
/// lost, `read` looks whether the id is there.
pub async fn create<I, T>(
    db: &Db,
    request: Request,
    input: I,
    insert: impl for<'c> Fn(&'c mut PgConnection, &'c I, Uuid) -> Work<'c, Result<(), Refusal>> + Send + Sync + 'static,
    read: impl for<'c> Fn(&'c mut PgConnection, &'c I, Uuid) -> Work<'c, Result<T, Refusal>> + Clone + Send + Sync + 'static,
) -> Result<T, EngineError>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    let new_id = db.clock().new_id();
    let request_id = request.request_id.clone();
    let input = Arc::new(input);
    let created =
        db.transaction((request, input.clone(), insert, read.clone()), move |c, (request, input, insert, read)| {
            async move {
                let id = match claim(c, request, new_id).await? {
                    Ok(id) => id,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                if id == new_id
                    && let Err(refusal) = insert(c, input, id).await?
                {
                    if let Some(request_id) = &request.request_id {
                        request_release_in_tx(c, &request.tenant, request.scope, request_id).await?;
                    }
                    return Ok(Err(refusal));
                }
                read(c, input, id).await
            }
            .boxed()
        });
    match (created.await, request_id) {
        (Ok(created), _) => Ok(created?),
        (Err(error), Some(request_id)) => Err(in_progress(error, request_id)),
        (Err(StoreError::CommitUnknown(why)), None) => {
            let found = db.read(input, move |c, input| read(c, input, new_id)).await;
            found.ok().and_then(Result::ok).ok_or_else(|| StoreError::CommitUnknown(why).into())
        }
        (Err(error), None) => Err(error.into()),
    }
}

/// The error of a call with a request id. Another call with the same id may still run.
pub fn in_progress(error: StoreError, request_id: String) -> EngineError {
    match error {
        StoreError::RequestHeld => Refusal::RequestInProgress(request_id).into(),
        error => error.into(),
    }
}

/// The id of the request's resource: a new one, or that of the first call.
async fn claim(c: &mut PgConnection, request: &Request, new_id: Uuid) -> Result<Result<Uuid, Refusal>, StoreError> {
    let Some(request_id) = &request.request_id else { return Ok(Ok(new_id)) };
    let (tenant, scope, hash) = (&request.tenant, request.scope, &request.payload_hash);
    Ok(match request_claim_in_tx(c, tenant, scope, request_id, hash, &[new_id]).await? {
        RequestClaim::Fresh => Ok(new_id),
        RequestClaim::Repeated(ids) => Ok(ids.first().copied().unwrap_or(new_id)),
        RequestClaim::Reused => Err(Refusal::RequestIdReused(request_id.clone())),
    })
}
