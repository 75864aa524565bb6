//! Sessions: created, read and changed. [`super::session_end`] ends them.

use std::sync::Arc;

use uuid::Uuid;

use super::ServiceError;
use crate::domain::page::{Page, PageFill, PageRequest, PageScope};
use crate::domain::session::{NewSession, SessionPatch, SessionStatus};
use crate::domain::{Limits, Refusal, Resource, Session, TenantId};
use crate::store::request::{RequestClaim, payload_hash, request_claim_in_tx};
use crate::store::session::{session_get, session_insert, session_list, session_update};
use crate::store::{Db, StoreError};

/// The use cases of sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    db: Db,
    limits: Arc<Limits>,
}

impl Sessions {
    pub fn new(db: Db, limits: Arc<Limits>) -> Self {
        Self { db, limits }
    }

    /// Creates a session; for a repeated `request_id`, answers the first one as it is now.
    pub async fn create(&self, tenant: &TenantId, new: NewSession) -> Result<Session, ServiceError> {
        let id = Uuid::now_v7();
        let request_id = new.request_id.clone();
        let (owner, new) = (tenant.clone(), Arc::new(new));
        let created = self
            .db
            .transaction(move |c| {
                let (tenant, new) = (owner.clone(), Arc::clone(&new));
                Box::pin(async move {
                    let mut made = id;
                    if let Some(request_id) = &new.request_id {
                        let hash = payload_hash([&*new.name, &new.description, &new.triggered_by, &new.context]);
                        match request_claim_in_tx(c, &tenant, "CreateSession", request_id, &hash, &[id]).await? {
                            RequestClaim::Fresh => {}
                            RequestClaim::Repeated(ids) => made = ids.first().copied().unwrap_or(id),
                            RequestClaim::Reused => return Ok(Err(Refusal::RequestIdReused(request_id.clone()))),
                        }
                    }
                    if made == id {
                        session_insert(c, &tenant, id, &new).await?;
                    }
                    let session = session_get(c, &tenant, made).await?;
                    Ok(session.ok_or(Refusal::not_found(Resource::Session, made)))
                })
            })
            .await;
        match (created, request_id) {
            (Err(StoreError::RequestHeld), Some(request_id)) => Err(Refusal::RequestInProgress(request_id).into()),
            // Whether it was committed can be read under the id that was made for it.
            (Err(StoreError::CommitUnknown(why)), None) => {
                self.get(tenant, id).await.map_err(|_| StoreError::CommitUnknown(why).into())
            }
            (created, _) => Ok(created??),
        }
    }

    /// One session with its exact counters.
    pub async fn get(&self, tenant: &TenantId, id: Uuid) -> Result<Session, ServiceError> {
        let tenant = tenant.clone();
        let session = self.db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move { session_get(c, &tenant, id).await })
        });
        Ok(session.await?.ok_or(Refusal::not_found(Resource::Session, id))?)
    }

    /// The newest sessions of some statuses; none named = all.
    pub async fn list(
        &self,
        tenant: &TenantId,
        statuses: Vec<SessionStatus>,
        page: PageRequest,
    ) -> Result<Page<Session>, ServiceError> {
        let scope =
            PageScope::new("ListSessions", tenant).with("statuses", statuses.iter().map(|status| status.as_str()));
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let (tenant, statuses, max_bytes) = (tenant.clone(), Arc::new(statuses), self.limits.page_bytes);
        let list = self.db.run(move |c| {
            let (tenant, statuses) = (tenant.clone(), Arc::clone(&statuses));
            Box::pin(async move {
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let before = fill.last().map(|session: &Session| session.id).or(after);
                    let rows = session_list(c, &tenant, &statuses, before, wanted).await?;
                    fill.take(rows, wanted, session_bytes);
                }
                Ok(fill)
            })
        });
        Ok(list.await?.finish(|last| scope.encode(last.id)))
    }

    /// Changes what the patch names.
    pub async fn update(&self, tenant: &TenantId, id: Uuid, patch: SessionPatch) -> Result<Session, ServiceError> {
        let (tenant, patch) = (tenant.clone(), Arc::new(patch));
        let session = self.db.transaction(move |c| {
            let (tenant, patch) = (tenant.clone(), Arc::clone(&patch));
            Box::pin(async move {
                session_update(c, &tenant, id, &patch).await?;
                session_get(c, &tenant, id).await
            })
        });
        Ok(session.await?.ok_or(Refusal::not_found(Resource::Session, id))?)
    }
}

fn session_bytes(session: &Session) -> usize {
    512 + session.name.len() + session.description.len() + session.triggered_by.len() + session.context.len()
}
