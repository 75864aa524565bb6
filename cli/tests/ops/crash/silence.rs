use std::{net::TcpListener, time::Duration};

use proto::v1::{RunSpec, RunStatus};

use crate::ops::{
    client::shell,
    gate::{Gate, Ledger},
    house::House,
    processes::until_gone,
};

/// After 5 s without a server, leases begin anew when one is back.
const LEASES_BEGIN_ANEW: Duration = Duration::from_secs(6);

/// The worker can not know that there is no living server behind the silent address, so it stops what it does. That was an
/// attempt, also when it turns out that the lease still stands.
#[tokio::test]
async fn what_a_worker_stops_because_a_server_is_silent_was_an_attempt() {
    let mut house = House::empty().await;
    house.serve(&["--lease-timeout", "2s"]);
    // A second address where connections are taken, and nothing is ever said on them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = format!("{},http://{}", house.address(), silent.local_addr().unwrap());
    house.work_for(&servers, &[]);
    let client = house.client();
    let session = client.session().await;
    let (mut gate, begun) = (Gate::new(house.folder(), "gate"), Ledger::new(house.folder(), "begun"));
    let waits = shell(&session, &format!("{}; echo $$; {}", begun.sign(), gate.pass()));
    let lone = client.enqueue(waits.clone()).await.unwrap();
    let retried = client.enqueue(RunSpec { max_attempts: Some(2), ..waits }).await.unwrap();
    let groups: Vec<i32> = [&lone, &retried].map(|run| house.first_line(run).parse().unwrap()).into();

    let server = house.kill_server(0);
    for group in groups {
        let stopped_after = until_gone(group).await;
        assert!(stopped_after < Duration::from_secs(4), "{stopped_after:?}");
    }
    tokio::time::sleep(LEASES_BEGIN_ANEW).await;
    house.serve_again(server);
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
