//! Real processes under a context without a server.

use std::{sync::LazyLock, time::Duration};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use serde_json::{Value, json};
use tokio::time;
use worker::{Content, Failure, Handler, HandlerError, Level, Probe, RunInfo, StopCause, StopReason};

use super::handler::Shell;

static SHELL: LazyLock<Shell> = LazyLock::new(Shell::default);

fn failure(result: Result<Value, HandlerError>) -> Failure {
    match result {
        Err(HandlerError::Failed(failure)) => *failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn cancel(grace: Duration) -> StopReason {
    StopReason { cause: StopCause::Cancel, reason: "test".into(), grace }
}

async fn next_text(probe: &Probe) -> String {
    match probe.next_entry().await.content {
        Content::Text(text) => text,
        Content::Bytes(bytes) => panic!("expected text, got {bytes:?}"),
    }
}

/// Whether a process lives. An ended process whose parent has not waited for it does not.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let is_there = kill(Pid::from_raw(pid.trim().parse().unwrap()), None) != Err(Errno::ESRCH);
    is_there && !stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, fields)| fields.starts_with(" Z")))
}

/// After SIGKILL processes end soon, but not at once.
async fn wait_until_dead(pid: &str) {
    let waiting = async {
        while lives(pid) {
            tokio::task::yield_now().await;
        }
    };
    time::timeout(Duration::from_secs(5), waiting).await.unwrap();
}

#[tokio::test]
async fn output_becomes_log_lines_as_it_comes_and_the_exit_status_the_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script = r#"echo "$GREETING"; while [ ! -e go ]; do sleep 0.01; done; printf '\377\n'; echo oops >&2; exit 3"#;
    let (ctx, probe) = Probe::with_params(json!({
        "command": script, "cwd": folder.path(), "env": { "GREETING": "hello" },
    }));
    let checks = async {
        let first = probe.next_entry().await;
        assert_eq!((first.level, first.content), (Level::Info, "hello".into()));
        assert_eq!(first.data_json, r#"{"stream":"stdout"}"#);
        std::fs::write(&go, "").unwrap();
    };
    let (result, ()) = tokio::join!(SHELL.run(ctx), checks);
    let failure = failure(result);
    assert_eq!((failure.error_type.as_str(), failure.message.as_str()), ("ExitStatus", "exit 3: oops"));
    let context = failure.context.unwrap();
    assert_eq!((&context["exit_code"], &context["signal"]), (&json!(3), &Value::Null));
    assert_eq!(context["stderr_tail"], "oops");
    let rest = probe.entries();
    assert!(rest.iter().any(|entry| entry.content == Content::Bytes(b"\xFF\n".as_slice().into())), "{rest:?}");
    assert!(rest.iter().any(|entry| entry.level == Level::Warn && entry.data_json.contains("stderr")), "{rest:?}");
}

