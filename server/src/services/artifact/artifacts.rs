//! Artifacts: kept and read.

use std::sync::Arc;

use uuid::Uuid;

use engine::db::{Class, Db, PgConnection, StoreError};
use engine::domain::artifact::{Artifact, ArtifactContent, ArtifactParent, NewArtifact};
use engine::domain::page::{Page, PageFill, PageRequest, PageScope};
use engine::domain::{Limits, Refusal, Resource, TenantId};
use engine::idempotent::{self, Request};
use engine::store::artifact::{artifact_get, artifact_insert, artifact_list};
use engine::store::request::id::payload_hash;
use engine::store::run::read::run_exists;
use engine::store::session::record::session_exists;
use engine::{Engine, EngineError};
use futures::FutureExt;

/// The use cases of artifacts.
#[derive(Debug, Clone)]
pub struct Artifacts {
    engine: Arc<Engine>,
    limits: Arc<Limits>,
}

impl Artifacts {
    pub fn new(engine: Arc<Engine>, limits: Arc<Limits>) -> Self {
        Self { engine, limits }
    }

    /// Keeps an artifact, and answers it without its text; for a repeated `request_id`, answers the first one.
    pub async fn create(&self, tenant: TenantId, new: NewArtifact) -> Result<Artifact, EngineError> {
        let request = Request {
            tenant: tenant.clone(),
            scope: "CreateArtifact",
            request_id: new.request_id.clone(),
            payload_hash: hash(&new),
        };
        let created = idempotent::create(
            self.db(),
            request,
            (tenant, new),
            |c, (tenant, new), id| insert(c, tenant, new, id).boxed(),
            |c, (tenant, _), id| artifact_get(c, tenant, id).map(move |found| found.map(|it| existing(it, id))).boxed(),
        );
        created.await.map(without_text)
    }

    /// One artifact with its text.
    pub async fn get(&self, tenant: TenantId, id: Uuid) -> Result<Artifact, EngineError> {
        let artifact = self.db().read(tenant, move |c, tenant| artifact_get(c, tenant, id).boxed());
        Ok(existing(artifact.await?, id)?)
    }

    /// The newest artifacts of a run or a session, without their texts.
    pub async fn list(
        &self,
        tenant: TenantId,
        parent: ArtifactParent,
        page: PageRequest,
    ) -> Result<Page<Artifact>, EngineError> {
        let (condition, missing) = match parent {
            ArtifactParent::Run(id) => ("run", Refusal::not_found(Resource::Run, id)),
            ArtifactParent::Session(id) => ("session", Refusal::not_found(Resource::Session, id)),
        };
        let (ArtifactParent::Run(parent_id) | ArtifactParent::Session(parent_id)) = parent;
        let scope = PageScope::new("ListArtifacts", &tenant).with(condition, [parent_id.to_string()]);
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let max_bytes = self.limits.page_bytes;
        let list = self.db().read(tenant, move |c, tenant| {
            async move {
                let exists = match parent {
                    ArtifactParent::Run(id) => run_exists(c, tenant, id).await?,
                    ArtifactParent::Session(id) => session_exists(c, tenant, id).await?,
                };
                if !exists {
                    return Ok(None);
                }
                let mut fill = PageFill::new(page.size, max_bytes);
                while let Some(wanted) = fill.wants() {
                    let before = fill.last().map(|artifact: &Artifact| artifact.id).or(after);
                    let rows = artifact_list(c, tenant, parent, before, wanted).await?;
                    fill.take(rows, wanted);
                }
                Ok(Some(fill))
            }
            .boxed()
        });
        Ok(list.await?.ok_or(missing)?.finish(|last| scope.encode(last.id)))
    }

    fn db(&self) -> &Db {
        self.engine.db(Class::Normal)
    }
}

/// Writes an artifact; refused if its run is not there or, for a worker, its grant does not stand any more.
async fn insert(
    c: &mut PgConnection,
    tenant: &TenantId,
    new: &NewArtifact,
    id: Uuid,
) -> Result<Result<(), Refusal>, StoreError> {
    if artifact_insert(c, tenant, id, new).await? {
        return Ok(Ok(()));
    }
    let exists = run_exists(c, tenant, new.run_id).await?;
    Ok(Err(match new.grant {
        Some((_, fence)) if exists => Refusal::LeaseLost { run_id: new.run_id, fence },
        _ => Refusal::not_found(Resource::Run, new.run_id),
    }))
}

fn existing(artifact: Option<Artifact>, id: Uuid) -> Result<Artifact, Refusal> {
    artifact.ok_or(Refusal::not_found(Resource::Artifact, id))
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
