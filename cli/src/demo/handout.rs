//! Commands to copy, which do by hand what the demonstration did.

use std::{fmt::Write, path::PathBuf};

use proto::v1::{Artifact, Run, Session};
use serde_json::{Value, json};

use crate::args::target::ServerAddress;

/// The claim is kept, and its fields are read from it, so that the report can be copied as it is.
const CLAIMED: &str = r#"field() { sed -n "s/.*\"$1\": \"\(.*\)\".*/\1/p" <<<"$claimed" | head -n 1; }"#;
const REPORT: &str = r#"{\"worker_id\": \"$(field workerId)\", \"report\": {\"run_id\": \"$(field id)\", \"fence\": \"$(field fence)\", \"outcome\": {\"succeeded\": {\"result_struct\": {\"ok\": true}}}}}"#;

/// `folders` have the programs; `done` is the session of the demonstration; `open` still takes runs.
pub(super) fn text(
    folders: &[PathBuf],
    address: &ServerAddress,
    done: &Session,
    open: &Session,
    failed: &Run,
    artifact: &Artifact,
) -> String {
    let host = address.uri().authority().map_or("", |authority| authority.as_str());
    let call = |method: &str, request: &Value| format!("grpcurl -plaintext -d '{request}' {host} ops.v1.{method}");
    let filter = json!({ "session_id": done.id });
    let manual =
        json!({ "session_id": open.id, "lane": "LANE_A", "kind": "manual", "params_struct": { "hello": "world" } });
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let sections = [
        (
            "Commands for another terminal, with bash. `make tools` installs grpcurl. First name the folders of the programs:",
            vec![format!("export PATH=\"{}:$PATH\"", folders.join(":"))],
        ),
        (
            "Look at it with grpcurl:",
            vec![
                format!("grpcurl -plaintext {host} list"),
                format!("grpcurl -plaintext {host} describe ops.v1.RunService"),
                call("SessionService/GetSession", &filter),
                call("RunService/GetRun", &json!({ "run_id": failed.id })),
                call(
                    "RunService/ListRuns",
                    &json!({ "filter": { "session_id": done.id, "statuses": ["RUN_STATUS_FAILED"] } }),
                ),
                call("RunService/TailRunEvents", &json!({ "run_id": failed.id })),
                call("ArtifactService/GetArtifact", &json!({ "artifact_id": artifact.id })),
                call("WorkerService/ListWorkers", &json!({})),
            ],
        ),
        (
            "Be the worker: nobody else executes the kind `manual`. Watch in one terminal,",
            vec![call(
                "RunService/WatchRuns",
                &json!({ "filter": { "session_id": open.id }, "include_snapshot": true }),
            )],
        ),
        (
            "and in another enqueue, claim, and report with what the claim has answered:",
            vec![
                call("RunService/EnqueueRun", &json!({ "run": manual })),
                format!(
                    "claimed=$({})",
                    call("WorkerService/Claim", &json!({ "worker_name": "me", "kinds": ["manual"], "wait": "5s" }))
                ),
                CLAIMED.to_owned(),
                format!("grpcurl -plaintext -d \"{REPORT}\" {host} ops.v1.WorkerService/ReportRun"),
            ],
        ),
        (
            "The same with this program:",
            vec![
                format!("ops run list --server {host} --session {}", done.id),
                format!("ops run logs --server {host} {}", failed.id),
                format!("ops run enqueue --server {host} --session {} --lane B --wait -- uname -a", open.id),
                format!("ops worker list --server {host}"),
            ],
        ),
    ];
    let mut text = String::new();
    for (title, lines) in sections {
        // Writing to a String can not fail.
        let _ = writeln!(text, "\n{title}\n");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_the_address_and_every_request_is_json() {
        let session = |id: &str| Session { id: id.to_owned(), ..Session::default() };
        let address = "127.0.0.1:4242".parse().unwrap();
        let folders = ["/target/debug".into(), "/tools".into()];
        let text = text(&folders, &address, &session("s1"), &session("s2"), &Run::default(), &Artifact::default());
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("  ")).collect();
        assert!(lines.len() > 10);
        assert_eq!(lines[0], "  export PATH=\"/target/debug:/tools:$PATH\"");
        for line in lines {
            let calls = line.contains("grpcurl ") || line.contains("ops ");
            assert!(!calls || line.contains("127.0.0.1:4242"), "{line}");
            if let Some(request) = line.split('\'').nth(1) {
                assert!(serde_json::from_str::<Value>(request).is_ok(), "{line}");
            }
        }
    }
}
