use nix::sys::signal::Signal;
use proto::v1::RunStatus;

use super::{gate::Gate, house::House};

#[tokio::test]
async fn a_server_and_a_worker_stop_in_order_on_a_signal() {
    let house = House::open().await;
    assert_eq!(house.ops(&["run", "wait", &house.enqueue("true")]).code, Some(0));
    let (worker, server) = house.close();
    assert_eq!(worker.code, Some(0), "{worker:?}");
    assert!(worker.stderr.contains("worker stopped: 1 runs begun, 1 succeeded"), "{worker:?}");
    assert_eq!(server.code, Some(0), "{server:?}");
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_ends_what_it_holds_and_takes_no_more() {
    let mut house = House::open().await;
    let mut gate = Gate::new(house.folder(), "gate");
    let held = house.enqueue(&format!("echo begun; {}", gate.pass()));
    assert_eq!(house.first_line(&held), "begun");
    let worker = house.workers.remove(0);
    worker.signal(Signal::SIGTERM);
    worker.journal.wait_for("draining");

    // A slot is free, and still nobody takes this.
    let late = house.enqueue("true");
    gate.open();
    assert_eq!(house.ops(&["run", "wait", &held]).code, Some(0));
    let ended = worker.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("worker stopped: 1 runs begun, 1 succeeded"), "{ended:?}");
    let late = house.client().get(&late).await;
    assert_eq!((late.status(), late.attempt), (RunStatus::Queued, 0));
}

#[tokio::test]
async fn a_worker_that_an_operator_drains_ends_what_it_holds_and_exits() {
    let mut house = House::open().await;
    let mut gate = Gate::new(house.folder(), "gate");
    let held = house.enqueue(&format!("echo begun; {}", gate.pass()));
    assert_eq!(house.first_line(&held), "begun");
    let worker = house.workers.remove(0);
    let id = house.ops(&["worker", "list", "-o", "id"]).success();
    let drained = house.ops(&["worker", "drain", id.trim_end()]).success();
    assert!(drained.contains("draining"), "{drained}");
    worker.journal.wait_for("draining");
    let late = house.enqueue("true");
    gate.open();
    assert_eq!(house.ops(&["run", "wait", &held]).code, Some(0));
    assert_eq!(worker.end().code, Some(0));
    assert_eq!(house.client().get(&late).await.status(), RunStatus::Queued);
    assert!(house.ops(&["worker", "list", "--state", "gone"]).success().contains(id.trim_end()));
}

#[tokio::test]
async fn a_worker_that_has_waited_long_enough_stops_what_it_holds_and_reports_it() {
    let mut house = House::empty().await;
    house.serve(&[]);
    house.work(&["--drain-timeout", "100ms"]);
    let held = house.enqueue("echo begun; sleep 1000");
    assert_eq!(house.first_line(&held), "begun");
    house.workers[0].signal(Signal::SIGTERM);
    assert_eq!(house.ops(&["run", "wait", &held]).code, Some(5));
    assert_eq!(house.workers.remove(0).end().code, Some(0));
    assert_eq!(house.client().get(&held).await.error.unwrap().r#type, "WorkerShutdown");
}
