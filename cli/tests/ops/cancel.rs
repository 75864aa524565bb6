use std::time::Duration;

use nix::sys::signal::Signal;

use super::{
    client::between,
    house::House,
    processes::{members, until_gone},
};

#[tokio::test]
async fn a_cancelled_run_that_ignores_sigterm_is_killed_after_the_grace_with_all_that_it_started() {
    let house = House::open().await;
    // What is ignored is inherited. The last one is a grandchild whose parent has ended.
    let run = house.enqueue("trap '' TERM; sleep 1000 & sleep 1000 & (sleep 1000 &); echo $$; wait");
    let group: i32 = house.first_line(&run).parse().unwrap();
    assert_eq!(members(group).len(), 4, "{:?}", members(group));

    house.ops(&["run", "cancel", &run, "--reason", "enough"]).success();
    let gone_after = until_gone(group).await;
    assert!(gone_after < Duration::from_secs(10), "{gone_after:?}");
    assert_eq!(house.ops(&["run", "wait", &run]).code, Some(6));

    let run = house.client().get(&run).await;
    let cancellation = run.cancellation.unwrap();
    assert_eq!((cancellation.confirmed, cancellation.reason.as_str()), (Some(true), "enough"));
    let took = between(cancellation.request_time, run.finish_time);
    // The grace is 5 s when nobody says another.
    assert!((Duration::from_secs(5)..Duration::from_secs(8)).contains(&took), "{took:?}");
    println!("group gone {gone_after:?} after the cancel, run cancelled after {took:?}");
}

#[tokio::test]
async fn a_cancelled_run_that_obeys_is_stopped_at_once() {
    let house = House::open().await;
    let run = house.enqueue("echo $$; sleep 1000");
    let group: i32 = house.first_line(&run).parse().unwrap();
    house.ops(&["run", "cancel", &run]).success();
    assert_eq!(house.ops(&["run", "wait", &run]).code, Some(6));
    assert_eq!(members(group), Vec::<String>::new());
    let run = house.client().get(&run).await;
    let took = between(run.cancellation.unwrap().request_time, run.finish_time);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_worker_that_is_stopped_hard_takes_its_runs_with_it() {
    let mut house = House::open().await;
    let run = house.enqueue("sleep 1000 & (sleep 1000 &); echo $$; wait");
    let group: i32 = house.first_line(&run).parse().unwrap();
    // A second signal ends it at once.
    let worker = house.workers.remove(0);
    worker.signal(Signal::SIGTERM);
    worker.journal.wait_for("a second signal ends this at once");
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.end().code, Some(130));
    until_gone(group).await;
}
