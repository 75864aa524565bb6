//! Workers and clients behind proxies: with limits that cut their streams, with the settings of docs/proxies, and in silence.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use proto::v1::*;
use serde_json::Value;
use tokio::sync::{Barrier, Semaphore};

use crate::haproxy::Haproxy;
use crate::nginx::Nginx;
use crate::program::{Program, installed, write};
use crate::support::{Fixture, Handle, LiveWorker, Server, in_time};

const LARGE: usize = 6;
const LARGE_BYTES: usize = 500_000;

/// Starts a proxy with an example of docs/proxies, before this server.
async fn example(name: &str, file: &str, server: &Server) -> Program {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/proxies").join(file));
    let text = text.expect("the example is there");
    let address = server.url.trim_start_matches("http://").to_owned();
    let command = |folder: &Path, port: u16| {
        let replaced = text.replace("127.0.0.1:7070", &address);
        let replaced = replaced.replace("listen 7000", &format!("listen 127.0.0.1:{port}"));
        let replaced = replaced.replace("bind :7000", &format!("bind 127.0.0.1:{port}"));
        assert!(replaced.contains(&format!("127.0.0.1:{port}")) && replaced.contains(&address), "{replaced}");
        let (config, mut command) = (folder.join(file), Command::new(installed(name)));
        write(&config, replaced);
        match name {
            "nginx" => {
                let place = folder.display();
                let here = format!("daemon off; pid {place}/pid; error_log stderr; user root;");
                command.arg("-p").arg(folder).arg("-c").arg(config).arg("-g").arg(here)
            }
            _ => command.arg("-db").arg("-f").arg(config),
        };
        command
    };
    Program::start(name, command).await
}

/// Runs whose large results are there at the same moment, and a small one after them. Returns how often the worker connected.
async fn large_results(fixture: &Fixture, url: String) -> u64 {
    let session = fixture.session().await;
    let all_there = Arc::new(Barrier::new(LARGE));
    let handle = Handle::new(move |context| {
        let all_there = all_there.clone();
        async move {
            if context.info().labels.contains_key("small") {
                return Ok(Value::Null);
            }
            all_there.wait().await;
            Ok(Value::String("x".repeat(LARGE_BYTES)))
        }
    });
    let worker = LiveWorker::start_at(vec![url], LARGE, "any", &handle);
    for run in fixture.enqueue_many(&session, "any", LARGE).await {
        let ended = fixture.ended(&run).await;
        assert_eq!(
            (ended.status(), ended.result_json.len()),
            (RunStatus::Succeeded, LARGE_BYTES + 2),
            "{:?}",
            ended.error
        );
    }
    let labels = [("small".to_owned(), String::new())].into();
    let small = RunSpec { labels, ..crate::support::spec(&session, "any") };
    let small = fixture.enqueue_spec(small).await.expect("it is enqueued");
    assert_eq!(fixture.ended(&small.id).await.status(), RunStatus::Succeeded);
    let summary = worker.stop().await;
    // A report whose acknowledgement was cut off has ended its grant, which then does not stand any more.
    assert_eq!((summary.succeeded + summary.lost, summary.unreported), (LARGE as u64 + 1, 0));
    summary.connects
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_are_larger_together_than_a_request_of_nginx_may_be_all_arrive() {
    let fixture = Fixture::new().await;
    let nginx = Nginx::before(&fixture.address(), "").await;
    let connects = large_results(&fixture, nginx.url()).await;
    assert!(connects > 1 && nginx.log().contains("too large"), "nginx cuts them: {}", nginx.log());
    // Two fit into a stream, and the first stream brings none.
    assert!(connects <= 8, "{connects}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_docs_cut_nothing() {
    let fixture = Fixture::new().await;
    for (name, file) in [("nginx", "nginx.conf"), ("haproxy", "haproxy.cfg")] {
        let proxy = example(name, file, &fixture.servers[0]).await;
        let connects = large_results(&fixture, format!("http://{}", proxy.address)).await;
        assert_eq!(connects, 1, "{name}: {}", proxy.log());
    }
}

/// Holds a worker's stream and a tail open behind this proxy, on which nothing happens for longer than its idle time.
async fn nothing_happens(fixture: &Fixture, url: String, log: impl Fn() -> String) {
    let session = fixture.session().await;
    let gate = Arc::new(Semaphore::new(0));
    let handle = {
        let gate = gate.clone();
        Handle::new(move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.expect("it stays").forget();
                Ok(Value::Null)
            }
        })
    };
    let worker = LiveWorker::start_at(vec![url.clone()], 1, "any", &handle);
    let run = fixture.enqueue(&session, "any").await;
    fixture.running(&run.id).await;
    let client = client::Client::connect(&url, &client::Settings::default()).await.expect("the proxy answers");
    let request = TailRunEventsRequest { run_id: run.id.clone(), ..Default::default() };
    let mut tail = client.runs().tail_run_events(request).await.expect("the run is there").into_inner();
    for _ in 0..3 {
        let nothing = in_time("something", tail.message()).await.unwrap_or_else(|error| panic!("{error:?}: {}", log()));
        assert!(nothing.expect("it goes on").events.is_empty());
    }
    gate.add_permits(1);
    assert!(in_time("the end of the log", tail.message()).await.expect("it ends well").is_none());
    assert_eq!(fixture.ended(&run.id).await.status(), RunStatus::Succeeded);
    assert_eq!(worker.stop().await.connects, 1, "{}", log());
}

/// With long leases, a sixth of the lease would be too long between two heartbeats.
async fn with_long_leases() -> Fixture {
    Fixture::with(1, |config| config.engine.lease_timeout = Duration::from_secs(600)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_ends_no_stream_as_idle() {
    let fixture = with_long_leases().await;
    let settings = "grpc_read_timeout 30s; grpc_send_timeout 30s; client_body_timeout 30s; send_timeout 30s;";
    let nginx = Nginx::before(&fixture.address(), settings).await;
    nothing_happens(&fixture, nginx.url(), || nginx.log()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_ends_no_stream_as_idle() {
    let fixture = with_long_leases().await;
    let haproxy = Haproxy::before(&[&fixture.address()], "timeout client 30s\ntimeout server 30s").await;
    nothing_happens(&fixture, haproxy.url(), || haproxy.log()).await;
}
