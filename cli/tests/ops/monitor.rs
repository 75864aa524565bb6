//! The HTTP port of a worker.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use nix::sys::signal::Signal;
use proto::v1::RunStatus;
use serde_json::Value;

use super::{client::shell, fixture::Fixture, gate::eventually, program::Running};

/// Sends a request, and returns the status and the body.
fn get(address: &str, path: &str) -> (u16, String) {
    let host = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub fn health(address: &str) -> (u16, Value) {
    let (code, body) = get(address, "/health");
    (code, serde_json::from_str(&body).unwrap())
}

/// The samples, and the types of their families.
fn metrics(address: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let (code, body) = get(address, "/metrics");
    assert_eq!(code, 200);
    let pair = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    let types = body.lines().filter_map(|line| line.strip_prefix("# TYPE ").map(pair)).collect();
    let samples = body.lines().filter(|line| !line.starts_with('#')).map(pair);
    (samples.map(|(name, value)| (name, value.parse().unwrap())).collect(), types)
}

/// The address of the worker's HTTP port.
fn address(worker: &Running) -> String {
    worker.journal.wait_for("listening on ").trim_start_matches("listening on ").to_owned()
}

/// The metrics of a worker in the documentation, with their types.
fn documented() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/observability.md")).unwrap();
    let rows = page.lines().skip_while(|line| *line != "## Health and metrics of a worker");
    let rows = rows.skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with("| `"));
    let row = |row: &str| {
        let mut cells = row.trim_start_matches("| ").split(" | ");
        (cells.next().unwrap().trim_matches('`').to_owned(), cells.next().unwrap().to_owned())
    };
    rows.map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reports_its_health_and_its_work() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    fixture.work(&["--http-listen", "0", "--name", "watched", "--slots", "3"]);
    let port = address(&fixture.workers[0]);
    assert!(port.starts_with("http://127.0.0.1:"), "{port}");
    eventually("the worker is healthy", || health(&port).0 == 200).await;
    let (_, well) = health(&port);
    assert_eq!(
        (&well["status"], &well["name"], &well["slots"]),
        (&"ok".into(), &"watched".into(), &3.into()),
        "{well}"
    );
    assert!(well["worker_id"].is_string() && well["uptime_seconds"].is_u64() && well["draining"] == false, "{well}");

    let client = fixture.client();
    let session = client.session().await;
    let good = client.enqueue_many(&session, "echo one; echo two", 2).await;
    let bad = client.enqueue(shell(&session, "exit 1")).await.unwrap();
    client.until_all(&session, &good, RunStatus::Succeeded).await;
    client.until_all(&session, &[bad], RunStatus::Failed).await;
    let expected = [
        (r#"ops_worker_runs_ended_total{outcome="succeeded"}"#, 2.0),
        (r#"ops_worker_runs_ended_total{outcome="failed"}"#, 1.0),
        (r#"ops_worker_runs_ended_total{outcome="lost"}"#, 0.0),
        ("ops_worker_runs_started_total", 3.0),
        ("ops_worker_slots", 3.0),
        ("ops_worker_running", 0.0),
        ("ops_worker_connected", 1.0),
        ("ops_worker_draining", 0.0),
        ("ops_worker_connects_total", 1.0),
        ("ops_worker_reports_waiting", 0.0),
        ("ops_worker_events_waiting", 0.0),
        ("ops_worker_events_dropped_total", 0.0),
    ];
    eventually("the metrics are right", || {
        let (samples, _) = metrics(&port);
        expected.iter().all(|(name, value)| samples.get(*name) == Some(value))
    })
    .await;
    assert_eq!(metrics(&port).1, documented());

    let absent = fixture.kill_server(0);
    eventually("the worker has no stream", || health(&port).0 == 503).await;
    let (_, ill) = health(&port);
    assert_eq!((&ill["status"], &ill["worker_id"]), (&"no stream".into(), &well["worker_id"]), "{ill}");
    assert_eq!(metrics(&port).0["ops_worker_connected"], 0.0);
    fixture.serve_again(absent);
    eventually("the worker is healthy again", || health(&port).0 == 200).await;
    eventually("the metrics count its second stream", || metrics(&port).0["ops_worker_connects_total"] == 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reports_a_taken_port_before_it_takes_any_run() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    fixture.work(&["--http-listen", "127.0.0.1:0"]);
    let taken = address(&fixture.workers[0]).trim_start_matches("http://").to_owned();
    fixture.work(&["--http-listen", &taken]);
    let ended = fixture.workers.remove(1).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&taken) && ended.stderr.contains("another address with --http-listen"), "{ended:?}");
    let first = fixture.workers.remove(0);
    first.signal(Signal::SIGTERM);
    assert_eq!(first.end().code, Some(0));
}
