use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;

use super::{
    fixture::Fixture,
    program::{Ended, Running, command, ops},
};

/// A folder with a configuration.
struct Place(tempfile::TempDir);

impl Place {
    fn with(text: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.file(), text).unwrap();
        place
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("ops.toml")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ops(&self, args: &[&str]) -> Ended {
        self.ops_with(args, &[])
    }

    fn ops_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut command = command(args);
        command.env("OPS_CONFIG", self.file()).envs(environment.iter().copied());
        Running::of(command).end()
    }
}

/// The value and the source of a setting in the output of `ops config show`.
fn row(shown: &str, setting: &str) -> (String, String) {
    let line = shown.lines().find(|line| line.split_whitespace().next() == Some(setting));
    let line = line.unwrap_or_else(|| panic!("no {setting} in\n{shown}"));
    let cells: Vec<_> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    (cells[1].to_owned(), cells[2].to_owned())
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let place =
        Place::with("lease-timeout = \"41s\"\n[serve]\naccept-timeout = \"42s\"\ndatabase-deadline = \"43s\"\n");
    let environment = [("OPS_DATABASE_DEADLINE", "53s"), ("OPS_SHUTDOWN_TIMEOUT", "54s")];
    let flags = ["config", "show", "serve", "--", "--shutdown-timeout", "64s"];
    let shown = place.ops_with(&flags, &environment).success();
    let file = place.file().display().to_string();
    for (setting, value, origin) in [
        ("serve.event-credits", "1000", "default"),
        ("serve.lease-timeout", "41s", &format!("{file}:1")),
        ("serve.accept-timeout", "42s", &format!("{file}:3")),
        ("serve.database-deadline", "53s", "OPS_DATABASE_DEADLINE"),
        ("serve.shutdown-timeout", "64s", "--shutdown-timeout"),
    ] {
        assert_eq!(row(&shown, setting), (value.to_owned(), origin.to_owned()));
    }
}

#[test]
fn a_section_wins_over_keys_before_the_first_section_and_each_command_has_its_own() {
    let place = Place::with("listen = \"127.0.0.1:1\"\nserver = \"h:1\"\n[dev]\nlisten = \"127.0.0.1:2\"\n");
    let shown = place.ops(&["config", "show"]).success();
    let value = |setting| row(&shown, setting).0;
    assert_eq!((value("serve.listen"), value("dev.listen")), ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()));
    assert_eq!((value("worker.server"), value("client.server")), ("h:1".to_owned(), "h:1".to_owned()));
}

#[test]
fn all_mistakes_in_a_file_are_reported_at_once_with_line_key_and_expectation() {
    let place = Place::with(
        "lisen = \"h:1\"\n\
         [serve]\n\
         lease-timeout = 30\n\
         lease_timout = \"3s\"\n\
         no-migrate = \"yes\"\n\
         max-event-bytes = 1.5\n\
         listen = [\"127.0.0.1:1\"]\n\
         slots = 3\n\
         [worker]\n\
         lanes = [\"A\", \"E\"]\n\
         slots = 0\n\
         label = \"x\"\n\
         [serv]\n",
    );
    for verb in [&["config", "check"][..], &["serve"], &["run", "list"], &["config", "show", "dev"]] {
        let ended = place.ops(verb);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        for (line, expected) in [
            (1, "lisen: unknown key; did you mean `listen`?"),
            (3, "serve.lease-timeout: expected a duration such as `30s` or `5m`"),
            (4, "serve.lease_timout: unknown key; did you mean `lease-timeout`?"),
            (5, "serve.no-migrate: expected true or false, got \"yes\""),
            (6, "serve.max-event-bytes: expected an integer, got 1.5"),
            (7, "serve.listen: expected a string, got a list"),
            (8, "serve.slots: unknown key; it belongs in [dev] or [worker]"),
            (10, "worker.lanes: expected one of `A`, `B`, `C`, `D`, got \"E\""),
            (11, "worker.slots: expected N, got 0"),
            (12, "worker.label: expected KEY=VALUE, got \"x\""),
            (13, "[serv]: unknown section; did you mean `serve`?"),
        ] {
            let expected = format!("{}:{line}: {expected}", place.file().display());
            assert!(ended.stderr.contains(&expected), "{expected}\n{}", ended.stderr);
        }
        assert_eq!(ended.stderr.lines().count(), 12, "{}", ended.stderr);
    }
}

