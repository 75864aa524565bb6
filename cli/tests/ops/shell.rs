use std::{fs, process::Command};

use super::program::{Running, ops};

/// All commands, each as a list of words.
fn commands() -> Vec<String> {
    let verbs = |words: &[&str]| -> Vec<String> {
        let help = ops(&[words, &["--help"]].concat()).success();
        let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names.filter_map(|line| line.split_whitespace().next()).filter(|it| *it != "help").map(str::to_owned).collect()
    };
    let mut found = Vec::new();
    for command in verbs(&[]) {
        found.extend(verbs(&[&command]).into_iter().map(|verb| format!("{command} {verb}")));
        found.push(command);
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

fn bash(script: &str) -> String {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-euc", script]);
    Running::of(bash).end().success()
}

#[test]
fn bash_completes_with_the_completions_that_ops_prints() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ops.bash");
    fs::write(&file, ops(&["completions", "bash"]).success()).unwrap();
    let file = file.display();
    bash(&format!("bash -n {file}"));
    let complete = |words: &str, last: usize| {
        bash(&format!(
            "source {file}; COMP_WORDS=({words}); COMP_CWORD={last}; _ops ops \"${{COMP_WORDS[{last}]}}\" \
             \"${{COMP_WORDS[{}]}}\"; echo \"${{COMPREPLY[@]}}\"",
            last - 1
        ))
    };
    assert_eq!(complete("ops wor", 1), "worker\n");
    assert_eq!(complete("ops run wa", 2), "watch wait\n");
    assert_eq!(complete("ops serve --database-u", 2), "--database-url --database-url-file\n");
    assert_eq!(complete("ops run list --output ''", 4), "table json jsonl id\n");
}

#[test]
fn each_shell_has_its_completions_with_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ops(&["completions", shell]).success();
        for command in commands() {
            let last = command.split(' ').next_back().unwrap();
            assert!(script.contains(last), "{shell}: {command}");
        }
    }
}

#[test]
fn completions_do_not_need_the_configuration_to_be_right() {
    let mut command = super::program::command(&["completions", "fish"]);
    command.env("OPS_CONFIG", "/nowhere");
    assert!(Running::of(command).end().success().contains("worker"));
}

#[test]
fn every_command_has_a_page_that_names_its_verbs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    let ended = ops(&["man", "--out", out.to_str().unwrap()]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    let read = |name: &str| {
        let file = out.join(format!("{name}.1"));
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    for command in commands() {
        let words: Vec<_> = command.split(' ').collect();
        let name = format!("ops-{}", words.join("-"));
        let page = read(&name);
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH OPTIONS"), "{name}");
        let above =
            read(&["ops"].into_iter().chain(words[..words.len() - 1].iter().copied()).collect::<Vec<_>>().join("-"));
        assert!(above.contains(&name.replace('-', "\\-")), "{name} is named above it\n{above}");
        let printed = ops(&[&["man"], &words[..]].concat()).success();
        assert_eq!(printed, page, "{name}");
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), commands().len() + 1);
    let unknown = ops(&["man", "run", "enqeue"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("`ops run` has no command `enqeue`; did you mean `enqueue`?"), "{unknown:?}");
}
