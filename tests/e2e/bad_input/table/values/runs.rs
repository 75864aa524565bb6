//! RunService.

use proto::v1::run_spec::Params;
use proto::v1::*;
use tonic::Code;

use super::super::Scene;
use super::super::calls::{invalid, refused};
use super::texts::{bad_lines, bad_objects};
use super::times::{BAD_DURATIONS, BAD_TIMES};
use super::{NO_IDS, NOBODY, Row, no_ids, row};

const ENQUEUE: &str = "ops.v1.RunService/EnqueueRun";
const ENQUEUE_MANY: &str = "ops.v1.RunService/EnqueueRuns";
const GET: &str = "ops.v1.RunService/GetRun";
const LIST: &str = "ops.v1.RunService/ListRuns";
const CANCEL: &str = "ops.v1.RunService/CancelRun";
const WAIT: &str = "ops.v1.RunService/WaitRun";
const WATCH: &str = "ops.v1.RunService/WatchRuns";
const EVENTS: &str = "ops.v1.RunService/ListRunEvents";
const TAIL: &str = "ops.v1.RunService/TailRunEvents";

pub fn rows(scene: &Scene) -> Vec<Row> {
    let good = || RunSpec {
        session_id: scene.session.clone(),
        lane: Lane::A.into(),
        kind: "never".into(),
        ..Default::default()
    };
    let enqueue = |run: RunSpec| EnqueueRunRequest { run: Some(run) };
    let mut rows = vec![
        row("no run", ENQUEUE, EnqueueRunRequest { run: None }, invalid(&["run"])),
        row("an empty run", ENQUEUE, enqueue(RunSpec::default()), invalid(&["run.session_id", "run.lane", "run.kind"])),
        row("no runs", ENQUEUE_MANY, EnqueueRunsRequest { runs: Vec::new() }, invalid(&["runs"])),
        row("too many runs", ENQUEUE_MANY, EnqueueRunsRequest { runs: vec![good(); 10_001] }, invalid(&["runs"])),
        row(
            "a bad run among good ones",
            ENQUEUE_MANY,
            EnqueueRunsRequest { runs: vec![good(), RunSpec { kind: String::new(), ..good() }, good()] },
            invalid(&["runs[1].kind"]),
        ),
        row(
            "a run in an unknown session",
            ENQUEUE,
            enqueue(RunSpec { session_id: NOBODY.into(), ..good() }),
            refused(Code::NotFound, "SESSION_NOT_FOUND"),
        ),
    ];
    for id in NO_IDS {
        let run = enqueue(RunSpec { session_id: id.into(), ..good() });
        rows.push(row(format!("a run in the session {id:?}"), ENQUEUE, run, invalid(&["run.session_id"])));
    }
    for lane in [0, 5, -1, i32::MAX] {
        rows.push(row(format!("lane {lane}"), ENQUEUE, enqueue(RunSpec { lane, ..good() }), invalid(&["run.lane"])));
    }
    for attempts in [0, -1, 101, i32::MIN, i32::MAX] {
        let run = enqueue(RunSpec { max_attempts: Some(attempts), ..good() });
        rows.push(row(format!("{attempts} attempts"), ENQUEUE, run, invalid(&["run.max_attempts"])));
    }
    for (what, kind) in bad_lines(100) {
        rows.push(row(
            format!("a kind with {what}"),
            ENQUEUE,
            enqueue(RunSpec { kind, ..good() }),
            invalid(&["run.kind"]),
        ));
    }
    for (what, text) in bad_objects() {
        let run = enqueue(RunSpec { params: Some(Params::ParamsJson(text)), ..good() });
        rows.push(row(format!("params that are {what}"), ENQUEUE, run, invalid(&["run.params_json"])));
    }
    let large = Params::ParamsJson(format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20)));
    rows.push(row(
        "params of more than 1 MiB",
        ENQUEUE,
        enqueue(RunSpec { params: Some(large), ..good() }),
        invalid(&["run.params_json"]),
    ));
    for (what, timeout) in BAD_DURATIONS {
        let run = enqueue(RunSpec { timeout: Some(timeout), ..good() });
        rows.push(row(format!("a timeout that is {what}"), ENQUEUE, run, invalid(&["run.timeout"])));
    }
    for (what, time) in BAD_TIMES {
        let run = enqueue(RunSpec { run_after_time: Some(time), ..good() });
        rows.push(row(format!("a run at a time {what}"), ENQUEUE, run, invalid(&["run.run_after_time"])));
    }
    let labels = [
        ("an empty key", "", "v", r#"run.labels[""]"#),
        ("a key of two lines", "k\nl", "v", r#"run.labels["k\nl"]"#),
        ("a value that turns the direction", "k", "\u{202e}", r#"run.labels["k"]"#),
        ("a value with NUL", "k", "\0", r#"run.labels["k"]"#),
    ];
    for (what, key, value, field) in labels {
        let run = RunSpec { labels: [(key.to_owned(), value.to_owned())].into(), ..good() };
        rows.push(row(format!("a label with {what}"), ENQUEUE, enqueue(run), invalid(&[field])));
    }
    let many = RunSpec { labels: (0..33).map(|n| (n.to_string(), String::new())).collect(), ..good() };
    rows.push(row("33 labels", ENQUEUE, enqueue(many), invalid(&["run.labels"])));

    rows.extend(no_ids(GET, "run_id", |run_id| GetRunRequest { run_id }));
    rows.extend(no_ids(CANCEL, "run_id", |run_id| CancelRunRequest { run_id, ..Default::default() }));
    rows.extend(no_ids(WAIT, "run_id", |run_id| WaitRunRequest { run_id, ..Default::default() }));
    rows.extend(no_ids(EVENTS, "run_id", |run_id| ListRunEventsRequest { run_id, ..Default::default() }));
    rows.extend(no_ids(TAIL, "run_id", |run_id| TailRunEventsRequest { run_id, ..Default::default() }));
    let unknown = || refused(Code::NotFound, "RUN_NOT_FOUND");
    let run_id = || NOBODY.to_owned();
    let cancel = || CancelRunRequest { run_id: run_id(), ..Default::default() };
    let wait = || WaitRunRequest { run_id: run_id(), ..Default::default() };
    let events = || ListRunEventsRequest { run_id: run_id(), ..Default::default() };
    let tail = || TailRunEventsRequest { run_id: run_id(), ..Default::default() };
    rows.extend([
        row("GetRun of an unknown id", GET, GetRunRequest { run_id: run_id() }, unknown()),
        row("CancelRun of an unknown id", CANCEL, cancel(), unknown()),
        row("WaitRun of an unknown id", WAIT, wait(), unknown()),
        row("ListRunEvents of an unknown id", EVENTS, events(), unknown()),
        row("TailRunEvents of an unknown id", TAIL, tail(), unknown()),
        row("an unknown level", EVENTS, ListRunEventsRequest { min_level: 99, ..events() }, invalid(&["min_level"])),
        row(
            "an unknown level, followed",
            TAIL,
            TailRunEventsRequest { min_level: -1, ..tail() },
            invalid(&["min_level"]),
        ),
        row("a page of -1 events", EVENTS, ListRunEventsRequest { page_size: -1, ..events() }, invalid(&["page_size"])),
    ]);
    for (what, time) in BAD_DURATIONS {
        let (grace, wait_timeout) = (Some(time), Some(time));
        rows.push(row(
            format!("a grace that is {what}"),
            CANCEL,
            CancelRunRequest { grace, ..cancel() },
            invalid(&["grace"]),
        ));
        rows.push(row(
            format!("a wait that is {what}"),
            WAIT,
            WaitRunRequest { wait_timeout, ..wait() },
            invalid(&["wait_timeout"]),
        ));
    }

    let bad = RunFilter {
        session_id: "' OR 1=1 --".into(),
        lanes: vec![0],
        statuses: vec![99],
        kinds: vec!["a\0".into()],
        labels: [("k".to_owned(), "\0".to_owned())].into(),
    };
    let fields =
        ["statuses[0]", "session_id", "lanes[0]", "kinds[0]", r#"labels["k"]"#].map(|it| format!("filter.{it}"));
    let fields = fields.each_ref().map(String::as_str);
    let list = |filter| ListRunsRequest { filter: Some(filter), ..Default::default() };
    let watch = |filter| WatchRunsRequest { filter: Some(filter), ..Default::default() };
    let many = RunFilter { kinds: vec!["k".into(); 101], ..Default::default() };
    rows.extend([
        row("a filter that is all wrong", LIST, list(bad.clone()), invalid(&fields)),
        row("a filter that is all wrong, watched", WATCH, watch(bad), invalid(&fields)),
        row("a filter of 101 kinds", LIST, list(many.clone()), invalid(&["filter.kinds"])),
        row("a filter of 101 kinds, watched", WATCH, watch(many), invalid(&["filter.kinds"])),
        row(
            "a page of -1 runs",
            LIST,
            ListRunsRequest { page_size: -1, ..Default::default() },
            invalid(&["page_size"]),
        ),
        row(
            "a watch from a token and from a snapshot",
            WATCH,
            WatchRunsRequest { include_snapshot: true, resume_token: "x".into(), ..Default::default() },
            invalid(&["include_snapshot"]),
        ),
    ]);
    rows
}

/// A value inside params, as it comes back from the server.
pub async fn kept(scene: &Scene, value: &str) -> String {
    let run = RunSpec {
        session_id: scene.session.clone(),
        lane: Lane::A.into(),
        kind: "never".into(),
        params: Some(Params::ParamsJson(format!("{{\"a\": {value}}}"))),
        ..Default::default()
    };
    let run =
        scene.runs().enqueue_run(EnqueueRunRequest { run: Some(run) }).await.expect("it is enqueued").into_inner();
    let get = GetRunRequest { run_id: run.run.expect("it is answered").id };
    let run = scene.runs().get_run(get).await.expect("it is there").into_inner().run.expect("it is answered");
    let params = run.params_json;
    params.strip_prefix("{\"a\": ").and_then(|it| it.strip_suffix('}')).unwrap_or(&params).to_owned()
}
