//! ArtifactService.

use std::sync::Arc;

use proto::v1;
use proto::v1::artifact_service_server::ArtifactService;
use tonic::{Request, Response, Status};

use super::convert::artifact as convert;
use super::convert::fields::single_id;
use super::tenant::open;
use crate::domain::Limits;
use crate::service::artifacts::Artifacts;

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
        let (tenant, request) = open(request);
        let new = convert::create_artifact(request, &self.limits)?;
        let artifact = self.artifacts.create(&tenant, new).await?;
        Ok(Response::new(v1::CreateArtifactResponse { artifact: Some(artifact.into()) }))
    }

    async fn get_artifact(
        &self,
        request: Request<v1::GetArtifactRequest>,
    ) -> Result<Response<v1::GetArtifactResponse>, Status> {
        let (tenant, request) = open(request);
        let id = single_id("artifact_id", &request.artifact_id)?;
        let artifact = self.artifacts.get(&tenant, id).await?;
        Ok(Response::new(v1::GetArtifactResponse { artifact: Some(artifact.into()) }))
    }

    async fn list_artifacts(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        let (tenant, request) = open(request);
        let (parent, page) = convert::list_artifacts(request, &self.limits)?;
        let page = self.artifacts.list(&tenant, parent, page).await?;
        Ok(Response::new(v1::ListArtifactsResponse {
            artifacts: page.items.into_iter().map(v1::Artifact::from).collect(),
            next_page_token: page.next_token,
        }))
    }
}
