//! Sessions as text for people.

use proto::v1::{Session, SessionStatus};

use super::{
    Record,
    table::{Cell, Tone},
    times,
};

impl Record for Session {
    const NAME: &'static str = "Session";
    const COLUMNS: &'static [&'static str] =
        &["ID", "STATUS", "RUNS", "OPEN", "SUCCEEDED", "FAILED", "CANCELLED", "AGE", "NAME"];
    const SPARE: &'static [&'static str] = &["CANCELLED", "SUCCEEDED", "RUNS", "AGE", "FAILED", "OPEN", "NAME"];

    fn id(&self) -> &str {
        &self.id
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            Cell::text(&self.id),
            Cell::coloured(&status(self), tone(self)),
            Cell::number(self.total_runs),
            Cell::number(open(self)),
            Cell::number(self.succeeded_runs),
            Cell::number(self.failed_runs),
            Cell::number(self.cancelled_runs),
            Cell::text(&times::since(self.create_time.as_ref()).map(times::age).unwrap_or_default()),
            Cell::text(&self.name),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let runs = format!(
            "{} ({} open, {} succeeded, {} failed, {} cancelled)",
            self.total_runs,
            open(self),
            self.succeeded_runs,
            self.failed_runs,
            self.cancelled_runs
        );
        vec![
            ("Session", self.id.clone()),
            ("Name", self.name.clone()),
            ("Description", self.description.clone()),
            ("Triggered by", self.triggered_by.clone()),
            ("Status", status(self)),
            ("Runs", runs),
            ("Context", self.context_json.clone()),
            ("Created", times::absolute(self.create_time.as_ref())),
            ("Updated", times::absolute(self.update_time.as_ref())),
            ("Closed", times::absolute(self.close_time.as_ref())),
        ]
    }
}

/// Runs that have not ended.
fn open(session: &Session) -> i64 {
    session.total_runs - session.succeeded_runs - session.failed_runs - session.cancelled_runs
}

fn status(session: &Session) -> String {
    match session.status() {
        SessionStatus::Active if session.close_time.is_some() => "active, closed",
        SessionStatus::Active => "active",
        SessionStatus::Completed => "completed",
        SessionStatus::Cancelled => "cancelled",
        SessionStatus::Unspecified => "unknown",
    }
    .to_owned()
}

fn tone(session: &Session) -> Tone {
    match session.status() {
        SessionStatus::Active => Tone::Busy,
        SessionStatus::Completed => Tone::Good,
        SessionStatus::Cancelled | SessionStatus::Unspecified => Tone::Quiet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_session_whose_runs_have_not_ended_says_both() {
        let mut session =
            Session { status: SessionStatus::Active.into(), total_runs: 5, failed_runs: 2, ..Session::default() };
        assert_eq!(status(&session), "active");
        session.close_time = Some(prost_types::Timestamp::default());
        assert_eq!(status(&session), "active, closed");
        assert_eq!(open(&session), 3);
        assert_eq!(session.row().len(), Session::COLUMNS.len());
    }
}
