use nix::sys::signal::Signal;
use proto::v1::RunStatus;

use super::{
    fixture::Fixture,
    gate::Gate,
    program::{Running, command},
};

#[tokio::test]
async fn a_server_and_a_worker_stop_in_order_on_a_signal() {
    let fixture = Fixture::open().await;
    assert_eq!(fixture.ops(&["run", "wait", &fixture.enqueue("true")]).code, Some(0));
    let (worker, server) = fixture.close();
    assert_eq!(worker.code, Some(0), "{worker:?}");
    assert!(worker.stderr.contains("worker stopped: 1 runs begun, 1 succeeded"), "{worker:?}");
    assert_eq!(server.code, Some(0), "{server:?}");
}

#[tokio::test]
async fn a_worker_that_gets_a_signal_ends_the_runs_it_holds_and_takes_no_more() {
    let mut fixture = Fixture::open().await;
    let mut gate = Gate::new(fixture.folder(), "gate");
    let held = fixture.enqueue(&format!("echo begun; {}", gate.pass()));
    assert_eq!(fixture.first_line(&held), "begun");
    let worker = fixture.workers.remove(0);
    worker.signal(Signal::SIGTERM);
    worker.journal.wait_for("draining");

    // A slot is free, but the worker does not take this run.
    let late = fixture.enqueue("true");
    gate.open();
    assert_eq!(fixture.ops(&["run", "wait", &held]).code, Some(0));
    let ended = worker.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("worker stopped: 1 runs begun, 1 succeeded"), "{ended:?}");
    let late = fixture.client().get(&late).await;
    assert_eq!((late.status(), late.attempt), (RunStatus::Queued, 0));
}

#[tokio::test]
async fn a_hangup_stops_a_worker_and_a_server_in_order_and_under_nohup_it_is_ignored() {
    let mut fixture = Fixture::open().await;
    let mut gate = Gate::new(fixture.folder(), "gate");
    let held = fixture.enqueue(&format!("echo begun; {}", gate.pass()));
    assert_eq!(fixture.first_line(&held), "begun");
    let worker = fixture.workers.remove(0);
    // A terminal that closes sends several.
    worker.signal(Signal::SIGHUP);
    worker.journal.wait_for("SIGHUP: stopping");
    worker.signal(Signal::SIGHUP);
    worker.journal.wait_for("draining");
    gate.open();
    assert_eq!(fixture.ops(&["run", "wait", &held]).code, Some(0));
    let worker = worker.end();
    assert_eq!(worker.code, Some(0), "{worker:?}");

    let own = command(&["worker", "--server", fixture.address()]);
    let mut start = std::process::Command::new("sh");
    start.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(own.get_program()).args(own.get_args());
    for (name, _) in own.get_envs() {
        start.env_remove(name);
    }
    let ignoring = Running::of(start);
    ignoring.journal.wait_for("\"connected\"");
    ignoring.signal(Signal::SIGHUP);
    assert_eq!(fixture.ops(&["run", "wait", &fixture.enqueue("true")]).code, Some(0));
    ignoring.signal(Signal::SIGTERM);
    let ignoring = ignoring.end();
    assert_eq!(ignoring.code, Some(0), "{ignoring:?}");
    assert!(!ignoring.stderr.contains("SIGHUP"), "{ignoring:?}");

    let server = fixture.servers.remove(0).process;
    server.signal(Signal::SIGHUP);
    let server = server.end();
    assert_eq!(server.code, Some(0), "{server:?}");
    assert!(server.stderr.contains("SIGHUP: stopping"), "{server:?}");
}

#[tokio::test]
async fn a_worker_that_an_operator_drains_ends_the_runs_it_holds_and_exits() {
    let mut fixture = Fixture::open().await;
    let mut gate = Gate::new(fixture.folder(), "gate");
    let held = fixture.enqueue(&format!("echo begun; {}", gate.pass()));
    assert_eq!(fixture.first_line(&held), "begun");
    let worker = fixture.workers.remove(0);
    let id = fixture.ops(&["worker", "list", "-o", "id"]).success();
    let drained = fixture.ops(&["worker", "drain", id.trim_end()]).success();
    assert!(drained.contains("draining"), "{drained}");
    worker.journal.wait_for("draining");
    let late = fixture.enqueue("true");
    gate.open();
    assert_eq!(fixture.ops(&["run", "wait", &held]).code, Some(0));
    assert_eq!(worker.end().code, Some(0));
    assert_eq!(fixture.client().get(&late).await.status(), RunStatus::Queued);
    assert!(fixture.ops(&["worker", "list", "--state", "gone"]).success().contains(id.trim_end()));
    let again = fixture.ops(&["worker", "drain", id.trim_end()]);
    assert!(again.code == Some(0) && again.stderr.contains("is gone"), "{again:?}");
}

#[tokio::test]
async fn a_worker_stops_and_reports_the_runs_it_holds_at_its_drain_timeout() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    fixture.work(&["--drain-timeout", "100ms"]);
    let held = fixture.enqueue("echo begun; sleep 1000");
    assert_eq!(fixture.first_line(&held), "begun");
    fixture.workers[0].signal(Signal::SIGTERM);
    assert_eq!(fixture.ops(&["run", "wait", &held]).code, Some(5));
    assert_eq!(fixture.workers.remove(0).end().code, Some(0));
    assert_eq!(fixture.client().get(&held).await.error.unwrap().r#type, "WorkerShutdown");
}