#[tokio::test]
async fn arguments_and_input_reach_the_program_and_the_workers_settings_do_not() {
    let (ctx, probe) = Probe::with_params(json!({ "argv": ["/bin/cat", "-"], "stdin": "no newline" }));
    assert_eq!(SHELL.run(ctx).await.unwrap()["exit_code"], 0);
    let last = probe.next_entry().await;
    assert_eq!(last.content, "no newline".into());
    assert_eq!(last.data_json, r#"{"partial":true,"stream":"stdout"}"#);
    let (ctx, probe) = Probe::with_params(json!({ "command": "env | grep ^OPS_ | cut -d= -f1 | sort" }));
    SHELL.run(ctx).await.unwrap();
    assert_eq!((next_text(&probe).await, next_text(&probe).await), ("OPS_ATTEMPT".into(), "OPS_RUN_ID".into()));
    assert!(probe.entries().is_empty());
}

#[tokio::test]
async fn the_program_gets_the_traceparent_of_its_run() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (traceparent, expected) in [(Some(parent.to_owned()), parent), (None, "none")] {
        let params = json!({ "command": "echo ${TRACEPARENT-none}" });
        let (ctx, probe) = Probe::new(RunInfo { params, traceparent, ..RunInfo::default() });
        SHELL.run(ctx).await.unwrap();
        assert_eq!(next_text(&probe).await, expected);
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_shown_after_a_while() {
    let (ctx, probe) = Probe::with_params(json!({ "command": "printf 'Password: '; exec sleep 1000" }));
    let checks = async {
        assert_eq!(next_text(&probe).await, "Password: ");
        probe.stop(cancel(Duration::from_secs(60)));
    };
    let (result, ()) = tokio::join!(SHELL.run(ctx), checks);
    assert_eq!(failure(result).message, "signal 15 (SIGTERM)");
}

#[tokio::test]
async fn a_cancel_terminates_the_whole_group() {
    let (ctx, probe) = Probe::with_params(json!({ "command": "sleep 1000 & echo $!; wait" }));
    let checks = async {
        let pid = next_text(&probe).await;
        assert!(lives(&pid));
        probe.stop(cancel(Duration::from_secs(60)));
        pid
    };
    let (result, pid) = tokio::join!(SHELL.run(ctx), checks);
    assert_eq!(failure(result).context.unwrap()["signal"], 15);
    assert!(!lives(&pid), "the group is gone before the outcome is known");
}

#[tokio::test]
async fn a_program_that_stops_in_good_order_when_asked_is_cancelled() {
    let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let (ctx, probe) = Probe::with_params(json!({ "command": script }));
    let checks = async {
        assert_eq!(next_text(&probe).await, "ready");
        probe.stop(cancel(Duration::from_secs(60)));
    };
    let (result, ()) = tokio::join!(SHELL.run(ctx), checks);
    assert_eq!(result, Err(HandlerError::Cancelled));
}

#[tokio::test]
async fn a_program_that_ignores_the_request_is_killed_after_the_grace() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    let (ctx, probe) = Probe::with_params(json!({ "command": script }));
    let checks = async {
        assert_eq!(next_text(&probe).await, "ready");
        probe.stop(cancel(Duration::from_millis(100)));
    };
    let (result, ()) = tokio::join!(SHELL.run(ctx), checks);
    assert_eq!(failure(result).message, "signal 9 (SIGKILL)");
}

#[tokio::test]
async fn its_own_timeout_is_a_failure() {
    let (ctx, _probe) = Probe::with_params(json!({ "command": "exec sleep 1000", "timeout": 0.05 }));
    let failure = failure(SHELL.run(ctx).await);
    assert_eq!((failure.error_type.as_str(), failure.permanent), ("Timeout", false));
}

#[tokio::test]
async fn a_dropped_handler_takes_its_processes_with_it() {
    let (ctx, probe) = Probe::with_params(json!({ "command": "trap '' TERM; sleep 1000 & echo $!; wait" }));
    let run = SHELL.run(ctx);
    let pid = tokio::select! {
        result = run => panic!("it ended: {result:?}"),
        pid = next_text(&probe) => pid,
    };
    wait_until_dead(&pid).await;
}

#[tokio::test]
async fn a_process_that_keeps_the_output_open_after_the_end_is_killed() {
    let (ctx, probe) = Probe::with_params(json!({ "command": "sleep 1000 & echo $!" }));
    assert_eq!(SHELL.run(ctx).await.unwrap()["exit_code"], 0);
    let pid = next_text(&probe).await;
    assert!(!lives(&pid));
}

#[tokio::test]
async fn a_process_that_left_the_group_and_keeps_writing_does_not_keep_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    // It writes more often than the output may be quiet, and far too little for the bound in bytes.
    let script = format!(
        "setsid sh -c 'echo $$ > {0}; while :; do echo x; sleep 0.1; done' & while [ ! -s {0} ]; do sleep 0.01; done",
        file.display()
    );
    let (ctx, probe) = Probe::with_params(json!({ "command": script }));
    let reading = async {
        loop {
            if let Content::Text(text) = probe.next_entry().await.content
                && text.contains("left behind still holds its stdout")
            {
                return;
            }
        }
    };
    let (result, ()) =
        time::timeout(Duration::from_secs(60), async { tokio::join!(SHELL.run(ctx), reading) }).await.unwrap();
    assert_eq!(result.unwrap()["exit_code"], 0);
    let pid = std::fs::read_to_string(file).unwrap();
    // It writes into a closed pipe.
    wait_until_dead(&pid).await;
}

#[tokio::test]
async fn an_error_in_params_names_the_field() {
    for (params, expected) in [
        (json!({}), "params: expected `command` or `argv`, got neither"),
        (json!({ "command": "x", "argv": ["y"] }), "params: expected `command` or `argv`, got both"),
        (json!({ "argv": [] }), "params.argv: expected a program, got none"),
        (json!({ "command": "x", "env": { "PATH": 3 } }), "params.env.PATH: expected a string, got 3"),
        (json!({ "command": "x", "shell": "zsh" }), "params.shell: unknown field `shell`"),
    ] {
        let (ctx, _probe) = Probe::with_params(params);
        let failure = failure(SHELL.run(ctx).await);
        assert!(failure.permanent && failure.message.starts_with(expected), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_program_that_can_not_be_started_is_named() {
    let (ctx, _probe) = Probe::with_params(json!({ "argv": ["/no/such/program"] }));
    let failure = failure(SHELL.run(ctx).await);
    assert_eq!(failure.error_type, "SpawnFailed");
    assert!(failure.message.starts_with("/no/such/program: No such file"), "{}", failure.message);
}

#[tokio::test]
async fn what_no_worker_could_start_fails_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let not_executable = folder.path().join("text");
    std::fs::write(&not_executable, "hello").unwrap();
    for (params, why) in [
        (json!({ "argv": ["/no/such/program"] }), "No such file"),
        (json!({ "command": "x".repeat(200 * 1024) }), "Argument list too long"),
        (json!({ "argv": [not_executable] }), "Permission denied"),
        (json!({ "argv": [folder.path()] }), "Permission denied"),
        (json!({ "command": "true", "cwd": "/no/such/folder" }), "No such file"),
        (json!({ "argv": ["/bin/echo", "a\0b"] }), "nul byte"),
    ] {
        let (ctx, _probe) = Probe::with_params(params);
        let failure = failure(SHELL.run(ctx).await);
        assert_eq!((failure.error_type.as_str(), failure.permanent), ("SpawnFailed", true), "{}", failure.message);
        assert!(failure.message.contains(why), "{}", failure.message);
    }
}
