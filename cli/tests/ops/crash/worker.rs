use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use proto::v1::{ArtifactLease, CreateArtifactRequest, Run, RunStatus, create_artifact_request::Content};

use crate::ops::{
    client::{between, shell, time},
    fixture::Fixture,
    gate::{Gate, eventually},
    processes::{members, until_gone},
};

#[tokio::test]
async fn the_run_of_a_killed_worker_fails_within_35_s_and_its_processes_are_gone() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    fixture.work(&[]);
    let run = fixture.enqueue("sleep 1000 & (sleep 1000 &); echo $$; wait");
    let group: i32 = fixture.first_line(&run).parse().unwrap();
    assert_eq!(members(group).len(), 3, "{:?}", members(group));

    let worker = fixture.workers.remove(0);
    let killed = SystemTime::now();
    worker.kill();
    let gone_after = until_gone(group).await;
    assert!(gone_after < Duration::from_secs(2), "{gone_after:?}");

    assert_eq!(fixture.ops(&["run", "wait", &run]).code, Some(5));
    let run = fixture.client().get(&run).await;
    assert_eq!((run.status(), run.attempt), (RunStatus::Failed, 1));
    assert_eq!(run.error.unwrap().r#type, "HeartbeatTimeout");
    let silent = between(run.heartbeat_time, run.finish_time);
    assert!((Duration::from_secs(30)..Duration::from_secs(32)).contains(&silent), "{silent:?}");
    let failed_after = time(run.finish_time).duration_since(killed).unwrap();
    assert!(failed_after < Duration::from_secs(35), "{failed_after:?}");
    println!(
        "processes gone {gone_after:?} and run failed {failed_after:?} after the kill, {silent:?} after its heartbeat"
    );
}

/// A worker that is paused for longer than its lease, and then resumed.
#[tokio::test]
async fn a_worker_that_comes_back_after_its_lease_changes_nothing_and_stops_its_runs() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&["--lease-timeout", "2s"]);
    fixture.work(&["--name", "old"]);
    let client = fixture.client();
    let session = client.session().await;
    let (mut gate, mut early) = (Gate::new(fixture.folder(), "gate"), Gate::new(fixture.folder(), "early"));
    let waits = format!("sleep 1000 & echo $$; {}", gate.pass());
    // One run without another attempt, one that ends while its worker is paused, and one that another worker will
    // execute.
    let lone = client.enqueue(shell(&session, &waits)).await.unwrap();
    let quick = client.enqueue(shell(&session, &format!("echo $$; {}", early.pass()))).await.unwrap();
    let retried = shell(&session, &format!("echo $$; {}; echo done", gate.pass()));
    let retried = proto::v1::RunSpec { max_attempts: Some(2), ..retried };
    let retried = client.enqueue(retried).await.unwrap();
    let groups: Vec<i32> = [&lone, &quick, &retried].map(|run| fixture.first_line(run).parse().unwrap()).into();
    let old = client.get(&retried).await;

    fixture.workers[0].signal(Signal::SIGSTOP);
    fixture.work(&["--name", "new"]);
    let recovered = client
        .until(&session, |runs| {
            let is = |id: &String, status| runs.get(id).is_some_and(|run: &Run| run.status() == status);
            is(&lone, RunStatus::Failed)
                && is(&quick, RunStatus::Failed)
                && is(&retried, RunStatus::Running)
                && runs[&retried].attempt == 2
        })
        .await;
    assert_eq!(recovered[&lone].error.as_ref().unwrap().r#type, "HeartbeatTimeout");
    assert_eq!(recovered[&retried].claimed_by, "new");
    // One of the programs has ended, but its worker does not know yet.
    early.open();
    until_gone(groups[1]).await;
    assert_eq!((members(groups[0]).len(), members(groups[2]).len()), (2, 1), "the children of a stopped worker live");

    fixture.workers[0].signal(Signal::SIGCONT);
    for group in &groups {
        let gone_after = until_gone(*group).await;
        assert!(gone_after < Duration::from_secs(2), "{gone_after:?}");
    }
    let journal = fixture.workers[0].journal.clone();
    eventually("three grants known as lost", || journal.events("grant lost").len() == 3).await;
    for (run, fence) in [(&lone, 1), (&quick, 1), (&retried, old.fence)] {
        let grant = format!("{run}/{fence}");
        assert!(journal.events("grant lost").iter().any(|event| event["grant"] == grant.as_str()), "{journal:?}");
    }
    // The server also refuses a call of a handler of the old worker.
    let late = CreateArtifactRequest {
        run_id: retried.clone(),
        kind: "report".to_owned(),
        name: "late.txt".to_owned(),
        content: Some(Content::ContentText("late".to_owned())),
        lease: Some(ArtifactLease { worker_id: old.worker_id, fence: old.fence }),
        ..Default::default()
    };
    let refused = client.artifacts.clone().create_artifact(late).await.unwrap_err();
    assert_eq!(client::reason(&refused).as_deref(), Some("LEASE_LOST"), "{refused:?}");

    // The old worker connects again, and the new one is not disturbed.
    journal.wait_for_nth("\"connected\"", 2);
    gate.open();
    let ended = client.until_all(&session, std::slice::from_ref(&retried), RunStatus::Succeeded).await;
    assert_eq!((ended[&retried].attempt, ended[&retried].claimed_by.as_str()), (2, "new"));
    for run in [&lone, &quick] {
        assert_eq!(client.get(run).await, recovered[run], "nothing has changed it");
    }
    assert!(fixture.ops(&["run", "logs", &retried]).success().ends_with("\ndone\n"));
}
