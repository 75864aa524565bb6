use super::{
    fixture::Fixture,
    program::{Running, command, ops},
};

const ESCAPE: char = '\u{1b}';

#[tokio::test]
async fn there_is_colour_only_on_a_terminal_or_on_request() {
    let fixture = Fixture::open().await;
    // Now the server knows the worker.
    assert_eq!(fixture.first_line(&fixture.enqueue("echo here")), "here");
    let list = ["worker", "list"];
    let shown = |args: &[&str], no_color: Option<&str>| {
        let mut command = command(&[&list[..], args].concat());
        command.env("OPS_SERVER", fixture.address()).env_remove("NO_COLOR");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        Running::of(command).end().success()
    };
    // Standard output is a pipe.
    for (args, no_color, coloured) in [
        (&[][..], None, false),
        (&["--color", "auto"], None, false),
        (&["--color", "never"], None, false),
        (&["--color", "always"], None, true),
        (&["--color", "always"], Some("1"), true),
    ] {
        let text = shown(args, no_color);
        assert!(text.contains("tester"));
        assert_eq!(text.contains(ESCAPE), coloured, "{args:?} {no_color:?} {text}");
    }
}

/// The output of the program on a terminal.
fn on_a_terminal(line: &str, environment: &[(&str, &str)]) -> String {
    let mut command = command(&[]);
    let program = command.get_program().to_owned();
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &format!("{} {line}", program.display()), "/dev/null"]);
    for (name, value) in command.env("NO_COLOR", "").env("TERM", "xterm").get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.envs(environment.iter().copied()).stdin(std::process::Stdio::null());
    Running::of(script).end().success()
}

#[test]
fn a_terminal_gets_colour_unless_the_user_refuses_it() {
    let show = "config show worker";
    assert!(on_a_terminal(show, &[]).contains(ESCAPE));
    for (line, environment) in [
        (show.to_owned(), &[("NO_COLOR", "1")][..]),
        (format!("--color never {show}"), &[]),
        ("--color never --help".to_owned(), &[]),
    ] {
        let shown = on_a_terminal(&line, environment);
        assert!(!shown.contains(ESCAPE), "{line} {environment:?} {shown}");
    }
}

#[test]
fn help_and_errors_obey_the_flag_too() {
    let help = ops(&["--color", "always", "--help"]).success();
    assert!(help.contains(ESCAPE), "{help}");
    let wrong = ops(&["--color", "always", "serv"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains(ESCAPE), "{wrong:?}");
    let wrong = ops(&["serv"]);
    assert!(wrong.code == Some(2) && !wrong.stderr.contains(ESCAPE), "{wrong:?}");
}
