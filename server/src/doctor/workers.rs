//! Workers that take no runs because they lack something on their machine.

use crate::doctor::finding::{Examination, Finding};
use crate::doctor::reach::name;
use crate::doctor::session::{ReadError, Session};

/// The first ones; the others lack the same.
const WORKERS: &str = "SELECT name, left(pause_reason, 500), \
     greatest(extract(epoch FROM paused_until - clock_timestamp()), 0)::float8 \
     FROM ops.workers WHERE state = 'active' AND pause_reason IS NOT NULL ORDER BY id LIMIT 20";

pub async fn check(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let paused: Vec<(String, String, f64)> = match session.rows_as(Some("ops_engine"), WORKERS).await {
        // The checks of roles and of the schema say so.
        Err(error) if matches!(error.code().as_deref(), Some("42501" | "42P01" | "42703" | "22023" | "3F000")) => {
            return Ok(());
        }
        answer => answer?,
    };
    for (worker, reason, seconds) in paused {
        found.add(Finding::warning(
            "worker-paused",
            format!("worker {} takes no runs for {seconds:.0} s: {reason}", name(&worker)),
            "its machine lacks what every run needs; it gives runs back and tries again, up to a minute later each time",
            "raise what it lacks (ulimit -n and -u, TasksMax and LimitNOFILE of its unit, the memory of its container), or \
             give it fewer --slots",
        ));
    }
    Ok(())
}
