//! The use cases of sessions.

use std::sync::Arc;
use std::time::Duration;

use engine::cancel::cancel_runs;
use engine::db::Class;
use engine::domain::page::{Page, PageFill, PageRequest, PageScope};
use engine::domain::session::{NewSession, SessionPatch, SessionStatus};
use engine::domain::{Limits, Refusal, Resource, Session, TenantId};
use engine::idempotent::{self, Request};
use engine::store::request::id::payload_hash;
use engine::store::session::close::{session_cancel_in_tx, session_close_in_tx};
use engine::store::session::lock::session_lock_in_tx;
use engine::store::session::record::{session_get, session_insert, session_list, session_update};
use engine::{Engine, EngineError};
use futures::FutureExt;
use uuid::Uuid;

/// The use cases of sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    engine: Arc<Engine>,
    limits: Arc<Limits>,
}

impl Sessions {
    pub fn new(engine: Arc<Engine>, limits: Arc<Limits>) -> Self {
        Self { engine, limits }
    }

    /// Creates a session; for a repeated `request_id`, answers the first one as it is now.
    pub async fn create(&self, tenant: TenantId, new: NewSession) -> Result<Session, EngineError> {
        let request = Request {
            tenant: tenant.clone(),
            scope: "CreateSession",
            request_id: new.request_id.clone(),
            payload_hash: payload_hash([&*new.name, &new.description, &new.triggered_by, &new.context]),
        };
        let created = idempotent::create(
            self.engine.db(Class::Normal),
            request,
            (tenant, new),
            |c, (tenant, new), id| session_insert(c, tenant, id, new).map(|done| done.map(Ok)).boxed(),
            |c, (tenant, _), id| session_get(c, tenant, id).map(move |found| found.map(|it| existing(it, id))).boxed(),
        );
        created.await
    }

    /// One session with its exact counters.
    pub async fn get(&self, tenant: TenantId, id: Uuid) -> Result<Session, EngineError> {
        self.read(Class::Normal, tenant, id).await
    }

    /// The newest sessions of some statuses; none named = all.
    pub async fn list(
        &self,
        tenant: TenantId,
        statuses: Vec<SessionStatus>,
        page: PageRequest,
    ) -> Result<Page<Session>, EngineError> {
        let words = statuses.iter().map(|status| status.as_str());
        let scope = PageScope::new("ListSessions", &tenant).with("statuses", words);
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let max_bytes = self.limits.page_bytes;
        let list = self.engine.db(Class::Normal).read((tenant, statuses), move |c, (tenant, statuses)| {
            async move {
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let before = fill.last().map(|session: &Session| session.id).or(after);
                    let rows = session_list(c, tenant, statuses, before, wanted).await?;
                    fill.take(rows, wanted);
                }
                Ok(fill)
            }
            .boxed()
        });
        Ok(list.await?.finish(|last| scope.encode(last.id)))
    }

    /// Changes what the patch names.
    pub async fn update(&self, tenant: TenantId, id: Uuid, patch: SessionPatch) -> Result<Session, EngineError> {
        let session = self.engine.db(Class::Normal).transaction((tenant, patch), move |c, (tenant, patch)| {
            async move {
                session_update(c, tenant, id, patch).await?;
                session_get(c, tenant, id).await
            }
            .boxed()
        });
        Ok(existing(session.await?, id)?)
    }

    /// Closes a session: it takes no more runs, and the fold completes it when its last run has ended.
    pub async fn close(&self, tenant: TenantId, id: Uuid) -> Result<Session, EngineError> {
        let closed = self.engine.db(Class::Priority).transaction(tenant.clone(), move |c, tenant| {
            async move {
                if session_lock_in_tx(c, tenant, id).await? {
                    session_close_in_tx(c, id).await?;
                }
                Ok(())
            }
            .boxed()
        });
        closed.await?;
        self.read(Class::Priority, tenant, id).await
    }

    /// Cancels a session: it takes no more runs, and all its runs are cancelled or asked to stop. The runs follow in pages, after
    /// the session is seen as cancelled, so that nothing waits long and no run slips in.
    pub async fn cancel(
        &self,
        tenant: TenantId,
        id: Uuid,
        reason: String,
        grace: Duration,
    ) -> Result<Session, EngineError> {
        let db = self.engine.db(Class::Priority);
        let cancelled = db.transaction((tenant.clone(), reason), move |c, (tenant, reason)| {
            async move {
                if session_lock_in_tx(c, tenant, id).await? {
                    session_cancel_in_tx(c, id, reason, grace).await?;
                }
                Ok(())
            }
            .boxed()
        });
        cancelled.await?;
        let session = self.read(Class::Priority, tenant.clone(), id).await?;
        if session.status == SessionStatus::Cancelled {
            cancel_runs(&self.engine, id).await?;
        }
        self.read(Class::Priority, tenant, id).await
    }

    async fn read(&self, class: Class, tenant: TenantId, id: Uuid) -> Result<Session, EngineError> {
        let session = self.engine.db(class).read(tenant, move |c, tenant| session_get(c, tenant, id).boxed());
        Ok(existing(session.await?, id)?)
    }
}

fn existing(session: Option<Session>, id: Uuid) -> Result<Session, Refusal> {
    session.ok_or(Refusal::not_found(Resource::Session, id))
}
