use super::program::{Running, command, ops};

/// Expects exit status 2, this message, and nothing on standard output.
fn refused(args: &[&str], message: &str) {
    let ended = ops(args);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {ended:?}");
    assert!(ended.stderr.contains(message), "{args:?}: {ended:?}");
}

#[test]
fn a_command_line_that_is_not_valid_exits_with_2() {
    refused(&["run", "enqueue", "--lane", "A", "--kind", "k"], "--session <ID>");
    refused(&["run", "enqueue", "--session", "s", "--lane", "E", "--kind", "k"], "[possible values: A, B, C, D]");
    refused(&["run", "wait", "id", "--timeout", "5"], "expected a duration such as `30s`");
    refused(&["run", "get", "id", "--server", "localhost"], "expected an address with a port");
    refused(&["run", "list", "--label", "team"], "expected KEY=VALUE");
    refused(&["serve", "--listen", "127.0.0.1:0"], "--database-url <URL>");
    refused(&["serve", "--listen", "127.0.0.1:0"], "--database-url-file <FILE>");
    refused(&["worker", "--kinds", "shel"], "--kinds: expected one of the registered handlers (http, shell, sleep)");
    refused(&["worker", "--http-allow", "10.0.0.1/8"], "10.0.0.0/8");
    refused(&["worker", "--http-ca", "/no/such/file"], "--http-ca");
    refused(&["frobnicate"], "unrecognized subcommand");
}

#[test]
fn params_are_checked_before_the_server_is_called() {
    let enqueue = ["run", "enqueue", "--session", "s", "--lane", "A", "--kind", "k", "--params"];
    let with = |params: &'static str| [&enqueue[..], &[params]].concat();
    refused(&with("{"), "expected JSON");
    refused(&with("@/nowhere/params.json"), "can not read /nowhere/params.json");
    // Standard input is empty.
    refused(&with("-"), "standard input: expected JSON");
}

#[test]
fn a_server_listens_beyond_loopback_only_with_insecure() {
    let far = ["--listen", "0.0.0.0:0"];
    refused(&[&["serve", "--database-url", "postgres://h/d"], &far[..]].concat(), "--insecure");
    refused(&[&["dev"], &far[..]].concat(), "--insecure");
}

#[test]
fn a_server_listens_on_a_name_that_can_be_resolved() {
    refused(
        &["serve", "--database-url", "postgres://h/d", "--listen", "no-such-name.invalid:0"],
        "can not be resolved",
    );
    refused(&["serve", "--database-url", "postgres://h/d", "--listen", "localhost"], "with a port");
    let server = Running::start(&["serve", "--database-url", "postgres://127.0.0.1:1/d", "--listen", "localhost:0"]);
    let line = server.journal.wait_for("listening on ");
    assert!(line.starts_with("listening on http://127.0.0.1:"), "{line}");
}

#[test]
fn settings_of_a_server_are_checked_before_it_listens_and_named_by_their_flags() {
    let ended = ops(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        "nonsense",
        "--lease-timeout",
        "1ms",
        "--max-event-bytes",
        "0",
        "--receive-timeout",
        "1ms",
        "--max-header-bytes",
        "9",
        "--max-streams",
        "0",
    ]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    for expected in [
        "--lease-timeout: expected 500 ms or more, got 1ms",
        "--max-event-bytes: expected 1",
        "--receive-timeout: expected 100 ms or more, got 1ms",
        "--max-header-bytes: expected 8192 to 2147483647, got 9",
        "--max-streams: expected 1 to 2147483647, got 0",
        "--database-url: expected postgres://",
    ] {
        assert!(ended.stderr.contains(expected), "{expected}: {ended:?}");
    }
    assert!(!ended.stderr.contains("listening"), "{ended:?}");
}

#[test]
fn a_database_of_another_kind_is_refused_at_once_and_its_url_is_not_shown() {
    for verb in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"], &["config", "check", "serve", "--"]] {
        let ended = ops(&[verb, &["--database-url", "mysql://u:hunter2@h/d"]].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        for expected in ["--database-url: expected postgres://", "postgresql://", "mysql://"] {
            assert!(ended.stderr.contains(expected), "{expected}: {ended:?}");
        }
        assert!(!ended.stderr.contains("listening") && !ended.stderr.contains("hunter2"), "{ended:?}");
    }
}

#[test]
fn a_value_that_is_wrong_in_the_environment_is_named_by_its_variable() {
    let serve = ["serve", "--database-url", "postgres://h/d", "--listen", "127.0.0.1:0"];
    for (args, name, value) in [
        (&serve[..], "OPS_LEASE_TIMEOUT", "soon"),
        (&serve, "OPS_DATABASE_CONNECTIONS", "many"),
        (&serve, "OPS_NO_MIGRATE", "perhaps"),
        (&["run", "list"], "OPS_SERVER", "localhost"),
        (&["worker"], "OPS_SERVER", "http://127.0.0.1:1,localhost"),
        (&["worker"], "OPS_WORKER_LANES", "A,E"),
        (&["worker"], "OPS_WORKER_KINDS", "shel"),
        (&["worker"], "OPS_WORKER_HTTP_CA", "/no/such/file"),
    ] {
        let ended = Running::of({
            let mut command = command(args);
            command.env(name, value);
            command
        })
        .end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{name}: {ended:?}");
        assert!(ended.stderr.contains(&format!("(from {name})")), "{name}: {ended:?}");
    }
    // A flag wins, so the variable is not to blame.
    let mut both = command(&["run", "list", "--server", "localhost"]);
    both.env("OPS_SERVER", "localhost");
    let ended = Running::of(both).end();
    assert!(ended.code == Some(2) && !ended.stderr.contains("OPS_SERVER"), "{ended:?}");
}

#[test]
fn a_log_filter_that_is_not_valid_is_refused() {
    let output = command(&["run", "list"]).env("OPS_LOG", "a=b=c").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: OPS_LOG: expected a filter"));
}

#[test]
fn limits_whose_largest_answer_does_not_fit_into_a_message_are_refused() {
    for limits in [
        &["--max-message-bytes", "300000", "--max-params-bytes", "200000", "--max-result-bytes", "200000"][..],
        &["--max-params-bytes", "9000000", "--max-result-bytes", "9000000"],
        &["--max-artifact-bytes", "16777216"],
    ] {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--database-url", "postgres://h/d"];
        refused(&[&serve, limits].concat(), "--max-message-bytes: expected room for the largest answer");
        let check = ["config", "check", "serve", "--", "--database-url", "postgres://h/d"];
        refused(&[&check, limits].concat(), "--max-message-bytes: expected room for the largest answer");
    }
}
