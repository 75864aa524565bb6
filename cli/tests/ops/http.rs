use super::{
    fixture::Fixture,
    program::{Running, command},
};

/// No program listens at the proxy, so a run that used it would fail.
#[tokio::test]
async fn a_worker_calls_what_its_owner_allows_and_ignores_a_proxy_in_the_environment() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    let mut worker = command(&["worker", "--server", fixture.address(), "--http-allow", "10.0.0.0/8,127.0.0.1"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        worker.env(name, "http://127.0.0.1:1");
    }
    worker.env_remove("no_proxy").env_remove("NO_PROXY");
    fixture.workers.push(Running::of(worker));
    let params = serde_json::json!({ "url": format!("{}/healthz", fixture.address()) }).to_string();
    let enqueue = ["run", "enqueue", "--new-session", "test", "--lane", "A", "--kind", "http", "--params", &params];
    let ended = fixture.ops(&[&enqueue[..], &["--wait", "-o", "json"]].concat()).success();
    let run: serde_json::Value = serde_json::from_str(&ended).unwrap();
    let result: serde_json::Value = serde_json::from_str(run["resultJson"].as_str().unwrap()).unwrap();
    assert_eq!(result["status"], 200, "{result}");
}
