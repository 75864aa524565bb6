//! README.md as a script: its `sh` blocks run unchanged, and must print what the `text` blocks after them show.

use std::fs;

/// The line that is printed between two steps, to separate their outputs.
const MARK: &str = "=== next step ===";

/// A block of commands, and lines of what it prints.
#[derive(Debug)]
pub struct Step {
    commands: String,
    shown: Vec<String>,
}

/// The steps of the section with this heading.
pub fn steps(readme: &str, heading: &str) -> Vec<Step> {
    let text = fs::read_to_string(readme).unwrap_or_else(|error| panic!("{readme}: {error}"));
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("{readme} has no section `{heading}`"));
    let mut steps: Vec<Step> = Vec::new();
    // Every second part is a fenced block, and begins with the label of its fence.
    for block in section.split("\n```").skip(1).step_by(2) {
        let (kind, body) = block.split_once('\n').unwrap_or((block, ""));
        match (kind, steps.last_mut()) {
            ("sh", _) => steps.push(Step { commands: body.to_owned(), shown: Vec::new() }),
            ("text", Some(step)) => step.shown.extend(body.lines().map(|line| line.trim().to_owned())),
            _ => panic!("{readme}: unknown kind of block `{kind}` in `{heading}`"),
        }
    }
    assert!(!steps.is_empty(), "{readme} has no commands in `{heading}`");
    steps
}

/// All steps as one script for bash, so that variables carry over.
pub fn script(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{}\necho '{MARK}'\n", step.commands)).collect()
}

/// Checks that each step printed the shown lines in that order, among others. A shown line may be a part of a printed
/// one, and `…` stands for anything.
pub fn check(steps: &[Step], printed: &str) {
    let outputs: Vec<&str> = printed.split(MARK).collect();
    assert_eq!(outputs.len(), steps.len() + 1, "each step printed something: {printed}");
    for (step, output) in steps.iter().zip(outputs) {
        let mut lines = output.lines();
        for shown in &step.shown {
            assert!(
                lines.any(|line| is_shown(line, shown)),
                "`{shown}` was not printed by\n{}\nbut\n{output}",
                step.commands
            );
        }
    }
}

fn is_shown(line: &str, shown: &str) -> bool {
    let mut rest = Some(line);
    for part in shown.split('…') {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
    }
    rest.is_some()
}
