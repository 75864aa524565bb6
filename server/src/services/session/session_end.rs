//! Closing and cancelling sessions.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use engine::Engine;
use engine::EngineError;
use engine::cancel::cancel_runs;
use engine::domain::session::SessionStatus;
use engine::domain::{Refusal, Resource, Session, TenantId};
use engine::store::session::end::{session_cancel_in_tx, session_close_in_tx, session_lock_in_tx};
use engine::store::session::session::session_get;

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
    pub async fn close(&self, tenant: TenantId, id: Uuid) -> Result<Session, EngineError> {
        let of = tenant.clone();
        let closed = self.engine.workers_db.transaction(move |c| {
            let of = of.clone();
            Box::pin(async move {
                let exists = session_lock_in_tx(c, &of, id).await?;
                if exists {
                    session_close_in_tx(c, id).await?;
                }
                Ok(exists)
            })
        });
        closed.await?;
        self.get(tenant, id).await
    }

    /// Cancels a session: it takes no more runs, and all its runs are cancelled or asked to stop: in pages, after the session
    /// is seen as cancelled, so that nothing waits long and nothing slips in.
    pub async fn cancel(
        &self,
        tenant: TenantId,
        id: Uuid,
        reason: String,
        grace: Duration,
    ) -> Result<Session, EngineError> {
        let of = tenant.clone();
        let cancelled = self.engine.workers_db.transaction(move |c| {
            let (of, reason) = (of.clone(), reason.clone());
            Box::pin(async move {
                let exists = session_lock_in_tx(c, &of, id).await?;
                if exists {
                    session_cancel_in_tx(c, id, &reason, grace).await?;
                }
                Ok(exists)
            })
        });
        cancelled.await?;
        let session = self.get(tenant.clone(), id).await?;
        if session.status == SessionStatus::Cancelled {
            cancel_runs(&self.engine, id).await?;
        }
        self.get(tenant, id).await
    }

    async fn get(&self, tenant: TenantId, id: Uuid) -> Result<Session, EngineError> {
        let read = self.engine.workers_db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move { session_get(c, &tenant, id).await })
        });
        Ok(read.await?.ok_or(Refusal::not_found(Resource::Session, id))?)
    }
}
