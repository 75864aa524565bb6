use crate::services::run::convert::*;

fn spec() -> v1::RunSpec {
    v1::RunSpec {
        session_id: "01980000-0000-7000-8000-000000000001".into(),
        lane: v1::Lane::B.into(),
        kind: "build".into(),
        ..Default::default()
    }
}

fn enqueue(runs: Vec<v1::RunSpec>) -> Result<Vec<RunRequest>, Vec<String>> {
    enqueue_runs(v1::EnqueueRunsRequest { runs }, None, &Limits::default())
        .map_err(|violations| violations.0.into_iter().map(|violation| violation.field).collect())
}

#[test]
fn fields_that_are_not_given_have_their_defaults() {
    let requests = enqueue(vec![spec()]).expect("a good spec");
    assert_eq!(requests[0].spec.params, "{}");
    assert_eq!(requests[0].spec.max_attempts, 1);
    assert_eq!(
        (requests[0].spec.timeout, requests[0].run_after, requests[0].request_id.as_deref()),
        (None, None, None)
    );
    assert_eq!(requests[0].spec.lane, Lane::B);
}

#[test]
fn all_violations_are_reported_at_once_with_their_paths() {
    let bad = v1::RunSpec {
        session_id: "x".into(),
        lane: 9,
        priority: i32::MIN,
        kind: "a\r\nb".into(),
        params: Some(v1::run_spec::Params::ParamsJson("[1]".into())),
        labels: [("k".to_owned(), "v\u{1b}".to_owned())].into(),
        max_attempts: Some(0),
        timeout: Some(prost_types::Duration { seconds: 0, nanos: 999 }),
        run_after_time: Some(prost_types::Timestamp { seconds: 253_402_300_800, nanos: 0 }),
        request_id: "x".repeat(201),
        traceparent: "00-0".into(),
    };
    let mut fields = enqueue(vec![spec(), bad]).expect_err("a bad spec");
    fields.sort();
    let expected = [
        "runs[1].kind",
        "runs[1].labels[\"k\"]",
        "runs[1].lane",
        "runs[1].max_attempts",
        "runs[1].params_json",
        "runs[1].request_id",
        "runs[1].run_after_time",
        "runs[1].session_id",
        "runs[1].timeout",
        "runs[1].traceparent",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn the_number_of_runs_is_bounded() {
    assert_eq!(enqueue(vec![]).expect_err("none"), ["runs"]);
    assert_eq!(enqueue(vec![v1::RunSpec::default(); 10_001]).expect_err("too many"), ["runs"]);
    // An answer names only some of many bad runs.
    assert_eq!(enqueue(vec![v1::RunSpec::default(); 10_000]).expect_err("bad").len(), 100);
}

#[test]
fn a_missing_run_is_named() {
    let violations = enqueue_run(v1::EnqueueRunRequest { run: None }, None, &Limits::default()).expect_err("no run");
    assert_eq!(violations.0.len(), 1);
    assert_eq!(violations.0[0].field, "run");
}

#[test]
fn a_watch_with_a_token_has_no_snapshot() {
    let request = v1::WatchRunsRequest { filter: None, resume_token: "t".into(), include_snapshot: true };
    let violations = watch_runs(request, &Limits::default()).expect_err("both");
    assert_eq!(violations.0[0].field, "include_snapshot");
}
