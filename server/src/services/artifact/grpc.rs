//! ArtifactService.

use std::sync::Arc;

use proto::v1;
use proto::v1::artifact_service_server::ArtifactService;
use tonic::{Request, Response, Status};

use crate::edge::convert::ToProto;
use crate::edge::convert::fields::single_id;
use crate::edge::respond::respond;
use crate::services::artifact::artifacts::Artifacts;
use crate::services::artifact::convert;
use engine::domain::Limits;

/// The handlers of ArtifactService.
#[derive(Debug, Clone)]
pub struct ArtifactApi {
    pub artifacts: Artifacts,
    pub limits: Arc<Limits>,
}

#[tonic::async_trait]
impl ArtifactService for ArtifactApi {
    async fn create_artifact(
        &self,
        request: Request<v1::CreateArtifactRequest>,
    ) -> Result<Response<v1::CreateArtifactResponse>, Status> {
        respond(request, async |caller, request| {
            let new = convert::create_artifact(request, &self.limits)?;
            let artifact = self.artifacts.create(caller, new).await?;
            Ok(v1::CreateArtifactResponse { artifact: Some(artifact.to_proto()) })
        })
        .await
    }

    async fn get_artifact(
        &self,
        request: Request<v1::GetArtifactRequest>,
    ) -> Result<Response<v1::GetArtifactResponse>, Status> {
        respond(request, async |caller, request| {
            let id = single_id("artifact_id", &request.artifact_id)?;
            let artifact = self.artifacts.get(caller, id).await?;
            Ok(v1::GetArtifactResponse { artifact: Some(artifact.to_proto()) })
        })
        .await
    }

    async fn list_artifacts(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        respond(request, async |caller, request| {
            let (parent, page) = convert::list_artifacts(request, &self.limits)?;
            let page = self.artifacts.list(caller, parent, page).await?;
            Ok(v1::ListArtifactsResponse {
                artifacts: page.items.into_iter().map(ToProto::to_proto).collect(),
                next_page_token: page.next_token,
            })
        })
        .await
    }
}
