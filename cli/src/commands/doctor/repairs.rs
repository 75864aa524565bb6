//! Examines by the metrics of a running server whether its repairs succeed.

use server::doctor::{Examination, Finding, Severity};

use crate::output::text;

/// A repair is overdue if it has not succeeded for this long. The longest period of a repair is 30 s.
const OVERDUE_S: f64 = 120.0;

/// The repair that wakes others.
const POLL: &str = "poll";

/// The metrics of a repair.
#[derive(Debug, PartialEq)]
struct Repair<'a> {
    name: &'a str,
    is_failing: bool,
    failures: f64,
    age_s: f64,
}

impl Repair<'_> {
    fn is_overdue(&self) -> bool {
        self.age_s > OVERDUE_S
    }

    fn is_well(&self) -> bool {
        !self.is_failing && !self.is_overdue()
    }
}

/// Adds the findings about the repairs in the answer of `/metrics`. A server of an older version has none.
pub(super) fn examine(metrics: &str, found: &mut Examination) {
    let repairs = read(metrics);
    if repairs.is_empty() {
        return;
    }
    let well = repairs.iter().filter(|repair| repair.is_well()).count();
    found.fact("repairs", format!("{well} of {} succeed", repairs.len()));
    // While the poll does not succeed, it wakes no other repair, and these grow old with it.
    let is_polled = repairs.iter().all(|repair| repair.name != POLL || repair.is_well());
    for repair in repairs.iter().filter(|repair| is_polled || repair.is_failing || repair.name == POLL) {
        if !repair.is_well() {
            found.add(finding(repair));
        }
    }
}

/// The repairs in a text that Prometheus reads.
fn read(metrics: &str) -> Vec<Repair<'_>> {
    let samples = |metric: &'static str| {
        metrics.lines().filter_map(move |line| {
            let (name, value) = line.strip_prefix(metric)?.strip_prefix("{repair=\"")?.split_once("\"} ")?;
            Some((name, value.parse::<f64>().ok()?))
        })
    };
    let value = |metric, of: &str| samples(metric).find(|(name, _)| *name == of).map_or(0.0, |(_, value)| value);
    let repair = |(name, age_s)| Repair {
        name,
        is_failing: value("ops_repair_failing", name) > 0.0,
        failures: value("ops_repair_failures_total", name),
        age_s,
    };
    samples("ops_repair_age_seconds").map(repair).collect()
}

fn finding(repair: &Repair<'_>) -> Finding {
    let name = text::line(repair.name);
    let (severity, why) = consequence(repair.name);
    let failures = format!("{} of its tries have failed since the server started", repair.failures);
    let mend = format!(
        "the server's log says why it fails: look for `repair={name}`; `ops doctor --database-url ...` examines the database"
    );
    if repair.is_overdue() {
        let what = format!("the repair {name} has not succeeded for {:.0} s; {failures}", repair.age_s);
        Finding::new(severity, "repair-overdue", what, why, mend)
    } else {
        let what = format!("the last try of the repair {name} failed; {failures}");
        Finding::warning("repair-failing", what, why, mend)
    }
}

/// How bad it is if a repair does not succeed for long, and why.
fn consequence(repair: &str) -> (Severity, &'static str) {
    match repair {
        POLL => (Severity::Error, "the server does not find what there is to repair, nor work of which no wakeup came"),
        "clock" => {
            (Severity::Error, "after the clock of the database went back, leases, cancels and waits last longer")
        }
        "recovery" => (Severity::Error, "the runs of workers that have died are neither offered again nor failed"),
        "cancels" => (Severity::Error, "cancelled runs whose worker does not confirm it stay as they are"),
        "counters" => (Severity::Error, "closed sessions do not complete, and reading a session gets slower"),
        "due" => (Severity::Error, "runs for later and snoozed runs are not offered when their time comes"),
        "vacuum" => (Severity::Warning, "dead rows stay in the queue, and each claim reads past them"),
        "backlog" => (Severity::Warning, "the metrics of waiting runs and of foreign transactions are old"),
        "retention" => (Severity::Warning, "old changes and request ids are not deleted, and their tables grow"),
        _ => (Severity::Warning, "what it repairs stays as it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(repairs: &[(&str, u8, u32, f64)]) -> String {
        let mut text =
            "# HELP ops_repair_age_seconds Since\n# TYPE ops_repair_age_seconds gauge\nops_streams 3\n".to_owned();
        for (name, failing, failures, age) in repairs {
            text += &format!("ops_repair_age_seconds{{repair=\"{name}\"}} {age}\n");
            text += &format!("ops_repair_failing{{repair=\"{name}\"}} {failing}\n");
            text += &format!("ops_repair_failures_total{{repair=\"{name}\"}} {failures}\n");
        }
        text
    }

    fn examined(metrics: &str) -> Examination {
        let mut found = Examination::default();
        examine(metrics, &mut found);
        found
    }

    fn findings(repairs: &[(&str, u8, u32, f64)]) -> Vec<(&'static str, Severity, String)> {
        let findings = examined(&metrics(repairs)).findings;
        findings.into_iter().map(|it| (it.id, it.severity, it.what)).collect()
    }

    #[test]
    fn repairs_that_succeed_have_no_finding_whatever_they_have_failed_before() {
        assert_eq!(findings(&[("poll", 0, 7, 0.9), ("retention", 0, 0, 30.2), ("vacuum", 0, 1, 119.0)]), []);
        let found = examined(&metrics(&[("poll", 0, 0, 0.0), ("due", 1, 1, 3.0)]));
        assert_eq!(found.facts[0].value, "1 of 2 succeed");
    }

    #[test]
    fn a_repair_that_fails_and_one_that_has_not_succeeded_for_long_have_findings() {
        let found =
            findings(&[("poll", 0, 0, 0.5), ("due", 1, 3, 3.0), ("recovery", 1, 400, 400.4), ("vacuum", 0, 0, 130.0)]);
        let what = |what: &str| what.to_owned() + " since the server started";
        let expected = [
            (
                "repair-failing",
                Severity::Warning,
                what("the last try of the repair due failed; 3 of its tries have failed"),
            ),
            (
                "repair-overdue",
                Severity::Error,
                what("the repair recovery has not succeeded for 400 s; 400 of its tries have failed"),
            ),
            (
                "repair-overdue",
                Severity::Warning,
                what("the repair vacuum has not succeeded for 130 s; 0 of its tries have failed"),
            ),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn repairs_that_nobody_wakes_are_not_blamed() {
        let found = findings(&[("recovery", 0, 0, 300.0), ("poll", 0, 0, 300.0), ("backlog", 1, 60, 300.0)]);
        let blamed: Vec<_> = found.iter().map(|(_, _, what)| what.split(' ').nth(2).unwrap_or_default()).collect();
        assert_eq!(blamed, ["poll", "backlog"]);
    }

    #[test]
    fn an_answer_without_repairs_says_nothing() {
        for text in ["", "{\"status\":\"alive\"}", "ops_repair_age_seconds 3\nops_repair_age_seconds{repair=\"x\n"] {
            assert!(examined(text).facts.is_empty() && examined(text).findings.is_empty(), "{text}");
        }
    }
}
