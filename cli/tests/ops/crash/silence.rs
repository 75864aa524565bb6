use std::{net::TcpListener, time::Duration};

use proto::v1::{RunSpec, RunStatus};

use crate::ops::{
    client::shell,
    fixture::Fixture,
    gate::{Gate, Ledger},
    processes::until_gone,
};

/// After 5 s without a server, all leases begin anew when a server is back.
const LEASES_BEGIN_ANEW: Duration = Duration::from_secs(6);

/// A living server may be behind the silent address, so the worker stops its run. That was an attempt, even if the
/// lease is still valid.
#[tokio::test]
async fn a_run_that_a_worker_stops_because_its_server_is_silent_was_an_attempt() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&["--lease-timeout", "2s"]);
    // A second address that accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = format!("{},http://{}", fixture.address(), silent.local_addr().unwrap());
    fixture.work_for(&servers, &[]);
    let client = fixture.client();
    let session = client.session().await;
    let (mut gate, begun) = (Gate::new(fixture.folder(), "gate"), Ledger::new(fixture.folder(), "begun"));
    let waits = shell(&session, &format!("{}; echo $$; {}", begun.sign(), gate.pass()));
    let lone = client.enqueue(waits.clone()).await.unwrap();
    let retried = client.enqueue(RunSpec { max_attempts: Some(2), ..waits }).await.unwrap();
    let groups: Vec<i32> = [&lone, &retried].map(|run| fixture.first_line(run).parse().unwrap()).into();

    let server = fixture.kill_server(0);
    for group in groups {
        let stopped_after = until_gone(group).await;
        assert!(stopped_after < Duration::from_secs(4), "{stopped_after:?}");
    }
    tokio::time::sleep(LEASES_BEGIN_ANEW).await;
    fixture.serve_again(server);
    drop(silent);
    let is_over = |runs: &crate::ops::client::Runs| {
        runs[&lone].finish_time.is_some() && runs[&retried].status() == RunStatus::Running && runs[&retried].attempt > 1
    };
    let runs = client.until(&session, |runs| runs.len() == 2 && is_over(runs)).await;
    assert_eq!((runs[&lone].status(), runs[&lone].attempt), (RunStatus::Failed, 1));
    assert_eq!(runs[&lone].error.as_ref().unwrap().r#type, "HeartbeatTimeout");
    gate.open();
    let runs = client.until_all(&session, std::slice::from_ref(&retried), RunStatus::Succeeded).await;
    assert_eq!(runs[&retried].attempt, 2);
    assert_eq!(begun.lines().len(), 3, "{:?}", begun.lines());
}
