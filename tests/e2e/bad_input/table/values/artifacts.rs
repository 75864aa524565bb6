//! ArtifactService.

use proto::v1::create_artifact_request::{Content, Metadata};
use proto::v1::*;
use tonic::Code;

use super::super::calls::{invalid, refused};
use super::grants::Held;
use super::texts::{bad_lines, bad_objects};
use super::{NOBODY, Row, no_ids, row};

const CREATE: &str = "ops.v1.ArtifactService/CreateArtifact";
const GET: &str = "ops.v1.ArtifactService/GetArtifact";
const LIST: &str = "ops.v1.ArtifactService/ListArtifacts";

/// Names that are not a plain file name on every system.
const BAD_NAMES: [&str; 26] = [
    "",
    ".",
    "..",
    "../x",
    "a/../b",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\x",
    "C:x",
    "C:\\x",
    "%2e%2e",
    "%2E%2e%2Fx",
    "a%2fb",
    "a%5Cb",
    "a%00",
    "CON",
    "nul.txt",
    "Aux ",
    "COM1.log",
    "LPT9",
    "COM¹",
    "a.",
    "a ",
    " a",
    "a|b",
];

/// Texts that are not the URL of a page.
const BAD_URLS: [&str; 13] = [
    "",
    "javascript:alert(1)",
    "JaVaScRiPt://x/%0aalert(1)",
    "file:///etc/passwd",
    "data:text/html,<script>",
    "ftp://x/y",
    "//x/y",
    "http:///x",
    "http://",
    "https://x/a b",
    "https://x/\"onerror=\"",
    "https://x/<img>",
    "https://x\\@y/",
];

pub fn rows(held: &Held) -> Vec<Row> {
    let good = || CreateArtifactRequest {
        run_id: held.lease.run_id.clone(),
        kind: "report".into(),
        name: "a.txt".into(),
        content: Some(Content::ContentText("text".into())),
        ..Default::default()
    };
    let with_lease = |worker_id: &str, fence| {
        let lease = Some(ArtifactLease { worker_id: worker_id.into(), fence });
        CreateArtifactRequest { lease, ..good() }
    };
    let lost = || refused(Code::FailedPrecondition, "LEASE_LOST");
    let mut rows = vec![
        row(
            "an artifact without content",
            CREATE,
            CreateArtifactRequest { content: None, ..good() },
            invalid(&["content"]),
        ),
        row(
            "an artifact of an unknown run",
            CREATE,
            CreateArtifactRequest { run_id: NOBODY.into(), ..good() },
            refused(Code::NotFound, "RUN_NOT_FOUND"),
        ),
        row("an artifact with a fence of the past", CREATE, with_lease(&held.worker_id, held.lease.fence - 1), lost()),
        row("an artifact with the last fence", CREATE, with_lease(&held.worker_id, i64::MAX), lost()),
        row("an artifact under another worker's grant", CREATE, with_lease(&held.other_id, held.lease.fence), lost()),
        row("an artifact under no grant", CREATE, with_lease("", 0), invalid(&["lease.worker_id", "lease.fence"])),
    ];
    for name in BAD_NAMES {
        let create = CreateArtifactRequest { name: name.into(), ..good() };
        rows.push(row(format!("an artifact with the name {name:?}"), CREATE, create, invalid(&["name"])));
    }
    let long = CreateArtifactRequest { name: "é".repeat(150), ..good() };
    rows.push(row("an artifact with a name of 300 bytes", CREATE, long, invalid(&["name"])));
    for (what, text) in bad_lines(255) {
        let create = CreateArtifactRequest { name: text.clone(), kind: text.clone(), mime_type: text, ..good() };
        rows.push(row(
            format!("an artifact's names with {what}"),
            CREATE,
            create,
            invalid(&["mime_type", "name", "kind"]),
        ));
    }
    for url in BAD_URLS {
        let create = CreateArtifactRequest { content: Some(Content::ContentUrl(url.into())), ..good() };
        rows.push(row(format!("a link to {url:?}"), CREATE, create, invalid(&["content_url"])));
    }
    let texts = [("NUL", "a\0b".to_owned()), ("1 MiB and a byte", "x".repeat((1 << 20) + 1))];
    for (what, text) in texts {
        let create = CreateArtifactRequest { content: Some(Content::ContentText(text)), ..good() };
        rows.push(row(format!("a text with {what}"), CREATE, create, invalid(&["content_text"])));
    }
    for (what, text) in bad_objects() {
        let create = CreateArtifactRequest { metadata: Some(Metadata::MetadataJson(text)), ..good() };
        rows.push(row(format!("metadata that are {what}"), CREATE, create, invalid(&["metadata_json"])));
    }
    rows.extend(no_ids(GET, "artifact_id", |artifact_id| GetArtifactRequest { artifact_id }));
    let unknown = GetArtifactRequest { artifact_id: NOBODY.into() };
    rows.push(row("GetArtifact of an unknown id", GET, unknown, refused(Code::NotFound, "ARTIFACT_NOT_FOUND")));
    rows.push(row("ListArtifacts of nothing", LIST, ListArtifactsRequest::default(), invalid(&["parent"])));
    let parent = |id: String| Some(list_artifacts_request::Parent::RunId(id));
    rows.extend(no_ids(LIST, "run_id", |id| ListArtifactsRequest { parent: parent(id), ..Default::default() }));
    let negative = ListArtifactsRequest { parent: parent(NOBODY.into()), page_size: -1, ..Default::default() };
    rows.push(row("a page of -1 artifacts", LIST, negative, invalid(&["page_size"])));
    rows
}
