use super::{
    house::House,
    program::{Running, command, ops},
};

const ESCAPE: char = '\u{1b}';

#[tokio::test]
async fn there_is_colour_only_where_somebody_looks_or_asks_for_it() {
    let house = House::open().await;
    // Now the worker is known to the server.
    assert_eq!(house.first_line(&house.enqueue("echo here")), "here");
    let list = ["worker", "list"];
    let shown = |args: &[&str], no_color: Option<&str>| {
        let mut command = command(&[&list[..], args].concat());
        command.env("OPS_SERVER", house.address()).env_remove("NO_COLOR");
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

/// What the program prints on a terminal of its own.
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
fn on_a_terminal_there_is_colour_unless_it_is_not_wanted() {
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
