use super::program::ops;

const COMMANDS: [&str; 25] = [
    "",
    "dev",
    "serve",
    "migrate",
    "worker",
    "worker list",
    "worker drain",
    "worker undrain",
    "session create",
    "session list",
    "session get",
    "session close",
    "session cancel",
    "run enqueue",
    "run get",
    "run list",
    "run watch",
    "run wait",
    "run cancel",
    "doctor",
    "config",
    "config check",
    "config show",
    "completions",
    "man",
];

fn help(command: &str) -> String {
    let mut words: Vec<_> = command.split_whitespace().collect();
    words.push("--help");
    let ended = ops(&words);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{command}");
    ended.stdout
}

/// The help of one option, on one line.
fn option(help: &str, name: &str) -> String {
    let is_option = |line: &str| line.trim_start().starts_with('-');
    let mut lines =
        help.lines().skip_while(|line| !(is_option(line) && line.split([' ', ',']).any(|word| word == name)));
    let first = lines.next().unwrap_or_else(|| panic!("no option {name} in\n{help}"));
    let rest = lines.take_while(|line| !is_option(line) && !line.is_empty());
    std::iter::once(first).chain(rest).map(str::trim).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_command_explains_itself() {
    for command in COMMANDS {
        let help = help(command);
        assert!(help.contains("Usage: ops") && help.contains("--help"), "{command}: {help}");
    }
}

#[test]
fn help_names_the_defaults_and_the_environment() {
    for (command, name, default) in [
        ("dev", "--listen", "127.0.0.1:7070"),
        ("dev", "--data-dir", ".ops"),
        ("dev", "--slots", "4"),
        ("serve", "--listen", "127.0.0.1:7070"),
        ("worker", "--lanes", "A,B,C,D"),
        ("worker", "--slots", "8"),
        ("worker", "--drain-timeout", "25s"),
        ("worker list", "--server", "http://127.0.0.1:7070"),
        ("session list", "--limit", "50"),
        ("session list", "--output", "table"),
        ("run enqueue", "--priority", "0"),
        ("run enqueue", "--params", "{}"),
        ("run enqueue", "--timeout", "no limit"),
        ("run list", "--server", "http://127.0.0.1:7070"),
        ("run wait", "--timeout", "no limit"),
        ("run cancel", "--grace", "the server's, 5s"),
    ] {
        let option = option(&help(command), name);
        assert!(option.contains(&format!("[default: {default}]")), "{command}: {option}");
    }
    for (command, name, variable) in [
        ("dev", "--pg-bin", "OPS_PG_BIN"),
        ("serve", "--database-url", "OPS_DATABASE_URL"),
        ("migrate", "--database-url", "OPS_DATABASE_URL"),
        ("worker", "--slots", "OPS_WORKER_SLOTS"),
        ("run get", "--server", "OPS_SERVER"),
    ] {
        let option = option(&help(command), name);
        assert!(option.contains(&format!("[env: {variable}")), "{command}: {option}");
    }
}

#[test]
fn help_does_not_print_the_password_in_the_environment() {
    let help = super::program::command(&["serve", "--help"])
        .env("OPS_DATABASE_URL", "postgres://u:secret@h/d")
        .output()
        .unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("secret"));
}
