//! All figures, as a table and as JSON.

use std::fmt;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::deployment::Bench;
use crate::figure::{Figure, Target};
use crate::machine::Machine;
use crate::scenarios::Scenario;

#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    lines: Vec<Line>,
    #[serde(skip)]
    abouts: Vec<(&'static str, &'static str)>,
}

/// One figure with the values of all runs.
#[derive(Debug, Serialize)]
struct Line {
    scenario: &'static str,
    figure: String,
    unit: &'static str,
    target: Option<Target>,
    /// In the order of the runs.
    values: Vec<f64>,
    median: f64,
}

impl Line {
    fn add(&mut self, value: f64) {
        self.values.push(value);
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        self.median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    }

    fn range(&self) -> String {
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{} to {}", number(least), number(most))
    }
}

impl Report {
    pub async fn new(bench: &Bench) -> Result<Self> {
        Ok(Self { machine: Machine::of(bench).await?, lines: Vec::new(), abouts: Vec::new() })
    }

    /// Adds the figures of one run of a scenario.
    pub fn add(&mut self, scenario: &Scenario, figures: Vec<Figure>) {
        if !self.abouts.iter().any(|(name, _)| *name == scenario.name) {
            self.abouts.push((scenario.name, scenario.about));
        }
        for Figure { name, unit, value, target } in figures {
            let is_it = |line: &&mut Line| line.scenario == scenario.name && line.figure == name;
            if let Some(line) = self.lines.iter_mut().find(is_it) {
                line.add(value);
            } else {
                let mut line =
                    Line { scenario: scenario.name, figure: name, unit, target, values: Vec::new(), median: 0.0 };
                line.add(value);
                self.lines.push(line);
            }
        }
    }

    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, memory_gib, kernel, postgres, postgres_settings, commit_us, ops, load } =
            &self.machine;
        writeln!(
            f,
            "ops {ops}, PostgreSQL {postgres}, {cores} cores of {processor}, {memory_gib} GiB, Linux {kernel}; load {load}"
        )?;
        writeln!(
            f,
            "PostgreSQL with {}; one row is committed in {commit_us:.0} us; everything on this machine\n",
            postgres_settings.join(" ")
        )?;
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["scenario", "figure", "median", "unit", "least to most", "to reach", ""]);
        for line in &self.lines {
            let (target, verdict) = match line.target {
                Some(target) => (target_text(target), if target.is_met(line.median) { "met" } else { "NOT met" }),
                None => (String::new(), ""),
            };
            let cells = [line.scenario, &line.figure, &number(line.median), line.unit, &line.range(), &target, verdict];
            table.add_row(cells.map(str::to_owned));
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}\n")?;
        self.abouts.iter().try_for_each(|(name, about)| writeln!(f, "{name}: {about}"))
    }
}

fn target_text(target: Target) -> String {
    match target {
        Target::AtLeast(least) => format!("at least {}", number(least)),
        Target::AtMost(most) => format!("at most {}", number(most)),
    }
}

/// The value with three significant digits; the runs agree in fewer.
fn number(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude >= 1_000.0 => {
            let digits = format!("{:.0}", value.abs());
            let groups: Vec<&str> = digits
                .as_bytes()
                .rchunks(3)
                .rev()
                .map(|group| std::str::from_utf8(group).unwrap_or_default())
                .collect();
            format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(","))
        }
        magnitude if magnitude >= 100.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_groups_of_three() {
        let numbers = [1_234_567.8, 1_000.0, 999.4, 99.94, 1.234, 0.0, -12_345.0].map(number);
        assert_eq!(numbers, ["1,234,568", "1,000", "999", "99.9", "1.23", "0.00", "-12,345"]);
    }

    #[test]
    fn the_median_is_the_middle_value() {
        let mut line =
            Line { scenario: "", figure: String::new(), unit: "", target: None, values: Vec::new(), median: 0.0 };
        for (value, median) in [(5.0, 5.0), (1.0, 3.0), (9.0, 5.0)] {
            line.add(value);
            assert!((line.median - median).abs() < 1e-9);
        }
    }
}
