//! The use cases of artifacts.

use std::sync::Arc;

use uuid::Uuid;

use engine::db::{PgConnection, StoreError};
use engine::domain::artifact::{Artifact, ArtifactContent, ArtifactParent, NewArtifact};
use engine::domain::page::{Page, PageRequest, PageScope};
use engine::domain::{Refusal, Resource, TenantId};
use engine::idempotent::{self, Request};
use engine::listing;
use engine::store::artifact::{artifact_get, artifact_insert, artifact_list};
use engine::store::run::read::run_exists;
use engine::store::session::record::session_exists;
use engine::{Engine, EngineError};
use futures::FutureExt;

use crate::edge::caller::Caller;

/// Creates and reads artifacts.
#[derive(Debug, Clone)]
pub struct Artifacts {
    engine: Arc<Engine>,
}

impl Artifacts {
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Creates an artifact and returns it without its text. A repeated `request_id` returns the first one.
    pub async fn create(&self, caller: Caller, new: NewArtifact) -> Result<Artifact, EngineError> {
        let request = Request {
            tenant: caller.tenant.clone(),
            scope: "CreateArtifact",
            request_id: new.request_id.clone(),
            payload_hash: new.identity().hash().to_vec(),
        };
        let created = idempotent::create(
            self.engine.db(caller.class),
            request,
            (caller.tenant, new),
            |c, (tenant, new), id| insert(c, tenant, new, id).boxed(),
            |c, (tenant, _), id| artifact_get(c, tenant, id).map(move |found| found.map(|it| existing(it, id))).boxed(),
        );
        created.await.map(without_text)
    }

    /// One artifact with its text.
    pub async fn get(&self, caller: Caller, id: Uuid) -> Result<Artifact, EngineError> {
        let db = self.engine.db(caller.class);
        let artifact = db.read(caller.tenant, move |c, tenant| artifact_get(c, tenant, id).boxed());
        Ok(existing(artifact.await?, id)?)
    }

    /// The newest artifacts of a run or a session, without their texts.
    pub async fn list(
        &self,
        caller: Caller,
        parent: ArtifactParent,
        page: PageRequest,
    ) -> Result<Page<Artifact>, EngineError> {
        let (condition, missing) = match parent {
            ArtifactParent::Run(id) => ("run", Refusal::not_found(Resource::Run, id)),
            ArtifactParent::Session(id) => ("session", Refusal::not_found(Resource::Session, id)),
        };
        let (ArtifactParent::Run(parent_id) | ArtifactParent::Session(parent_id)) = parent;
        let scope = PageScope::new("ListArtifacts", &caller.tenant).with(condition, [parent_id.to_string()]);
        let after: Option<Uuid> = scope.decode(&page.token)?;
        let db = self.engine.db(caller.class);
        let exists = db.read(caller.tenant.clone(), move |c, tenant| match parent {
            ArtifactParent::Run(id) => run_exists(c, tenant, id).boxed(),
            ArtifactParent::Session(id) => session_exists(c, tenant, id).boxed(),
        });
        if !exists.await? {
            return Err(missing.into());
        }
        let id = |artifact: &Artifact| artifact.id;
        let fill = listing::fill(db, caller.tenant, &page, after, id, move |c, tenant, before, wanted| {
            artifact_list(c, tenant, parent, before, wanted).boxed()
        });
        Ok(fill.await?.finish(|last| scope.encode(last.id)))
    }
}

/// Writes an artifact. Refused if its run does not exist, or if it comes from a worker that has lost the grant.
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

fn without_text(artifact: Artifact) -> Artifact {
    let content = match artifact.content {
        ArtifactContent::Text(_) | ArtifactContent::TextLeftOut => ArtifactContent::TextLeftOut,
        ArtifactContent::Url(url) => ArtifactContent::Url(url),
    };
    Artifact { content, ..artifact }
}
