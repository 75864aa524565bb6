//! Artifacts: kept and read.

use std::sync::Arc;

use uuid::Uuid;

use super::ServiceError;
use crate::domain::artifact::{Artifact, ArtifactContent, ArtifactParent, NewArtifact};
use crate::domain::page::{Page, PageFill, PageRequest, PageScope};
use crate::domain::{Limits, Refusal, Resource, TenantId};
use crate::store::artifact::{artifact_get, artifact_insert, artifact_list};
use crate::store::request::{RequestClaim, payload_hash, request_claim_in_tx, request_release_in_tx};
use crate::store::run_read::run_exists;
use crate::store::session::session_exists;
use crate::store::{Db, StoreError};

const SCOPE: &str = "CreateArtifact";

/// The use cases of artifacts.
#[derive(Debug, Clone)]
pub struct Artifacts {
    db: Db,
    limits: Arc<Limits>,
}

impl Artifacts {
    pub fn new(db: Db, limits: Arc<Limits>) -> Self {
        Self { db, limits }
    }

    /// Keeps an artifact, and answers it without its text; for a repeated `request_id`, answers the first one.
    pub async fn create(&self, tenant: &TenantId, new: NewArtifact) -> Result<Artifact, ServiceError> {
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
                        match request_claim_in_tx(c, &tenant, SCOPE, request_id, &hash(&new), &[id]).await? {
                            RequestClaim::Fresh => {}
                            RequestClaim::Repeated(ids) => made = ids.first().copied().unwrap_or(id),
                            RequestClaim::Reused => return Ok(Err(Refusal::RequestIdReused(request_id.clone()))),
                        }
                    }
                    if made == id && !artifact_insert(c, &tenant, id, &new).await? {
                        if let Some(request_id) = &new.request_id {
                            request_release_in_tx(c, &tenant, SCOPE, request_id).await?;
                        }
                        let exists = run_exists(c, &tenant, new.run_id).await?;
                        return Ok(Err(match new.lease {
                            Some((_, fence)) if exists => Refusal::LeaseLost { run_id: new.run_id, fence },
                            _ => Refusal::not_found(Resource::Run, new.run_id),
                        }));
                    }
                    let artifact = artifact_get(c, &tenant, made).await?;
                    Ok(artifact.ok_or(Refusal::not_found(Resource::Artifact, made)))
                })
            })
            .await;
        let artifact = match (created, request_id) {
            (Err(StoreError::RequestHeld), Some(request_id)) => {
                return Err(Refusal::RequestInProgress(request_id).into());
            }
            // Whether it was committed can be read under the id that was made for it.
            (Err(StoreError::CommitUnknown(why)), None) => {
                self.get(tenant, id).await.map_err(|_| StoreError::CommitUnknown(why))?
            }
            (created, _) => created??,
        };
        Ok(without_text(artifact))
    }

    /// One artifact with its text.
    pub async fn get(&self, tenant: &TenantId, id: Uuid) -> Result<Artifact, ServiceError> {
        let tenant = tenant.clone();
        let artifact = self.db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move { artifact_get(c, &tenant, id).await })
        });
        Ok(artifact.await?.ok_or(Refusal::not_found(Resource::Artifact, id))?)
    }

    /// The newest artifacts of a run or a session, without their texts.
    pub async fn list(
        &self,
        tenant: &TenantId,
        parent: ArtifactParent,
        page: PageRequest,
    ) -> Result<Page<Artifact>, ServiceError> {
        let (condition, missing) = match parent {
            ArtifactParent::Run(id) => ("run", Refusal::not_found(Resource::Run, id)),
            ArtifactParent::Session(id) => ("session", Refusal::not_found(Resource::Session, id)),
        };
        let (ArtifactParent::Run(parent_id) | ArtifactParent::Session(parent_id)) = parent;
        let scope = PageScope::new("ListArtifacts", tenant).with(condition, [parent_id.to_string()]);
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let (tenant, max_bytes) = (tenant.clone(), self.limits.page_bytes);
        let list = self.db.run(move |c| {
            let tenant = tenant.clone();
            Box::pin(async move {
                let exists = match parent {
                    ArtifactParent::Run(id) => run_exists(c, &tenant, id).await?,
                    ArtifactParent::Session(id) => session_exists(c, &tenant, id).await?,
                };
                if !exists {
                    return Ok(None);
                }
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let before = fill.last().map(|artifact: &Artifact| artifact.id).or(after);
                    let rows = artifact_list(c, &tenant, parent, before, wanted).await?;
                    fill.take(rows, wanted, artifact_bytes);
                }
                Ok(Some(fill))
            })
        });
        Ok(list.await?.ok_or(missing)?.finish(|last| scope.encode(last.id)))
    }
}

/// What makes two requests for an artifact the same. The grant is not part of it: a later attempt may repeat an earlier.
fn hash(new: &NewArtifact) -> Vec<u8> {
    let (content_kind, content) = match &new.content {
        ArtifactContent::Text(text) => ("text", text.as_str()),
        ArtifactContent::Url(url) => ("url", url.as_str()),
        ArtifactContent::TextLeftOut => ("", ""),
    };
    let run_id = new.run_id.to_string();
    payload_hash([&*run_id, &new.kind, &new.name, &new.mime_type, content_kind, content, &new.metadata])
}

fn without_text(artifact: Artifact) -> Artifact {
    let content = match artifact.content {
        ArtifactContent::Text(_) | ArtifactContent::TextLeftOut => ArtifactContent::TextLeftOut,
        ArtifactContent::Url(url) => ArtifactContent::Url(url),
    };
    Artifact { content, ..artifact }
}

fn artifact_bytes(artifact: &Artifact) -> usize {
    let url = match &artifact.content {
        ArtifactContent::Url(url) => url.len(),
        ArtifactContent::Text(_) | ArtifactContent::TextLeftOut => 0,
    };
    512 + artifact.name.len() + artifact.kind.len() + artifact.metadata.len() + url
}
