//! Examines by the metrics of a running server whether workers accept what they are sent.

use server::doctor::{Examination, Finding};

/// Adds the finding about runs that no worker accepts in the answer of `/metrics`.
pub(super) fn examine(metrics: &str, found: &mut Examination) {
    let samples = metrics.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix("ops_runs{")?.split_once("} ")?;
        labels.contains("state=\"undelivered\"").then(|| value.parse::<f64>().ok())?
    });
    let waiting: f64 = samples.sum();
    if waiting > 0.0 {
        found.add(Finding::warning(
            "runs-undelivered",
            format!("{waiting} runs wait because they were sent to workers ten times and not accepted"),
            "workers are connected that do not read or do not accept what they are sent, and others get these runs late",
            "the server's log names the workers: look for `runs were not accepted in time`; restart them, and see whether a proxy \
             before the server holds messages back",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(metrics: &str) -> Vec<(&'static str, String)> {
        let mut found = Examination::default();
        examine(metrics, &mut found);
        found.findings.into_iter().map(|it| (it.id, it.what)).collect()
    }

    #[test]
    fn runs_that_no_worker_accepts_have_a_finding() {
        let metrics = |undelivered: u32| {
            format!(
                "# TYPE ops_runs gauge\nops_runs{{lane=\"A\",state=\"ready\"}} 7\n\
                 ops_runs{{lane=\"A\",state=\"undelivered\"}} {undelivered}\nops_runs{{lane=\"B\",state=\"undelivered\"}} 0\n"
            )
        };
        assert_eq!(findings(&metrics(0)), []);
        let found = findings(&metrics(3));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "runs-undelivered");
        assert!(found[0].1.starts_with("3 runs wait"), "{found:?}");
        assert_eq!(findings("{\"status\":\"alive\"}"), []);
    }
}
