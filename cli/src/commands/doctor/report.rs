//! The findings as text and as JSON.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Map, Value, json};
use server::doctor::{Examination, Finding, Severity};

use crate::output::{
    table::{Tone, painted},
    text,
};

/// The width at which texts are wrapped. Statements to copy are never wrapped.
const WIDTH: usize = 100;

/// A database, server or address, and its findings.
pub(super) struct Examined {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) examination: Examination,
}

pub(super) fn text(examined: &[Examined]) -> String {
    let mut lines = String::new();
    for Examined { kind, name, examination } in examined {
        // Writing to a String can not fail.
        let _ = writeln!(lines, "{kind} {}", text::line(name));
        for fact in &examination.facts {
            let _ = writeln!(lines, "  {:<12} {}", fact.name, text::line(&fact.value));
        }
        for finding in &examination.findings {
            describe(finding, &mut lines);
        }
        lines.push('\n');
    }
    let count = |severity| count(examined, severity);
    let counts = [
        counted(count(Severity::Error), "error"),
        counted(count(Severity::Warning), "warning"),
        counted(count(Severity::Note), "note"),
    ];
    let counts: Vec<_> = counts.into_iter().flatten().collect();
    let _ = writeln!(lines, "{}", if counts.is_empty() { "nothing is wrong".to_owned() } else { counts.join(", ") });
    lines
}

fn describe(Finding { severity, id, what, why, mend }: &Finding, lines: &mut String) {
    let (word, tone) = match severity {
        Severity::Error => ("ERROR", Tone::Bad),
        Severity::Warning => ("WARNING", Tone::Warning),
        Severity::Note => ("NOTE", Tone::Busy),
    };
    let _ = writeln!(lines, "\n  {} {id}", painted(word, tone));
    let _ = writeln!(lines, "    what  {}", wrapped(&text::line(what)));
    let _ = writeln!(lines, "    why   {}", wrapped(why));
    let _ = writeln!(lines, "    mend  {}", text::line(mend));
}

/// Wraps between words, and aligns each further line with the first.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH - 10 {
            lines.push_str("\n          ");
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

fn count(examined: &[Examined], severity: Severity) -> usize {
    let findings = examined.iter().flat_map(|it| &it.examination.findings);
    findings.filter(|finding| finding.severity == severity).count()
}

fn counted(count: usize, what: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {what}{}", if count == 1 { "" } else { "s" }))
}

pub(super) fn json(examined: &[Examined]) -> Result<String> {
    let targets: Vec<Value> = examined
        .iter()
        .map(|Examined { kind, name, examination }| {
            let facts: Map<_, _> =
                examination.facts.iter().map(|fact| (fact.name.to_owned(), json!(fact.value))).collect();
            let findings: Vec<_> = examination.findings.iter().map(finding).collect();
            json!({ "kind": kind, "name": name, "facts": facts, "findings": findings })
        })
        .collect();
    let report = json!({
        "examined": targets,
        "errors": count(examined, Severity::Error),
        "warnings": count(examined, Severity::Warning),
        "notes": count(examined, Severity::Note),
    });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

fn finding(Finding { severity, id, what, why, mend }: &Finding) -> Value {
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    json!({ "severity": severity, "id": id, "what": what, "why": why, "mend": mend })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words_and_nothing_of_it_is_lost() {
        let text = "word ".repeat(60);
        let text = text.trim_end();
        let lines = wrapped(text);
        assert!(lines.lines().count() > 1 && lines.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(lines.split_whitespace().collect::<Vec<_>>().join(" "), text);
        let long = "x".repeat(300);
        assert_eq!(wrapped(&long), long);
    }
}
