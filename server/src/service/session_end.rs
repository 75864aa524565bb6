//! Closing and cancelling sessions.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::ServiceError;
use crate::domain::{Refusal, Resource, Session, TenantId};
use crate::engine::Engine;
use crate::engine::hints::Topic;
use crate::store::cancel::{CancelTarget, run_cancel_in_tx};
use crate::store::counter::{session_close_in_tx, session_lock_in_tx};
use crate::store::session::session_get;

/// How sessions end.
#[derive(Debug, Clone)]
pub struct SessionEnd {
    engine: Arc<Engine>,
}

impl SessionEnd {
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Closes a session: it takes no more runs, and the fold completes it when its last run has ended.
    pub async fn close(&self, tenant: TenantId, id: Uuid) -> Result<Session, ServiceError> {
        self.end(tenant, id, None).await
    }

    /// Cancels a session: it takes no more runs, and all its runs are cancelled or asked to stop.
    pub async fn cancel(
        &self,
        tenant: TenantId,
        id: Uuid,
        reason: String,
        grace: Duration,
    ) -> Result<Session, ServiceError> {
        let session = self.end(tenant, id, Some((reason, grace))).await?;
        self.engine.hints.give(Topic::Cancels);
        self.engine.hints.give(Topic::Changes);
        Ok(session)
    }

    async fn end(
        &self,
        tenant: TenantId,
        id: Uuid,
        cancel: Option<(String, Duration)>,
    ) -> Result<Session, ServiceError> {
        let ended = self.engine.db.transaction(move |c| {
            let (tenant, cancel) = (tenant.clone(), cancel.clone());
            Box::pin(async move {
                if !session_lock_in_tx(c, &tenant, id).await? {
                    return Ok(None);
                }
                session_close_in_tx(c, id, cancel.is_some()).await?;
                if let Some((reason, grace)) = cancel {
                    run_cancel_in_tx(c, &tenant, CancelTarget::Session(id), &reason, grace).await?;
                }
                session_get(c, &tenant, id).await
            })
        });
        Ok(ended.await?.ok_or(Refusal::not_found(Resource::Session, id))?)
    }
}
