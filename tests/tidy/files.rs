//! Rules for every file.

use crate::paths::paths;
use crate::tree::files;

pub const CODE: [&str; 12] =
    [".rs", ".sql", ".proto", ".py", ".sh", ".ts", ".tsx", ".cjs", ".css", ".go", "Makefile", ".toml"];
/// Marks of unfinished work. They are in two parts here, so that this file has none of them.
const UNDONE: [[&str; 2]; 5] = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["db", "g!("], ["unimpl", "emented!("]];

#[test]
fn nothing_is_marked_as_left_undone() {
    let marks = UNDONE.map(|parts| parts.concat());
    let mut breaks = Vec::new();
    for file in files(&CODE).chain(files(&[".md"])) {
        for (number, line) in file.lines() {
            if let Some(mark) = marks.iter().find(|mark| has_word(line, mark)) {
                breaks.push(format!("{}:{number}: {mark}", file.path));
            }
        }
    }
    crate::nothing_breaks("no mark of unfinished work is in the code", &breaks);
}

/// Whether the line has the word, and not as a part of another one.
pub fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let alone = |c: Option<char>| !c.is_some_and(is_part);
        alone(line[..at].chars().next_back()) && (word.ends_with('(') || alone(line[at + word.len()..].chars().next()))
    })
}

#[test]
fn every_module_begins_with_a_sentence_about_it() {
    let is_tests = |path: &str| path.ends_with("/tests.rs") || path.ends_with("_tests.rs");
    let breaks: Vec<_> = files(&[".rs"])
        .filter(|file| file.path.contains("src/") && !is_tests(&file.path))
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{}:1: the file does not begin with `//! `", file.path))
        .collect();
    crate::nothing_breaks("a module begins with a sentence about it", &breaks);
}

#[test]
fn every_task_has_an_owner_that_waits_for_it() {
    let mut breaks = Vec::new();
    for file in files(&[".rs"]) {
        for named in paths(&file.text) {
            if named.path == "tokio::spawn" || named.path == "tokio::task::spawn" {
                breaks.push(format!("{}:{}: {}", file.path, named.line, named.path));
            }
        }
    }
    crate::nothing_breaks("tasks are spawned on a JoinSet or a TaskTracker", &breaks);
}

/// The files whose modules could declare this file as theirs; none for the root of a crate.
fn parents(path: &str) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = if name == "mod.rs" { folder.rsplit_once('/').map_or("", |(parent, _)| parent) } else { folder };
    [format!("{folder}/mod.rs"), format!("{folder}/lib.rs"), format!("{folder}/main.rs"), format!("{folder}.rs")].into()
}

#[test]
fn each_file_of_a_crate_is_declared_as_a_module() {
    let mut breaks = Vec::new();
    for file in files(&[".rs"]).filter(|file| file.path.contains("/src/") && !file.path.contains("/src/bin/")) {
        let name = file.path.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit('/').next().unwrap_or_default();
        let declares = |parent: &String| {
            let parent = files(&[".rs"]).find(|file| file.path == *parent);
            parent.is_some_and(|parent| parent.lines().any(|(_, line)| has_word(line, &format!("mod {name}"))))
        };
        if !["lib", "main"].contains(&name) && !parents(&file.path).iter().any(declares) {
            breaks.push(format!("{}: no module declares it", file.path));
        }
    }
    crate::nothing_breaks("what no module declares is dead", &breaks);
}
