use nix::sys::signal::Signal;

use super::program::{Running, command, ops};

/// A folder for `ops dev`. Its drop removes it and its cluster.
struct DataDir(tempfile::TempDir);

impl DataDir {
    fn make() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // For root the data is in another place. A failed removal does not fail the test.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            let _ = runtime.block_on(devpg::remove(self.0.path()));
        }
    }
}

#[test]
fn the_demonstration_reaches_its_summary_and_a_second_one_does_on_the_same_data() {
    let data = DataDir::make();
    for _ in 0..2 {
        let demo = ops(&["dev", "--listen", "127.0.0.1:0", "--data-dir", data.path(), "--demo", "--once"]);
        assert_eq!(demo.code, Some(0), "{}\n{}", demo.stdout, demo.stderr);
        for expected in [
            "price-check   failed     ExitStatus: ",
            "health        succeeded",
            "endless       cancelled  its worker confirmed that it stopped: ",
            "\nSummary\n",
            "1 failed, 1 cancelled; the counters match what was watched",
            "grpcurl -plaintext -d '{\"run_id\":",
        ] {
            assert!(demo.stdout.contains(expected), "no `{expected}` in\n{}", demo.stdout);
        }
    }
}

#[test]
fn the_commands_that_the_demonstration_prints_work_as_printed() {
    let data = DataDir::make();
    let mut demo = Running::start(&["dev", "--listen", "127.0.0.1:0", "--data-dir", data.path(), "--demo"]);
    let mut script = String::new();
    while !script.contains("ops worker list") {
        let line = demo.line();
        assert!(!line.is_empty(), "{:?}", demo.end());
        let line = line.trim_start();
        // Not every machine has grpcurl.
        if ["export PATH=", "ops run ", "ops worker "].iter().any(|begin| line.starts_with(begin)) {
            script.push_str(line);
        }
    }
    assert_eq!(script.lines().count(), 5, "{script}");
    let mut bash = std::process::Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script]).env_remove("OPS_SERVER");
    let printed = Running::of(bash).end().success();
    assert!(printed.contains("succeeded") && printed.contains("uname"), "{printed}");
    demo.signal(Signal::SIGTERM);
    assert_eq!(demo.end().code, Some(0));
}

/// Starts `ops dev` on this folder. Returns it with the address of its server.
fn dev(data: &DataDir) -> (Running, String) {
    let mut command = command(&["dev", "--listen", "127.0.0.1:0", "--data-dir", data.path()]);
    command.env("OPS_LOG", "info");
    let mut dev = Running::of(command);
    loop {
        let line = dev.line();
        assert!(!line.is_empty(), "{:?}", dev.end());
        if let Some(address) = line.trim_start().strip_prefix("server ") {
            return (dev, address.trim().to_owned());
        }
    }
}

#[test]
fn dev_prints_its_address_keeps_its_data_and_stops_on_a_signal() {
    let data = DataDir::make();
    let (first, server) = dev(&data);
    let session = ops(&["session", "create", "kept", "--server", &server, "-o", "id"]).success();
    first.signal(Signal::SIGTERM);
    let ended = first.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let (second, server) = dev(&data);
    let kept = ops(&["session", "get", session.trim_end(), "--server", &server]).success();
    assert!(kept.contains("kept"), "{kept}");
    // A terminal that closes is one, too.
    second.signal(Signal::SIGHUP);
    assert_eq!(second.end().code, Some(0));
}

#[test]
fn dev_that_was_killed_starts_again_on_the_postgresql_that_it_left() {
    let data = DataDir::make();
    let (first, server) = dev(&data);
    let enqueue = ["run", "enqueue", "--new-session", "kept", "--lane", "A", "-o", "id", "--server", &server];
    let waiting = ops(&[&enqueue[..], &["--kind", "unknown-to-all"]].concat()).success();
    let done = ops(&[&enqueue[..], &["--wait", "--", "true"]].concat()).success();
    let postgresql = first.journal.events("PostgreSQL is ready").remove(0);
    first.kill();

    let (second, server) = dev(&data);
    let adopted = second.journal.events("adopted a running PostgreSQL").remove(0);
    assert_eq!(
        (&adopted["port"], adopted["pid"].to_string().trim_matches('"')),
        (&postgresql["port"], postgresql["pid"].to_string().as_str())
    );
    for (run, status) in [(&waiting, "queued"), (&done, "succeeded")] {
        let run = ops(&["run", "get", run.trim_end(), "--server", &server]).success();
        assert!(run.contains(status), "{run}");
    }
    // The second one works, and stops the PostgreSQL that it adopted.
    ops(&["run", "enqueue", "--new-session", "more", "--lane", "A", "--wait", "--server", &server, "--", "true"])
        .success();
    second.signal(Signal::SIGTERM);
    let ended = second.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("\"PostgreSQL stopped\""), "{ended:?}");
}

#[test]
fn dev_uses_its_own_postgresql_whatever_the_environment_says_about_another() {
    let data = DataDir::make();
    let mut demo = command(&["dev", "--listen", "localhost:0", "--data-dir", data.path(), "--demo", "--once"]);
    demo.envs([
        ("PGHOST", "192.0.2.1"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGDATABASE", "nowhere"),
        ("PGPASSWORD", "wrong"),
        ("PGPASSFILE", "/nowhere"),
        ("PGDATA", "/nowhere"),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/nowhere/root.crt"),
        ("PGSSLCERT", "/nowhere/client.crt"),
        ("PGSSLKEY", "/nowhere/client.key"),
        ("PGOPTIONS", "-c no_such_setting=1"),
        ("PGAPPNAME", "another"),
        ("PGTZ", "Mars"),
        ("PGCLIENTENCODING", "LATIN1"),
    ]);
    let demo = Running::of(demo).end();
    assert_eq!(demo.code, Some(0), "{demo:?}");
    assert!(demo.stdout.contains("\nSummary\n"), "{demo:?}");
}
