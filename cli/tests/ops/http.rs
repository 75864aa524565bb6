use super::{
    house::House,
    program::{Running, command},
};

/// The proxy leads nowhere, so a run that took it would fail.
#[tokio::test]
async fn a_worker_asks_what_its_owner_allows_and_takes_no_proxy_from_the_environment() {
    let mut house = House::empty().await;
    house.serve(&[]);
    let mut worker = command(&["worker", "--server", house.address(), "--http-allow", "10.0.0.0/8,127.0.0.1"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        worker.env(name, "http://127.0.0.1:1");
    }
    worker.env_remove("no_proxy").env_remove("NO_PROXY");
    house.workers.push(Running::of(worker));
    let params = serde_json::json!({ "url": format!("{}/healthz", house.address()) }).to_string();
    let enqueue = ["run", "enqueue", "--new-session", "test", "--lane", "A", "--kind", "http", "--params", &params];
    let ended = house.ops(&[&enqueue[..], &["--wait", "-o", "json"]].concat()).success();
    let run: serde_json::Value = serde_json::from_str(&ended).unwrap();
    let result: serde_json::Value = serde_json::from_str(run["resultJson"].as_str().unwrap()).unwrap();
    assert_eq!(result["status"], 200, "{result}");
}