#[test]
fn a_key_before_the_first_section_must_be_valid_for_every_section_that_has_it() {
    let place = Place::with("server = [\"http://h:1\", \"http://h:2\"]\n");
    let ended = place.ops(&["worker"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let expected = format!("{}:1: server (for [client]): expected a string, got a list", place.file().display());
    assert!(ended.stderr.contains(&expected), "{expected}\n{}", ended.stderr);
}

#[test]
fn the_error_about_a_missing_file_or_one_that_is_not_toml_names_it() {
    let ended = ops(&["--config", "/nowhere/ops.toml", "run", "list"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("/nowhere/ops.toml: can not be read"), "{ended:?}");
    let place = Place::with("[serve]\nlisten = hunter2\n");
    let ended = place.ops(&["serve"]);
    assert!(ended.stderr.contains("ops.toml:2: is not TOML") && !ended.stderr.contains("hunter2"), "{ended:?}");
    // A wrong configuration does not stop commands that need none.
    assert!(place.ops(&["serve", "--help"]).success().contains("[default: 30s]"));
}

#[test]
fn check_also_finds_mistakes_that_only_the_command_itself_refuses() {
    let place = Place::with(
        "[serve]\nlisten = \"0.0.0.0:1\"\nlease-timeout = \"1ms\"\ndatabase-url = \"nonsense\"\n[worker]\nkinds = [\"baking\"]\n",
    );
    let file = place.file().display().to_string();
    let ended = place.ops(&["config", "check"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for (line, expected) in [
        (2, "`ops serve`: --listen: 0.0.0.0:1 can be reached from other machines"),
        (3, "`ops serve`: --lease-timeout: expected 500 ms or more, got 1ms"),
        (4, "`ops serve`: --database-url: expected postgres://"),
    ] {
        let found =
            ended.stderr.lines().any(|it| it.contains(expected) && it.ends_with(&format!("(from {file}:{line})")));
        assert!(found, "{expected}: {}", ended.stderr);
    }
    assert!(ended.stderr.contains("`ops worker`: ") && ended.stderr.contains("baking"), "{ended:?}");
    // The command itself fails in the same way.
    let ended = place.ops(&["serve", "--listen", "127.0.0.1:0", "--database-url", "postgres://h/d"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains(&format!("got 1ms (from {file}:3)")), "{ended:?}");
}

#[test]
fn check_requires_the_settings_of_a_command_only_if_the_command_is_named() {
    let place = Place::with("[serve]\nlease-timeout = \"10s\"\n");
    assert!(place.ops(&["config", "check"]).code == Some(0));
    let ended = place.ops(&["config", "check", "serve"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("`ops serve`: --database-url is set nowhere"), "{ended:?}");
    let complete = [("OPS_DATABASE_URL", "postgres://h/d")];
    assert_eq!(place.ops_with(&["config", "check", "serve"], &complete).code, Some(0));
    assert_eq!(place.ops(&["config", "check", "serve", "--", "--database-url", "postgres://h/d"]).code, Some(0));
    let ended = place.ops(&["config", "check", "serv"]);
    assert!(ended.stderr.contains("`serv` has no settings; did you mean `serve`?"), "{ended:?}");
}

#[test]
fn secrets_are_never_shown_wherever_they_come_from() {
    let url = "postgres://ops:hunter2@127.0.0.1:1/ops?application_name=hunter2";
    let place = Place::with(&format!("database-url = \"{url}\"\n"));
    let elsewhere = Place::with("");
    for output in ["table", "json", "toml"] {
        let show = ["config", "show", "-o", output];
        for ended in [
            place.ops(&show),
            elsewhere.ops_with(&show, &[("OPS_DATABASE_URL", url)]),
            elsewhere.ops(&["config", "show", "serve", "-o", output, "--", "--database-url", url]),
        ] {
            assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
            assert!(ended.success().contains("postgres://ops:***@127.0.0.1:1/ops"));
        }
    }
    for wrong in ["[\"hunter2\"]", "{ hunter2 = \"hunter2\" }"] {
        let place = Place::with(&format!("database-url = {wrong}\n"));
        let ended = place.ops(&["migrate"]);
        assert!(ended.code == Some(2) && !ended.stderr.contains("hunter2"), "{ended:?}");
    }
    let ended = place.ops(&["migrate"]);
    assert!(ended.code == Some(1) && !ended.stderr.contains("hunter2"), "{ended:?}");
}

#[test]
fn a_secret_is_read_from_the_file_that_is_named_the_most_directly() {
    let place = Place::with("database-url-file = \"secret\"\n[migrate]\ndatabase-url = \"postgres://of-migrate/d\"\n");
    fs::write(place.path().join("secret"), "postgres://u:hunter2@of-file/d\n").unwrap();
    fs::write(place.path().join("other"), "postgres://u:hunter2@of-other/d").unwrap();
    let (file, other) = (place.file().display().to_string(), place.path().join("other").display().to_string());
    let url = |args: &[&str], environment: &[(&str, &str)]| {
        let section = args[0];
        let shown = place.ops_with(&[&["config", "show"], args].concat(), environment).success();
        row(&shown, &format!("{section}.database-url"))
    };
    let expected = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    let named = format!("the file named by {file}:1");
    assert_eq!(url(&["serve"], &[]), expected("postgres://u:***@of-file/d", &named));
    assert_eq!(url(&["migrate"], &[]), expected("postgres://of-migrate/d", &format!("{file}:3")));
    let by_environment = [("OPS_DATABASE_URL", "postgres://of-environment/d")];
    assert_eq!(url(&["serve"], &by_environment), expected("postgres://of-environment/d", "OPS_DATABASE_URL"));
    assert_eq!(
        url(&["serve", "--", "--database-url-file", &other], &by_environment),
        expected("postgres://u:***@of-other/d", "the file named by --database-url-file")
    );
    let both = [("OPS_DATABASE_URL", "postgres://h/d"), ("OPS_DATABASE_URL_FILE", other.as_str())];
    let ended = place.ops_with(&["serve"], &both);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("(OPS_DATABASE_URL) and --database-url-file (OPS_DATABASE_URL_FILE): only one"));
    fs::remove_file(place.path().join("secret")).unwrap();
    let ended = place.ops(&["serve"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains(&format!("--database-url-file ({file}:1): ")), "{ended:?}");
}

#[test]
fn the_toml_that_show_prints_is_a_file_with_the_same_settings() {
    let place = Place::with(
        "color = \"never\"\n[worker]\nlanes = [\"D\"]\nlabel = [\"a=b\", \"c=\\\"\"]\n[serve]\nno-migrate = true\n[dev]\ndata-dir = \"/x\"\n",
    );
    let environment = [("OPS_LEASE_TIMEOUT", "7s")];
    let shown = place.ops_with(&["config", "show", "-o", "toml"], &environment).success();
    assert!(shown.contains("# database-url: not set"), "{shown}");
    let again = Place::with(&shown);
    let values = |shown: String| -> Vec<String> {
        let parsed: serde_json::Value = serde_json::from_str(&shown).unwrap();
        // Doctor and migrate take missing settings from the server's section, which has more keys now.
        let own = |it: &&serde_json::Value| it["section"] != "doctor" && it["section"] != "migrate";
        parsed["settings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(own)
            .map(|it| format!("{}={}", it["key"], it["value"]))
            .collect()
    };
    let json = ["config", "show", "-o", "json"];
    assert_eq!(values(place.ops_with(&json, &environment).success()), values(again.ops(&json).success()));
}

#[tokio::test]
async fn a_server_a_worker_and_the_operators_verbs_run_by_a_file_alone() {
    let fixture = Fixture::empty().await;
    let place = Place::with("database-url-file = \"url\"\n[serve]\nlisten = \"127.0.0.1:0\"\nno-migrate = true\n");
    fs::write(place.path().join("url"), fixture.database_url()).unwrap();
    let file = place.file().display().to_string();
    let server = Running::start(&["--config", &file, "serve"]);
    let address = server.journal.wait_for("listening on ").trim_start_matches("listening on ").to_owned();

    let settings =
        format!("server = \"{address}\"\n[worker]\nname = \"by-file\"\nlanes = [\"C\"]\n[client]\noutput = \"json\"\n");
    let place = Place::with(&settings);
    let file = place.file().display().to_string();
    let worker = Running::start(&["worker", "--config", &file]);
    let enqueue = ["run", "enqueue", "--new-session", "n", "--lane", "C", "--wait", "-o", "id", "--", "true"];
    place.ops(&enqueue).success();
    let listed = place.ops(&["worker", "list"]).success();
    let workers: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(workers["workers"][0]["name"], "by-file", "{listed}");
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.end().code, Some(0));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn no_secret_of_a_url_is_shown_or_logged() {
    let place = Place::with("");
    let url = "postgres://ops:hunter2@127.0.0.1:1/ops?sslpassword=hunter2&passfile=hunter2&sslmode=disable";
    let traces = "http://user:hunter2@127.0.0.1:1";
    let server = "http://user:hunter2@127.0.0.1:1";
    let environment = [
        ("OPS_DATABASE_URL", url),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", traces),
        ("OPS_SERVER", server),
        ("OPS_LOG", "trace"),
        ("OPS_WORKER_DRAIN_TIMEOUT", "1s"),
    ];
    for args in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["migrate"],
        &["doctor"],
        &["doctor", "-o", "json"],
        &["run", "list"],
        &["config", "show"],
        &["config", "show", "-o", "json"],
        &["config", "show", "-o", "toml"],
        &["config", "check"],
    ] {
        let ended = place.ops_with(args, &environment);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.is_empty() && !said.contains("hunter2"), "{args:?}: {said}");
        if *args == ["migrate"] {
            assert!(said.contains("sslpassword"), "it says what it ignores: {said}");
        }
    }
    let wrong =
        place.ops_with(&["migrate"], &[("OPS_DATABASE_URL", "postgres://ops:hunter2@h:port/ops?sslmode=hunter2")]);
    assert!(wrong.code == Some(1) || wrong.code == Some(2), "{wrong:?}");
    assert!(!wrong.stderr.contains("ops:hunter2"), "{wrong:?}");
}
