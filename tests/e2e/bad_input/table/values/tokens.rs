//! Forged tokens, tokens for another use, and request ids that were used before.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::domain::token;
use proto::v1::watch_runs_response::Event;
use proto::v1::*;
use tonic::Code;

use super::super::Scene;
use super::super::calls::{Expected, refused};
use super::{Row, row};

const RUNS: &str = "ops.v1.RunService/ListRuns";
const SESSIONS: &str = "ops.v1.SessionService/ListSessions";
const WORKERS: &str = "ops.v1.WorkerService/ListWorkers";
const WATCH: &str = "ops.v1.RunService/WatchRuns";
const TAIL: &str = "ops.v1.RunService/TailRunEvents";

/// Forged tokens.
const FORGED: [&str; 6] = ["x", "====", "AQ", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "' OR 1=1 --", "\0"];

pub async fn rows(scene: &Scene) -> Vec<Row> {
    let page = || refused(Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let resume = || refused(Code::InvalidArgument, "RESUME_TOKEN_INVALID");
    let list = |page_token: String| ListRunsRequest { page_token, ..Default::default() };
    let watch = |resume_token: String| WatchRunsRequest { resume_token, ..Default::default() };
    let mut rows = Vec::new();
    for token in FORGED.map(str::to_owned).into_iter().chain(["A".repeat(100_000)]) {
        let what = &token[..token.len().min(20)];
        rows.push(row(format!("a forged page {what:?}"), RUNS, list(token.clone()), page()));
        rows.push(row(format!("a forged place in a watch {what:?}"), WATCH, watch(token.clone()), resume()));
    }

    let runs: Vec<String> = {
        let run = RunSpec {
            session_id: scene.session.clone(),
            lane: Lane::C.into(),
            kind: "never".into(),
            ..Default::default()
        };
        let many = EnqueueRunsRequest { runs: vec![run; 2] };
        scene.runs().enqueue_runs(many).await.expect("they are enqueued").into_inner().run_ids
    };
    let first = scene.runs().list_runs(ListRunsRequest { page_size: 1, ..Default::default() }).await;
    let of_all = first.expect("they are listed").into_inner().next_page_token;
    let filtered = ListRunsRequest {
        filter: Some(RunFilter { kinds: vec!["other".into()], ..Default::default() }),
        ..list(of_all.clone())
    };
    let mut bytes = URL_SAFE_NO_PAD.decode(&of_all).expect("it is base64");
    bytes[5] ^= 1;
    rows.extend([
        row(
            "the page of another method",
            SESSIONS,
            ListSessionsRequest { page_token: of_all.clone(), ..Default::default() },
            page(),
        ),
        row(
            "the page of a third method",
            WORKERS,
            ListWorkersRequest { page_token: of_all.clone(), ..Default::default() },
            page(),
        ),
        row("the page of another filter", RUNS, filtered, page()),
        row("a page with another bit", RUNS, list(URL_SAFE_NO_PAD.encode(bytes)), page()),
        row("a page with more behind it", RUNS, list(of_all.clone() + "AAAA"), page()),
        row("a page in place of a place in a watch", WATCH, watch(of_all.clone()), resume()),
        row("the page itself", RUNS, list(of_all), Expected::Ok),
    ]);

    // A resume token of a watch of all runs, and changed copies of it.
    let token = bookmark(scene).await;
    let parts: serde_json::Value =
        serde_json::from_slice(&token::open(&token).expect("it is not damaged")).expect("it is JSON");
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut parts = parts.clone();
        change(&mut parts);
        watch(token::seal(parts.to_string().as_bytes()))
    };
    let other = RunFilter { lanes: vec![Lane::B.into()], ..Default::default() };
    let filtered = WatchRunsRequest { filter: Some(other), ..watch(token.clone()) };
    rows.extend([
        row("a place in a watch with another filter", WATCH, filtered, resume()),
        row("a place in another database", WATCH, changed(&|it| it["db"] = "7/7".into()), resume()),
        row("a place in the future", WATCH, changed(&|it| it["at"] = "2999-01-01T00:00:00Z".into()), resume()),
        row("a place at no time", WATCH, changed(&|it| it["at"] = "soon".into()), resume()),
        row(
            "a token whose position is not a snapshot",
            WATCH,
            changed(&|it| it["s"] = "1:2:3'; DROP TABLE ops.runs".into()),
            resume(),
        ),
        row("a place of another version", WATCH, changed(&|it| it["v"] = 99.into()), resume()),
        row(
            "a token from long ago",
            WATCH,
            changed(&|it| it["at"] = "2020-01-01T00:00:00Z".into()),
            refused(Code::OutOfRange, "REVISION_COMPACTED"),
        ),
        row(
            "a token of a watch, for a log",
            TAIL,
            TailRunEventsRequest { run_id: runs[0].clone(), resume_token: token, ..Default::default() },
            resume(),
        ),
        row(
            "a token of another run's log",
            TAIL,
            TailRunEventsRequest {
                run_id: runs[0].clone(),
                resume_token: token::seal(format!("2 {} 1 1", runs[1]).as_bytes()),
                ..Default::default()
            },
            resume(),
        ),
    ]);
    rows.extend(reused(scene).await);
    rows
}

async fn bookmark(scene: &Scene) -> String {
    let mut watch = scene.runs().watch_runs(WatchRunsRequest::default()).await.expect("it watches").into_inner();
    loop {
        let message = watch.message().await.expect("it goes on").expect("it goes on");
        if let Some(Event::Bookmark(bookmark)) = message.event {
            return bookmark.resume_token;
        }
    }
}

/// The same request id with another payload.
async fn reused(scene: &Scene) -> Vec<Row> {
    let request_id = scene.session.clone();
    let reused = || refused(Code::AlreadyExists, "REQUEST_ID_REUSED");
    let run = |priority| RunSpec {
        session_id: scene.session.clone(),
        lane: Lane::C.into(),
        kind: "never".into(),
        request_id: request_id.clone(),
        priority,
        ..Default::default()
    };
    let create =
        |name: &str| CreateSessionRequest { name: name.into(), request_id: request_id.clone(), ..Default::default() };
    let claim = |max_runs| ClaimRequest {
        worker_name: "other".into(),
        kinds: vec!["nothing".into()],
        request_id: request_id.clone(),
        max_runs,
        ..Default::default()
    };
    scene.runs().enqueue_run(EnqueueRunRequest { run: Some(run(1)) }).await.expect("it is enqueued");
    scene.sessions().create_session(create("a")).await.expect("it is created");
    scene.workers().claim(claim(1)).await.expect("it claims");
    vec![
        row(
            "a run with a request id of another",
            "ops.v1.RunService/EnqueueRun",
            EnqueueRunRequest { run: Some(run(2)) },
            reused(),
        ),
        row("a session with a request id of another", "ops.v1.SessionService/CreateSession", create("b"), reused()),
        row("a claim with a request id of another", "ops.v1.WorkerService/Claim", claim(2), reused()),
    ]
}
