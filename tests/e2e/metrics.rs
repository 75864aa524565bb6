//! `/metrics` is well-formed for Prometheus, matches its documentation, and is correct.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Fixture, Stream, Unary, Watcher, eventually, failed, in_time, spec, succeeded};

/// One scrape: each sample by its name with labels, and the type of each family.
#[derive(Debug, Default)]
pub struct Scrape {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

async fn text(fixture: &Fixture) -> String {
    let mut stream = TcpStream::connect(fixture.address()).await.expect("the server listens");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", fixture.address());
    stream.write_all(request.as_bytes()).await.expect("it is asked");
    let mut answer = String::new();
    in_time("the metrics", stream.read_to_string(&mut answer)).await.expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    body.to_owned()
}

pub async fn scrape(fixture: &Fixture) -> Scrape {
    Scrape::parse(&text(fixture).await)
}

impl Scrape {
    /// Parses the text format strictly.
    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let (mut scrape, mut family, mut helped) = (Self::default(), String::new(), String::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("a help text");
                assert!(is_name(name) && !text.is_empty() && !scrape.types.contains_key(name), "{line}");
                helped = name.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind) && name == helped, "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                family = name.to_owned();
                scrape.types.insert(family.clone(), kind.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let value: f64 = value.parse().expect("a number");
                let (name, labels) = taken_apart(series);
                let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} is not of {family}"));
                let is_histogram = scrape.types[&family] == "histogram";
                let suffixes: &[&str] = if is_histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(suffixes.contains(&suffix), "{line}");
                assert_eq!(labels.contains_key("le"), suffix == "_bucket", "{line}");
                assert!(scrape.samples.insert(series.to_owned(), value).is_none(), "{line} comes twice");
            }
        }
        scrape.check_histograms(text);
        scrape
    }

    /// Buckets are cumulative, and the last one counts everything.
    fn check_histograms(&self, text: &str) {
        let mut last: (String, f64, f64) = Default::default();
        for line in text.lines().filter(|line| line.contains("_bucket{")) {
            let (series, count) = line.rsplit_once(' ').expect("a value");
            let (name, mut labels) = taken_apart(series);
            let bound = match labels.remove("le").expect("a bound").as_str() {
                "+Inf" => f64::INFINITY,
                bound => bound.parse().expect("a number"),
            };
            let (key, count) = (format!("{name}{labels:?}"), count.parse().expect("a number"));
            if last.0 == key {
                assert!(last.1 < bound && last.2 <= count, "{line}");
            } else {
                assert!(last.0.is_empty() || last.1.is_infinite(), "{} has a last bucket", last.0);
            }
            if bound.is_infinite() {
                let all: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
                let all = if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) };
                assert_eq!(self.samples[&format!("{}{all}", name.replace("_bucket", "_count"))], count, "{line}");
            }
            last = (key, bound, count);
        }
    }

    pub fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("{series} is missing"))
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_') && !name.starts_with(|it: char| it.is_ascii_digit())
}

/// The name and the labels of `name{label="value",..}`.
fn taken_apart(series: &str) -> (&str, BTreeMap<String, String>) {
    let Some((name, labels)) = series.split_once('{') else { return (series, BTreeMap::new()) };
    assert!(is_name(name), "{series}");
    let labels = labels.strip_suffix('}').expect("labels end");
    let label = |label: &str| {
        let (name, value) = label.split_once('=').expect("a label has a value");
        let value = value.strip_prefix('"').and_then(|it| it.strip_suffix('"')).expect("a value is quoted");
        assert!(is_name(name) && !value.contains(['"', '\\', '\n']), "{series}");
        (name.to_owned(), value.to_owned())
    };
    (name, labels.split(',').map(label).collect())
}

