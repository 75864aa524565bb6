//! Conversions of artifacts.

use proto::v1;
use uuid::Uuid;

use crate::edge::convert::time::timestamp_out;
use crate::edge::convert::{Fields, Path, ToProto};
use engine::domain::Limits;
use engine::domain::artifact::{Artifact, ArtifactContent, ArtifactParent, NewArtifact};
use engine::domain::page::PageRequest;
use engine::domain::text::{check_file_name, check_url};
use engine::domain::violation::Violations;

/// The media type of a text, when the request names none.
const TEXT_TYPE: &str = "text/plain; charset=utf-8";
/// The longest media type.
const MIME_TYPE_MAX: usize = 255;

/// CreateArtifact.
pub fn create_artifact(request: v1::CreateArtifactRequest, limits: &Limits) -> Result<NewArtifact, Violations> {
    use v1::create_artifact_request::{Content, Metadata};
    let mut fields = Fields::new(limits);
    let content = match request.content {
        Some(Content::ContentText(text)) => {
            ArtifactContent::Text(fields.bytes(Path::Root.field("content_text"), text, limits.artifact_text))
        }
        Some(Content::ContentUrl(url)) => {
            fields.check(Path::Root.field("content_url"), check_url(&url, limits.url));
            ArtifactContent::Url(url)
        }
        None => {
            fields.bad(Path::Root.field("content"), "expected content_text or content_url, got neither");
            ArtifactContent::TextLeftOut
        }
    };
    let metadata = match request.metadata {
        None => "{}".to_owned(),
        Some(Metadata::MetadataJson(text)) => {
            let path = Path::Root.field("metadata_json");
            fields.optional_object(path, text, limits.artifact_metadata).unwrap_or_else(|| "{}".to_owned())
        }
        Some(Metadata::MetadataStruct(structure)) => {
            fields.structure(Path::Root.field("metadata_struct"), structure, limits.artifact_metadata)
        }
    };
    let mime_type = match (request.mime_type.is_empty(), &content) {
        (true, ArtifactContent::Text(_)) => TEXT_TYPE.to_owned(),
        _ => fields.line(Path::Root.field("mime_type"), request.mime_type, 0, MIME_TYPE_MAX),
    };
    fields.check(Path::Root.field("name"), check_file_name(&request.name, limits.name));
    let lease = Path::Root.field("lease");
    let artifact = NewArtifact {
        run_id: fields.id(Path::Root.field("run_id"), &request.run_id),
        kind: fields.kind(Path::Root.field("kind"), request.kind),
        name: request.name,
        mime_type,
        content,
        metadata,
        request_id: fields.request_id(Path::Root.field("request_id"), request.request_id),
        grant: request.lease.map(|grant| {
            let worker_id = fields.id(lease.field("worker_id"), &grant.worker_id);
            (worker_id, fields.fence(lease.field("fence"), grant.fence))
        }),
    };
    fields.finish(artifact)
}

/// ListArtifacts: the run or session, and the page.
pub fn list_artifacts(
    request: v1::ListArtifactsRequest,
    limits: &Limits,
) -> Result<(ArtifactParent, PageRequest), Violations> {
    use v1::list_artifacts_request::Parent;
    let mut fields = Fields::new(limits);
    let parent = match request.parent {
        Some(Parent::RunId(id)) => ArtifactParent::Run(fields.id(Path::Root.field("run_id"), &id)),
        Some(Parent::SessionId(id)) => ArtifactParent::Session(fields.id(Path::Root.field("session_id"), &id)),
        None => {
            fields.bad(Path::Root.field("parent"), "expected run_id or session_id, got neither");
            ArtifactParent::Run(Uuid::nil())
        }
    };
    let page = fields.page(Path::Root, request.page_size, request.page_token);
    fields.finish((parent, page))
}

impl ToProto for Artifact {
    type Proto = v1::Artifact;

    fn to_proto(self) -> v1::Artifact {
        let artifact = self;
        v1::Artifact {
            id: artifact.id.to_string(),
            run_id: artifact.run_id.to_string(),
            kind: artifact.kind,
            name: artifact.name,
            mime_type: artifact.mime_type,
            size_bytes: artifact.size_bytes,
            content: match artifact.content {
                ArtifactContent::Text(text) => Some(v1::artifact::Content::ContentText(text)),
                ArtifactContent::Url(url) => Some(v1::artifact::Content::ContentUrl(url)),
                ArtifactContent::TextLeftOut => None,
            },
            metadata_json: artifact.metadata,
            create_time: Some(timestamp_out(artifact.created_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_named() {
        let request = v1::CreateArtifactRequest {
            run_id: "x".into(),
            name: "../x".into(),
            metadata: Some(v1::create_artifact_request::Metadata::MetadataJson("[]".into())),
            lease: Some(v1::ArtifactLease { worker_id: String::new(), fence: 0 }),
            ..Default::default()
        };
        let violations = create_artifact(request, &Limits::default()).expect_err("bad").0;
        let mut fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["content", "kind", "lease.fence", "lease.worker_id", "metadata_json", "name", "run_id"]);
    }

    #[test]
    fn a_text_has_a_media_type_and_a_link_may_have_none() {
        use v1::create_artifact_request::Content;
        let made = |content| {
            let request = v1::CreateArtifactRequest {
                run_id: "01980000-0000-7000-8000-000000000001".into(),
                kind: "report".into(),
                name: "a.txt".into(),
                content: Some(content),
                ..Default::default()
            };
            create_artifact(request, &Limits::default()).map(|artifact| artifact.mime_type)
        };
        assert_eq!(made(Content::ContentText(String::new())).as_deref(), Ok(TEXT_TYPE));
        assert_eq!(made(Content::ContentUrl("https://x/y".into())).as_deref(), Ok(""));
        assert!(made(Content::ContentUrl("javascript:alert(1)".into())).is_err());
    }
}
