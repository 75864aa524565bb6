//! Sends an artifact to a server: a unary call that names the grant, repeated while no server answers.

use std::time::Duration;

use proto::v1::{self, artifact_service_client::ArtifactServiceClient};
use tokio::{sync::watch, time};
use tonic::{Code, Request};
use uuid::Uuid;

use crate::{
    api::artifact::{ArtifactContent, ArtifactError},
    dial::{backoff::Backoff, link::Link},
    grant::key::GrantKey,
};

/// The timeouts of one call, and of all its repetitions together.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Keeps an artifact, and returns its id.
///
/// # Errors
/// Those of [`ArtifactError`].
pub(crate) async fn create(
    mut links: watch::Receiver<Option<Link>>,
    key: GrantKey,
    name: &str,
    kind: &str,
    content: ArtifactContent,
) -> Result<String, ArtifactError> {
    // Each repetition has the same id, so that a lost answer does not make a second artifact.
    let request_id = Uuid::now_v7().to_string();
    let content = match content {
        ArtifactContent::Text(text) => v1::create_artifact_request::Content::ContentText(text),
        ArtifactContent::Url(url) => v1::create_artifact_request::Content::ContentUrl(url),
    };
    let mut request = v1::CreateArtifactRequest {
        run_id: key.run_id.to_string(),
        kind: kind.into(),
        name: name.into(),
        content: Some(content),
        request_id,
        ..Default::default()
    };
    let mut last = String::from("not connected");
    let attempts = async {
        let mut backoff = Backoff::default();
        loop {
            let Some(link) = links.wait_for(Option::is_some).await.ok().and_then(|link| link.clone()) else {
                return Err(ArtifactError::NoServer);
            };
            request.lease = Some(v1::ArtifactLease { worker_id: link.worker_id.clone(), fence: key.fence });
            match call(link, request.clone()).await {
                Ok(id) => return Ok(id),
                Err(status) if is_transient(status.code()) => last = status.message().to_owned(),
                Err(status) => return Err(ArtifactError::Refused(status.message().to_owned())),
            }
            time::sleep(backoff.next_delay()).await;
        }
    };
    match time::timeout(TOTAL_TIMEOUT, attempts).await {
        Ok(result) => result,
        Err(_elapsed) => Err(ArtifactError::Unavailable(last)),
    }
}

async fn call(link: Link, request: v1::CreateArtifactRequest) -> Result<String, tonic::Status> {
    let mut request = Request::new(request);
    request.set_timeout(CALL_TIMEOUT);
    if let Some(authorization) = link.authorization {
        request.metadata_mut().insert("authorization", authorization);
    }
    let call = ArtifactServiceClient::new(link.channel);
    let response = time::timeout(CALL_TIMEOUT, async { { call }.create_artifact(request).await })
        .await
        .map_err(|_elapsed| tonic::Status::deadline_exceeded("no answer within 10 s"))??;
    Ok(response.into_inner().artifact.map(|artifact| artifact.id).unwrap_or_default())
}

fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
    )
}
