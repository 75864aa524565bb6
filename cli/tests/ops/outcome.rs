use proto::v1::{RunSpec, RunStatus};

use super::{client::shell, fixture::Fixture};

#[tokio::test]
async fn a_run_with_wait_gives_the_exit_status() {
    let fixture = Fixture::open().await;
    let session = fixture.session();
    let wait = |script: &str, limit: &str| {
        let enqueue = ["run", "enqueue", "--session", &session, "--lane", "b", "--wait", "--wait-timeout", limit];
        fixture.ops(&[&enqueue[..], &["--", "sh", "-c", script]].concat())
    };
    let good = wait("exit 0", "30s");
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.stdout.contains("Status:") && good.stdout.contains("succeeded"), "{good:?}");
    let bad = wait("echo no such thing >&2; exit 9", "30s");
    assert_eq!(bad.code, Some(5), "{bad:?}");
    assert!(bad.stdout.contains("ExitStatus"), "{bad:?}");
    let slow = wait("sleep 30", "200ms");
    assert_eq!((slow.code, slow.stdout.as_str()), (Some(3), ""), "{slow:?}");
    assert!(slow.stderr.contains("has not ended after 200ms"), "{slow:?}");
}

/// What a program prints must not turn its exit status and its other attempts into something else.
#[tokio::test]
async fn whatever_a_program_prints_its_outcome_stands() {
    let fixture = Fixture::open().await;
    let client = fixture.client();
    let session = client.session().await;
    let prints = [
        r"printf 'a\0b'",
        r"printf '\377\376\0\n'",
        r"printf '\\ud800 \\u0000'",
        r"printf '\033]0;title\007\033[31m'",
        "head -c 3000 /dev/urandom",
        "head -c 100000 /dev/zero",
        r"head -c 300000 /dev/zero | tr '\0' x",
    ];
    for print in prints {
        let failing = RunSpec { max_attempts: Some(2), ..shell(&session, &format!("{print} >&2; exit 3")) };
        let failing = client.enqueue(failing).await.unwrap();
        let good = client.enqueue(shell(&session, &format!("{print}; {print} >&2"))).await.unwrap();
        client.until_all(&session, &[good], RunStatus::Succeeded).await;
        let failed = client
            .until_all(&session, std::slice::from_ref(&failing), RunStatus::Failed)
            .await
            .remove(&failing)
            .unwrap();
        let error = failed.error.unwrap();
        assert_eq!((error.r#type.as_str(), failed.attempt), ("ExitStatus", 2), "{print}: {error:?}");
        assert!(error.message.starts_with("exit 3: "), "{print}: {error:?}");
        assert!(error.context_json.contains("\"exit_code\":3"), "{print}: {error:?}");
    }
}

#[tokio::test]
async fn wait_and_watch_end_with_the_run() {
    let fixture = Fixture::open().await;
    let run = fixture.enqueue("sleep 60");
    let mut watch = fixture.start(&["run", "watch", &run]);
    let wait = fixture.start(&["run", "wait", &run]);
    while !watch.line().contains("  running  ") {}
    let cancel = fixture.ops(&["run", "cancel", &run, "--reason", "enough", "-o", "json"]).success();
    assert!(cancel.contains("\"reason\": \"enough\""), "{cancel}");
    let watched = watch.end();
    assert_eq!(watched.code, Some(6), "{watched:?}");
    assert!(watched.stdout.contains("cancelled") && watched.stdout.contains(": enough\n"), "{watched:?}");
    let waited = wait.end();
    assert_eq!(waited.code, Some(6), "{waited:?}");
    // The run has ended, so both end at once.
    assert_eq!(fixture.ops(&["run", "watch", &run]).code, Some(6));
    assert_eq!(fixture.ops(&["run", "wait", &run]).code, Some(6));
}

#[tokio::test]
async fn a_refusal_names_the_reason_and_the_fields() {
    let fixture = Fixture::open().await;
    let nothing = fixture.ops(&["run", "get", "01900000-0000-7000-8000-000000000000"]);
    assert_eq!(nothing.code, Some(7), "{nothing:?}");
    assert!(
        nothing.stderr.contains("(RUN_NOT_FOUND)") && nothing.stderr.contains("hint: `ops run list`"),
        "{nothing:?}"
    );
    let session = fixture.session();
    let wrong =
        fixture.ops(&["run", "enqueue", "--session", &session, "--lane", "A", "--kind", "k", "--max-attempts", "101"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    let said = wrong.stderr.matches("run.max_attempts: expected 1 to 100, got 101").count();
    assert!(said == 1 && wrong.stderr.contains("(INVALID_FIELD)"), "{wrong:?}");
}
