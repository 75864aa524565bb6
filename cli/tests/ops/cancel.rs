use std::time::Duration;

use nix::sys::signal::Signal;

use super::{
    client::between,
    fixture::Fixture,
    processes::{members, until_gone},
};

#[tokio::test]
async fn a_cancelled_run_that_ignores_sigterm_is_killed_after_the_grace_with_its_children() {
    let fixture = Fixture::open().await;
    // Children inherit an ignored signal. The last process is a grandchild whose parent has ended.
    let run = fixture.enqueue("trap '' TERM; sleep 1000 & sleep 1000 & (sleep 1000 &); echo $$; wait");
    let group: i32 = fixture.first_line(&run).parse().unwrap();
    assert_eq!(members(group).len(), 4, "{:?}", members(group));

    fixture.ops(&["run", "cancel", &run, "--reason", "enough"]).success();
    let gone_after = until_gone(group).await;
    assert!(gone_after < Duration::from_secs(10), "{gone_after:?}");
    assert_eq!(fixture.ops(&["run", "wait", &run]).code, Some(6));

    let run = fixture.client().get(&run).await;
    let cancellation = run.cancellation.unwrap();
    assert_eq!((cancellation.confirmed, cancellation.reason.as_str()), (Some(true), "enough"));
    let took = between(cancellation.request_time, run.finish_time);
    // The default grace is 5 s.
    assert!((Duration::from_secs(5)..Duration::from_secs(8)).contains(&took), "{took:?}");
    println!("group gone {gone_after:?} after the cancel, run cancelled after {took:?}");
}

#[tokio::test]
async fn a_cancelled_run_that_obeys_is_stopped_at_once() {
    let fixture = Fixture::open().await;
    let run = fixture.enqueue("echo $$; sleep 1000");
    let group: i32 = fixture.first_line(&run).parse().unwrap();
    fixture.ops(&["run", "cancel", &run]).success();
    assert_eq!(fixture.ops(&["run", "wait", &run]).code, Some(6));
    assert_eq!(members(group), Vec::<String>::new());
    let run = fixture.client().get(&run).await;
    let took = between(run.cancellation.unwrap().request_time, run.finish_time);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_worker_that_gets_a_second_signal_kills_its_runs() {
    let mut fixture = Fixture::open().await;
    let run = fixture.enqueue("sleep 1000 & (sleep 1000 &); echo $$; wait");
    let group: i32 = fixture.first_line(&run).parse().unwrap();
    // A second signal ends the worker at once.
    let worker = fixture.workers.remove(0);
    worker.signal(Signal::SIGTERM);
    worker.journal.wait_for("a second signal ends this at once");
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.end().code, Some(130));
    until_gone(group).await;
}
