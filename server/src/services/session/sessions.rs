//! The use cases of sessions.

use std::sync::Arc;
use std::time::Duration;

use engine::domain::page::{Page, PageRequest, PageScope};
use engine::domain::session::{NewSession, SessionPatch, SessionStatus};
use engine::domain::{Refusal, Resource, Session};
use engine::idempotent::{self, Request};
use engine::listing;
use engine::session_cancel::cancel_runs;
use engine::store::session::close::{session_cancel_in_tx, session_close_in_tx};
use engine::store::session::lock::session_lock_in_tx;
use engine::store::session::record::{session_get, session_insert, session_list, session_update};
use engine::{Engine, EngineError};
use futures::FutureExt;
use uuid::Uuid;

use crate::edge::caller::Caller;

/// Creates, reads, changes and ends sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    engine: Arc<Engine>,
}

impl Sessions {
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Creates a session. A repeated `request_id` returns the first one in its present state.
    pub async fn create(&self, caller: Caller, new: NewSession) -> Result<Session, EngineError> {
        let request = Request {
            tenant: caller.tenant.clone(),
            scope: "CreateSession",
            request_id: new.request_id.clone(),
            payload_hash: new.identity().hash().to_vec(),
        };
        let created = idempotent::create(
            self.engine.db(caller.class),
            request,
            (caller.tenant, new),
            |c, (tenant, new), id| session_insert(c, tenant, id, new).map(|done| done.map(Ok)).boxed(),
            |c, (tenant, _), id| session_get(c, tenant, id).map(move |found| found.map(|it| existing(it, id))).boxed(),
        );
        created.await
    }

    /// One session with its exact counters.
    pub async fn get(&self, caller: &Caller, id: Uuid) -> Result<Session, EngineError> {
        let db = self.engine.db(caller.class);
        let session = db.read(caller.tenant.clone(), move |c, tenant| session_get(c, tenant, id).boxed());
        Ok(existing(session.await?, id)?)
    }

    /// The newest sessions with one of these statuses; an empty list means all.
    pub async fn list(
        &self,
        caller: Caller,
        statuses: Vec<SessionStatus>,
        page: PageRequest,
    ) -> Result<Page<Session>, EngineError> {
        let words = statuses.iter().map(|status| status.as_str());
        let scope = PageScope::new("ListSessions", &caller.tenant).with("statuses", words);
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let (db, input) = (self.engine.db(caller.class), (caller.tenant, statuses));
        let id = |session: &Session| session.id;
        let fill = listing::fill(db, input, &page, after, id, |c, (tenant, statuses), before, wanted| {
            session_list(c, tenant, statuses, before, wanted).boxed()
        });
        Ok(fill.await?.finish(|last| scope.encode(last.id)))
    }

    /// Changes the fields that the patch names.
    pub async fn update(&self, caller: Caller, id: Uuid, patch: SessionPatch) -> Result<Session, EngineError> {
        let session = self.engine.db(caller.class).transaction((caller.tenant, patch), move |c, (tenant, patch)| {
            async move {
                session_update(c, tenant, id, patch).await?;
                session_get(c, tenant, id).await
            }
            .boxed()
        });
        Ok(existing(session.await?, id)?)
    }

    /// Closes a session. It takes no more runs, and the fold of counters completes it when its last run has ended.
    pub async fn close(&self, caller: Caller, id: Uuid) -> Result<Session, EngineError> {
        let closed = self.engine.db(caller.class).transaction(caller.tenant.clone(), move |c, tenant| {
            async move {
                if session_lock_in_tx(c, tenant, id).await? {
                    session_close_in_tx(c, id).await?;
                }
                Ok(())
            }
            .boxed()
        });
        closed.await?;
        self.get(&caller, id).await
    }

    /// Cancels a session. It takes no more runs, and all its runs are cancelled or asked to stop. The session is cancelled first, in
    /// a transaction of its own, so that no run slips in. The runs follow in pages, so that nothing waits long.
    pub async fn cancel(
        &self,
        caller: Caller,
        id: Uuid,
        reason: String,
        grace: Duration,
    ) -> Result<Session, EngineError> {
        let db = self.engine.db(caller.class);
        let cancelled = db.transaction((caller.tenant.clone(), reason), move |c, (tenant, reason)| {
            async move {
                if session_lock_in_tx(c, tenant, id).await? {
                    session_cancel_in_tx(c, id, reason, grace).await?;
                }
                Ok(())
            }
            .boxed()
        });
        cancelled.await?;
        let session = self.get(&caller, id).await?;
        if session.status == SessionStatus::Cancelled {
            cancel_runs(&self.engine, id).await?;
        }
        self.get(&caller, id).await
    }
}

fn existing(session: Option<Session>, id: Uuid) -> Result<Session, Refusal> {
    session.ok_or(Refusal::not_found(Resource::Session, id))
}
