//! Statements that change runs end in the same tail: the step `changed` with the changed rows, then those of `queued`, `answered`,
//! `counted` and `fed` that the statement needs. Each step has the same text in all statements.

use crate::tree::{File, files};

const STORE: &str = "engine/src/store/";

/// The steps of the tail in their order, and the write that only this step has.
const TAIL: [(&str, &str); 4] = [
    ("queued", "INSERT INTO ops.run_queue"),
    ("answered", "DELETE FROM ops.run_cancels"),
    ("counted", "INSERT INTO ops.session_deltas"),
    ("fed", "INSERT INTO ops.run_changes"),
];

/// The statement that has each step of the tail.
const MODEL: &str = "engine/src/store/run/report.sql";

/// Steps with another text.
const VARIANTS: [(&str, &str); 2] = [
    // This statement counts new runs; all others count ended runs.
    ("engine/src/store/run/enqueue.sql", "counted"),
    // This statement names the runs whose events were kept, and changes no run.
    ("engine/src/store/event/append.sql", "fed"),
];

/// The steps of a statement: the name and the text of each, in order.
fn steps(statement: &str) -> Vec<(&str, &str)> {
    let mut steps = Vec::new();
    let mut rest = statement;
    while let Some(at) = rest.find(" AS (\n").into_iter().chain(rest.find(" AS MATERIALIZED (\n")).min() {
        let name = rest[..at].rsplit(['\n', ' ']).next().unwrap_or_default();
        let from = at + rest[at..].find("(\n").unwrap_or_default();
        let length = rest[from..].find("\n)").unwrap_or(rest.len() - from);
        steps.push((name, &rest[from..from + length]));
        rest = &rest[from + length..];
    }
    steps
}

fn statements() -> impl Iterator<Item = &'static File> {
    files(&[".sql"]).filter(|file| file.path.starts_with(STORE))
}

fn model() -> Vec<(&'static str, &'static str)> {
    steps(&statements().find(|file| file.path == MODEL).expect("the model is there").text)
}

#[test]
fn the_steps_of_a_statement_are_read() {
    let statement =
        "-- a\nWITH RECURSIVE a AS MATERIALIZED (\n    SELECT 1\n),\n-- b\nb AS (\n    SELECT (2)\n)\nSELECT 3\n";
    assert_eq!(steps(statement), [("a", "(\n    SELECT 1"), ("b", "(\n    SELECT (2)")]);
    let names = model().into_iter().map(|(name, _)| name);
    let tail: Vec<&str> = names.filter(|name| TAIL.iter().any(|(step, _)| step == name)).collect();
    assert_eq!(tail, TAIL.map(|(name, _)| name), "the model has each step, in order");
}

#[test]
fn a_step_of_the_tail_has_the_same_text_in_each_statement() {
    let model = model();
    let mut breaks = Vec::new();
    let mut variants = Vec::new();
    for file in statements() {
        for (name, text) in steps(&file.text) {
            let Some((_, words)) = model.iter().find(|(step, _)| *step == name) else { continue };
            if TAIL.iter().any(|(step, _)| *step == name) && text != *words {
                variants.push((file.path.as_str(), name));
            }
        }
    }
    for (path, name) in variants.iter().filter(|variant| !VARIANTS.contains(variant)) {
        breaks.push(format!("{path}: `{name}` differs from {MODEL}"));
    }
    for (path, name) in VARIANTS.iter().filter(|variant| !variants.contains(variant)) {
        breaks.push(format!("{path}: `{name}` is no variant any more"));
    }
    crate::nothing_breaks("a statement that changes runs ends in the common tail", &breaks);
}

#[test]
fn a_statement_that_changes_runs_ends_in_the_tail() {
    let mut breaks = Vec::new();
    for file in statements().filter(|file| changes_runs(&file.text)) {
        let names: Vec<&str> = steps(&file.text).into_iter().map(|(name, _)| name).collect();
        let tail: Vec<Option<usize>> =
            names.iter().map(|name| TAIL.iter().position(|(step, _)| step == name)).collect();
        let begins = tail.iter().position(Option::is_some).unwrap_or(tail.len());
        if !names[..begins].contains(&"changed") || names.last() != Some(&"fed") || !tail[begins..].is_sorted() {
            breaks.push(format!("{}: {names:?} do not end in the tail", file.path));
        }
    }
    let inline = files(&[".rs"]).filter(|file| file.path.starts_with(STORE) && file.text.contains("revision + "));
    breaks.extend(inline.map(|file| format!("{}: a statement that changes runs has a file of its own", file.path)));
    crate::nothing_breaks("a statement that changes runs also writes the queue, the counters and the feed", &breaks);
}

/// Each change of a run raises its revision.
fn changes_runs(statement: &str) -> bool {
    statement.contains("INSERT INTO ops.runs ")
        || (statement.contains("UPDATE ops.runs") && statement.contains("revision"))
}

#[test]
fn only_the_tail_writes_to_the_queue_the_counters_and_the_feed() {
    let mut breaks = Vec::new();
    for file in files(&[".rs", ".sql"]).filter(|file| file.path.starts_with(STORE)) {
        // A cancel is also deleted after it was sent, and when it is old.
        for (name, write) in TAIL.iter().filter(|(name, _)| *name != "answered") {
            let writes = file.text.matches(write).count();
            let is_step = |(step, text): &(&str, &str)| step == name && text.contains(write);
            if writes > steps(&file.text).iter().filter(|step| is_step(step)).count() {
                breaks.push(format!("{}: `{write}` outside of `{name}`", file.path));
            }
        }
    }
    crate::nothing_breaks("only the tail writes to the queue, the counters and the feed", &breaks);
}