/// The metrics that docs/observability.md lists under this heading: the type, and the labels with their values.
fn documented(heading: &str) -> BTreeMap<String, (String, BTreeMap<String, Vec<String>>)> {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/observability.md")).expect("the page");
    let rows = page.lines().skip_while(|line| *line != heading).skip_while(|line| !line.starts_with("| `"));
    let row = |row: &str| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let labels = cells[3].split("), ").filter(|it| !it.trim().is_empty()).map(|label| {
            let (name, values) = label.split_once(" (").expect("a label has its values");
            let values = values.trim_end_matches(')').split(", ").map(str::to_owned).collect();
            (name.trim_matches('`').to_owned(), values)
        });
        let name = cells[0].trim_start_matches("| ").trim_matches('`').to_owned();
        (name, (cells[1].to_owned(), labels.collect()))
    };
    rows.take_while(|line| line.starts_with("| `")).map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_is_as_documented_and_none_is_missing() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    // Metrics from the database appear after the first sample.
    let scrape = eventually("the first look", async || {
        let text = text(&fixture).await;
        text.contains("ops_runs{").then(|| Scrape::parse(&text))
    })
    .await;
    let documented = documented("## Metrics of a server");
    let types: BTreeMap<_, _> = documented.iter().map(|(name, (kind, _))| (name.clone(), kind.clone())).collect();
    assert_eq!(scrape.types, types);
    for series in scrape.samples.keys() {
        let (name, mut labels) = taken_apart(series);
        labels.remove("le");
        let family = scrape.types.keys().filter(|it| name.starts_with(it.as_str())).max_by_key(|it| it.len());
        let (_, expected) = &documented[family.expect("a family")];
        let names: BTreeSet<_> = labels.keys().collect();
        assert_eq!(names, expected.keys().collect(), "{series}");
        for (label, value) in &labels {
            let values = &expected[label];
            assert!(values[0].starts_with("any ") || values.contains(value), "{series}: {label} is {values:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_count_the_work_that_was_done() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue_many(&session, "any", 5).await;
    let once = RunSpec { request_id: "once".into(), max_attempts: Some(2), ..spec(&session, "again") };
    for _ in 0..2 {
        fixture.enqueue_spec(once.clone()).await.expect("the same run, twice");
    }
    let wrong = RunSpec { kind: String::new(), ..spec(&session, "any") };
    fixture.enqueue_spec(wrong).await.expect_err("it is refused");
    let _watcher = Watcher::all(&fixture.servers[0]).await;

    let mut unary = Unary::new(&fixture.servers[0], "by-hand");
    let again = ClaimRequest { kinds: vec!["again".into()], ..Default::default() };
    let given = unary.claim(again).await.expect("it claims").remove(0);
    let lease = Lease { run_id: given.run.expect("it is named").id, fence: given.fence };
    unary.report(&lease, failed("again")).await.expect("it is kept");
    let mut stream =
        Stream::open_with(&fixture.servers[0], Hello { kinds: vec!["any".into()], ..crate::support::hello("s") }).await;
    stream.credit(3);
    let (done, running, stopping) = (stream.begin().await, stream.begin().await, stream.begin().await);
    stream.report(&done, succeeded("1"));
    fixture.ended(&done.run_id).await;
    fixture.running(&stopping.run_id).await;
    fixture.cancel(&stopping.run_id).await;
    fixture.running(&running.run_id).await;

    let expected = [
        ("ops_runs_enqueued_total", 6.0),
        ("ops_runs_claimed_total", 4.0),
        ("ops_runs_started_total", 4.0),
        (r#"ops_grants_ended_total{outcome="succeeded"}"#, 1.0),
        (r#"ops_grants_ended_total{outcome="requeued"}"#, 1.0),
        (r#"ops_grants_ended_total{outcome="lost"}"#, 0.0),
        ("ops_queue_seconds_count", 4.0),
        ("ops_cancel_seconds_count", 1.0),
        ("ops_streams", 1.0),
        ("ops_grants_held", 2.0),
        ("ops_watchers", 1.0),
        ("ops_database_answers", 1.0),
        (r#"ops_runs{state="ready",lane="A"}"#, 3.0),
        (r#"ops_runs{state="running",lane="A"}"#, 2.0),
        (r#"ops_runs{state="running",lane="B"}"#, 0.0),
        (r#"ops_calls_total{code="OK",method="ops.v1.RunService/EnqueueRun"}"#, 2.0),
        (r#"ops_calls_total{code="INVALID_ARGUMENT",method="ops.v1.RunService/EnqueueRun"}"#, 1.0),
    ];
    let label_order = |series: &str| {
        let (name, labels) = taken_apart(series);
        let labels: Vec<_> = labels.into_iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
    };
    let scraped = eventually("the numbers are true", async || {
        let scrape = scrape(&fixture).await;
        let is_wrong = |(series, value): &&(&str, f64)| scrape.samples.get(&label_order(series)) != Some(value);
        let wrong: Vec<_> = expected.iter().filter(is_wrong).collect();
        println!("not so: {wrong:?}");
        wrong.is_empty().then_some(scrape)
    })
    .await;
    assert!(scraped.value(r#"ops_batch_requests_count{batcher="results"}"#) >= 2.0);
    assert!(scraped.value("process_resident_memory_bytes") > 1e6 && scraped.value("process_open_fds") > 3.0);
    assert!(scraped.value("process_threads") > 1.0 && scraped.value("process_start_time_seconds") > 1.7e9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_known_to_be_empty_is_not_read_again_for_each_free_slot() {
    const RUNS: u32 = 20;
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let mut stream = Stream::open(&fixture.servers[0]).await;
    for ended in 0..RUNS {
        stream.credit(i64::from(ended) + 5);
        fixture.enqueue(&session, "any").await;
        let lease = stream.begin().await;
        assert_eq!(stream.finish(&lease, succeeded("1")).await, "");
    }
    // One claim for each run, and some at the start and by the poll, but none for each free slot.
    let claims = scrape(&fixture).await.value("ops_claim_seconds_count");
    assert!((f64::from(RUNS)..1.5 * f64::from(RUNS)).contains(&claims), "{claims}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_waits_for_no_lock_and_shows_foreign_snapshots() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    fixture.enqueue(&session, "any").await;
    let mut foreign = fixture.sql().await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ops.runs";
    sqlx::raw_sql(begin).execute(&mut foreign).await.expect("a snapshot is held");
    eventually("the metric shows the age of the snapshot", async || {
        fixture.enqueue(&session, "any").await;
        (scrape(&fixture).await.value("ops_foreign_snapshot_transactions") > 0.0).then_some(())
    })
    .await;
    sqlx::raw_sql("ROLLBACK; BEGIN; LOCK TABLE ops.runs").execute(&mut foreign).await.expect("it is locked");
    eventually("the sample of the backlog is late", async || {
        let scrape = scrape(&fixture).await;
        assert_eq!(scrape.value("ops_database_answers"), 1.0, "the database answers other statements");
        (scrape.value("ops_sample_age_seconds") > 6.0).then_some(())
    })
    .await;
}
