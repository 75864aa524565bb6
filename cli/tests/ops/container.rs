//! The program as the first process of a container: a real pid namespace.

use std::{fs, process::Command};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proto::v1::RunStatus;

use super::{
    fixture::Fixture,
    gate::eventually,
    program::{Running, command},
};

const UNSHARE: [&str; 4] = ["--pid", "--fork", "--kill-child", "--mount-proc"];
const RUNS: usize = 20;

/// The children of a process, each with its state.
fn children(parent: Pid) -> Vec<(Pid, char)> {
    let mut children = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
        // `pid (name) state parent`. The name may contain any character.
        let (pid, rest) = (stat.split(' ').next().unwrap(), stat.rsplit_once(')').unwrap().1);
        let mut fields = rest.split_whitespace();
        let state = fields.next().unwrap().chars().next().unwrap();
        if fields.next() == Some(&parent.to_string()) {
            children.push((Pid::from_raw(pid.parse().unwrap()), state));
        }
    }
    children
}

fn zombies(parent: Pid) -> usize {
    children(parent).iter().filter(|(_, state)| *state == 'Z').count()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_the_first_process_of_a_container_it_leaves_no_zombies_and_passes_signals_on() {
    let tried = Command::new("unshare").args(UNSHARE).args(["--", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        eprintln!("not run: this user may not make a pid namespace");
        return;
    }
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    let own = command(&["worker", "--server", fixture.address(), "--slots", "4"]);
    let mut start = Command::new("unshare");
    start.args(UNSHARE).arg("--").arg(own.get_program()).args(own.get_args()).stdin(std::process::Stdio::null());
    for (name, _) in own.get_envs() {
        start.env_remove(name);
    }
    let container = Running::of(start);
    container.journal.wait_for("\"connected\"");
    let first = children(container.pid())[0].0;

    let client = fixture.client();
    let session = client.session().await;
    // Each run leaves a process that is killed, and one that has left its group and ends by itself.
    let runs = client.enqueue_many(&session, "sleep 1000 & setsid sleep 0.1 > /dev/null 2>&1 & true", RUNS).await;
    client.until_all(&session, &runs, RunStatus::Succeeded).await;
    eventually("all that runs left behind has ended", || {
        let all: Vec<_> = descendants(first);
        !all.iter().any(|pid| name(*pid).is_some_and(|name| name == "sleep"))
    })
    .await;
    eventually("no zombie", || zombies(first) == 0).await;

    // The kernel ignores a signal that the first process does not handle.
    let mut waiting = fixture.start(&["run", "logs", "-f", &fixture.enqueue("echo begun; sleep 0.5; echo ended")]);
    assert_eq!(waiting.line(), "begun\n");
    kill(first, Signal::SIGTERM).unwrap();
    assert_eq!(waiting.line(), "ended\n");
    let ended = tokio::task::spawn_blocking(|| container.end()).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("SIGTERM: stopping"), "{ended:?}");
    assert!(ended.stderr.contains(&format!("worker stopped: {} runs begun, {0} succeeded", RUNS + 1)), "{ended:?}");
}

/// The processes below this one.
fn descendants(parent: Pid) -> Vec<Pid> {
    let below = children(parent).into_iter().filter(|(_, state)| *state != 'Z').map(|(pid, _)| pid);
    below.flat_map(|pid| [vec![pid], descendants(pid)].concat()).collect()
}

fn name(pid: Pid) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim_end().to_owned())
}
