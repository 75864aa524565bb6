//! A worker that lacks what runs need, beside one that does not. The limits are those of the kernel, on real processes.

use std::{
    ffi::OsStr,
    fs,
    process::{Command, Stdio},
};

use nix::unistd::Uid;
use proto::v1::{Lane, RunSpec, RunStatus, run_spec::Params};

use super::{
    client::{Client, shell},
    fixture::Fixture,
    gate::eventually,
    monitor::health,
    program::{Running, command},
};

const RUNS: usize = 40;
const LACKS: &str = "the worker can not execute runs: it gives them back and takes none for a while";
/// A user of its own for the test of processes, because the kernel counts them by user, and root has no limit.
const USER: &str = "62117";

/// Changes a limit of a running process.
fn limit(process: &Running, limit: &str) {
    change(Command::new("prlimit"), process, limit);
}

fn change(mut prlimit: Command, process: &Running, limit: &str) {
    let done = prlimit.args(["--pid", &process.pid().to_string(), limit]).status().unwrap();
    assert!(done.success(), "prlimit {limit}");
}

/// Starts a program as [`USER`].
fn as_user(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program);
    command
}

/// How many files a process has open.
fn open_files(process: &Running) -> usize {
    fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap().count()
}

fn http(session: &str, url: &str) -> RunSpec {
    RunSpec {
        session_id: session.to_owned(),
        lane: Lane::A.into(),
        kind: "http".to_owned(),
        params: Some(Params::ParamsJson(serde_json::json!({ "url": url }).to_string())),
        ..Default::default()
    }
}

/// The workers, as the contract shows them.
fn listed(fixture: &Fixture) -> Vec<serde_json::Value> {
    let listed = fixture.ops(&["worker", "list", "-o", "json"]).success();
    let mut listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    std::mem::take(listed["workers"].as_array_mut().unwrap())
}

/// Waits until the worker has given runs back, and both the list of workers and the examination of the database say that it is paused.
async fn until_paused(fixture: &Fixture, worker: &Running, lack: &str) {
    worker.journal.wait_for(LACKS);
    let url = fixture.database_url();
    // The pauses become longer, so it is seen in one of them.
    eventually("the worker listed as paused", || {
        listed(fixture)
            .iter()
            .any(|worker| worker["pauseReason"].as_str().unwrap().contains(lack) && worker["pauseEndTime"].is_string())
    })
    .await;
    eventually("the worker found by the examination", || {
        let found = super::doctor::findings(&url, &[]);
        found.iter().any(|finding| finding.id == "worker-paused" && finding.what.contains(lack))
    })
    .await;
}

/// No attempt is spent on the worker that could not execute them. A file descriptor that it gets back may be enough for a request, but
/// not for a program.
async fn all_succeed_at_the_healthy_one(client: &Client, session: &str, runs: &[String]) {
    let ended = client.until_all(session, runs, RunStatus::Succeeded).await;
    for run in runs {
        let run = &ended[run];
        assert_eq!(run.attempt, 1, "{run:?}");
        assert!(run.claimed_by == "healthy" || run.kind == "http", "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_file_descriptors_gives_its_runs_back_and_takes_more_when_it_has_some_again() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    fixture.work(&["--name", "sick", "--http-allow", "127.0.0.1"]);
    let client = fixture.client();
    let session = client.session().await;
    // The first run starts whatever the worker starts only once.
    let first = client.enqueue(shell(&session, "true")).await.unwrap();
    client.until_all(&session, &[first], RunStatus::Succeeded).await;
    let files = open_files(&fixture.workers[0]);
    limit(&fixture.workers[0], &format!("--nofile={files}:"));

    let ready = format!("{}/readyz", fixture.address());
    let mut runs = client.enqueue_many(&session, "true", RUNS / 2).await;
    for _ in 0..RUNS / 2 {
        runs.push(client.enqueue(http(&session, &ready)).await.unwrap());
    }
    until_paused(&fixture, &fixture.workers[0], "Too many open files").await;
    fixture.work(&["--name", "healthy", "--http-allow", "127.0.0.1"]);
    all_succeed_at_the_healthy_one(&client, &session, &runs).await;
    let journal = fixture.workers[0].journal.clone();
    let lacking = journal.events(LACKS);
    assert!(!lacking.is_empty() && lacking.len() < RUNS, "one pause for many runs: {journal:?}");

    // Without the other one, and with file descriptors, it works again.
    fixture.workers.remove(1).kill();
    limit(&fixture.workers[0], "--nofile=1024:");
    let last = client.enqueue(shell(&session, "true")).await.unwrap();
    let ended = client.until_all(&session, std::slice::from_ref(&last), RunStatus::Succeeded).await;
    assert_eq!((ended[&last].attempt, ended[&last].claimed_by.as_str()), (1, "sick"));
    eventually("no worker is paused", || listed(&fixture).iter().all(|worker| worker["pauseReason"] == "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_processes_gives_its_runs_back_and_says_so_on_its_port() {
    if !Uid::effective().is_root() {
        eprintln!("not run: only root can give the worker a user of its own, whose processes it may limit");
        return;
    }
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    let client = fixture.client();
    let session = client.session().await;
    // The program may be where only its owner may read.
    let program = fixture.folder().join("ops");
    fs::copy(env!("CARGO_BIN_EXE_ops"), &program).unwrap();
    let args = ["worker", "--server", fixture.address(), "--name", "sick", "--http-listen", "127.0.0.1:0"];
    let mut start = as_user(&program);
    start.args(args);
    let own = command(&[]);
    for (name, value) in own.get_envs() {
        assert!(value.is_none());
        start.env_remove(name);
    }
    start.stdin(Stdio::null()).current_dir("/");
    let sick = Running::of(start);
    let port = sick.journal.wait_for("listening on ").trim_start_matches("listening on ").to_owned();
    let first = client.enqueue(shell(&session, "true")).await.unwrap();
    client.until_all(&session, &[first], RunStatus::Succeeded).await;
    assert_eq!(health(&port).0, 200);
    // The kernel lets a user limit its own processes.
    change(as_user("prlimit"), &sick, "--nproc=1:");

    let runs = client.enqueue_many(&session, "true", RUNS).await;
    until_paused(&fixture, &sick, "Resource temporarily unavailable").await;
    eventually("the worker's port says paused", || {
        let (code, health) = health(&port);
        code == 503
            && health["status"] == "paused"
            && health["paused"].as_str().unwrap().contains("temporarily unavailable")
    })
    .await;
    fixture.work(&["--name", "healthy"]);
    all_succeed_at_the_healthy_one(&client, &session, &runs).await;
}

#[tokio::test]
async fn a_run_that_no_worker_could_start_fails_at_once_and_is_not_tried_again() {
    let fixture = Fixture::open().await;
    let client = fixture.client();
    let session = client.session().await;
    let long = RunSpec { max_attempts: Some(3), ..shell(&session, &format!(": {}", "x".repeat(200 * 1024))) };
    let run = client.enqueue(long).await.unwrap();
    let ended = client.until_all(&session, std::slice::from_ref(&run), RunStatus::Failed).await;
    let error = ended[&run].error.as_ref().unwrap();
    assert_eq!((ended[&run].attempt, error.r#type.as_str()), (1, "SpawnFailed"));
    assert!(error.message.contains("Argument list too long"), "{}", error.message);
}
