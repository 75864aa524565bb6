//! How the grants of one stream begin and end: a frame at a time, as the worker says it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

use crate::Engine;
use crate::EngineError;
use crate::batch::budget::{Budget, Held};
use crate::domain::frame::{ReasonText, Refused, Report, ReportAnswer, ServerFrame};
use crate::domain::weight::Weight;
use crate::domain::{Lease, Outcome, Refusal};
use crate::settings::OUTAGE_RETRY_DELAY;
use crate::stream::answers::{is_undecided, reason_of};
use crate::stream::connection::Connection;
use crate::stream::results::GrantNews;

/// Reports of one stream that may wait for the database: more than any worker holds runs.
const REPORTS_WAITING: u32 = 20_000;

/// While much is written, how long it waits to be written down that a run has begun: what ends before then needs no write of its
/// own, for its report carries the start.
const START_DELAY: Duration = Duration::from_millis(25);

/// Writes down what a worker says of its grants.
pub struct StreamGrants {
    engine: Arc<Engine>,
    connection: Arc<Connection>,
    /// What waits for the database.
    tasks: TaskTracker,
    /// Room for reports that are not answered.
    reports: Budget,
}

/// A report that is not answered yet.
struct Reported {
    lease: Lease,
    outcome: Arc<Outcome>,
    /// How long the run was executed until `at`.
    started_ago: Duration,
    at: Instant,
    room: Held,
}

impl StreamGrants {
    pub fn new(engine: Arc<Engine>, connection: Arc<Connection>, tasks: TaskTracker) -> Arc<Self> {
        let reports = Budget::new(REPORTS_WAITING);
        Arc::new(Self { engine, connection, tasks, reports })
    }

    /// The worker will execute these: it may start them now, and that is written down as soon as the database takes it.
    pub fn accept(self: &Arc<Self>, leases: &[Lease]) {
        let now = Instant::now();
        let mut grants = self.connection.grants();
        let (mut starts, mut refused) = (Vec::new(), Vec::new());
        for lease in leases {
            match grants.accept(*lease, now) {
                Some(start) => starts.push(start),
                None if grants.started_ago(*lease, now).is_some() => {}
                None => refused.push(*lease),
            }
        }
        drop(grants);
        if !refused.is_empty() {
            self.connection.revoke(refused);
        }
        if starts.is_empty() {
            return;
        }
        let begun: Vec<Lease> = starts.iter().map(|start| start.lease).collect();
        self.engine.metrics.runs_started.inc_by(starts.len() as u64);
        self.connection.send(ServerFrame::Starts(starts));
        self.tasks.spawn(self.clone().begin(begun, now));
    }

    /// Writes down that those have begun that a resume has taken over while their runs were locked.
    pub fn resume(self: &Arc<Self>) {
        let begun = self.connection.grants().take_unwritten();
        if !begun.is_empty() {
            self.tasks.spawn(self.clone().begin(begun, Instant::now()));
        }
    }

    /// Writes down that these have begun, but for those that have been reported meanwhile.
    async fn begin(self: Arc<Self>, begun: Vec<Lease>, at: Instant) {
        let connection = &self.connection;
        if self.engine.results.is_busy(START_DELAY) {
            // A stream that has ended reports nothing more.
            let _ = tokio::time::timeout(START_DELAY, connection.ended().cancelled()).await;
        }
        let still_executed = |leases: Vec<Lease>| -> Vec<Lease> {
            let grants = connection.grants();
            leases.into_iter().filter(|lease| grants.is_executing(*lease)).collect()
        };
        let mut waiting = still_executed(begun);
        while !waiting.is_empty() {
            let news = waiting.iter().map(|lease| GrantNews::Begun { guard: connection.guard(*lease), at });
            let answers = self.engine.results.submit(news.collect()).await;
            let (mut again, mut lost) = (Vec::new(), Vec::new());
            for (lease, answer) in waiting.into_iter().zip(answers) {
                match answer {
                    Err(error) if error.is_passing() => again.push(lease),
                    Err(EngineError::Refused(_)) => lost.push(lease),
                    _ => {}
                }
            }
            // Taken away meanwhile, unless they have ended by their own reports.
            let lost = still_executed(lost);
            if !lost.is_empty() {
                connection.revoke(lost);
            }
            waiting = still_executed(self.later(again).await);
        }
    }

    /// The worker says how these ended. An error ends the stream.
    pub fn report(self: &Arc<Self>, reports: Vec<Result<Report, Refused<Lease>>>) -> Result<(), EngineError> {
        let at = Instant::now();
        let (mut waiting, mut refused) = (Vec::with_capacity(reports.len()), Vec::new());
        let count = self.reports.take(reports.len()).ok_or_else(|| {
            let text = format!("expected no more than {REPORTS_WAITING} reports ahead of their answers");
            Refusal::ProtocolViolation(text)
        })?;
        for report in reports {
            match report {
                Ok(Report { lease, outcome }) => {
                    // Where there is no room the stream ends: the worker keeps what was not answered, and sends it again when it
                    // has resumed.
                    let room = self.engine.stream_bytes.take(outcome.weight()).ok_or(EngineError::Overloaded)?;
                    waiting.push(Reported { lease, outcome: Arc::new(outcome), started_ago: Duration::ZERO, at, room });
                }
                Err(report) => {
                    let text = ReasonText { reason: "INVALID_FIELD", message: report.violations.to_string() };
                    refused.push(ReportAnswer { lease: report.subject, refused: Some(text) });
                }
            }
        }
        // Only now that there is room for all: what counts as reported is not written down as begun any more.
        let mut grants = self.connection.grants();
        for reported in &mut waiting {
            // A grant that was not started on this stream may have ended before, with this very report.
            reported.started_ago = grants.report(reported.lease, at).unwrap_or_default();
        }
        drop(grants);
        // Nothing was said of these that can be understood: their grants stand.
        if !refused.is_empty() {
            self.connection.send(ServerFrame::ReportAcks(refused));
        }
        let grants = self.clone();
        self.tasks.spawn(async move {
            grants.end(waiting).await;
            drop(count);
        });
        Ok(())
    }

    /// Writes down how these ended, and answers each.
    async fn end(&self, mut waiting: Vec<Reported>) {
        while !waiting.is_empty() {
            let news = waiting.iter().map(|reported| {
                let Reported { lease, outcome, started_ago, at, .. } = reported;
                let (guard, outcome) = (self.connection.guard(*lease), outcome.clone());
                GrantNews::Ended { guard, outcome, started_ago: *started_ago, at: *at }
            });
            let verdicts = self.engine.results.submit(news.collect()).await;
            let (mut again, mut answers) = (Vec::new(), Vec::new());
            for (reported, verdict) in waiting.into_iter().zip(verdicts) {
                match verdict.err() {
                    Some(error) if error.is_passing() => again.push(reported),
                    Some(error) if is_undecided(&error) => {}
                    refused => {
                        let refused = refused.as_ref().map(reason_of);
                        answers.push(ReportAnswer { lease: reported.lease, refused });
                        drop(reported.room);
                    }
                }
            }
            self.answer(answers);
            waiting = self.later(again).await;
        }
    }

    /// What is to be tried again, when that may be; nothing if the stream has ended: its worker sends it again.
    async fn later<T>(&self, again: Vec<T>) -> Vec<T> {
        if again.is_empty() || self.connection.ended().is_cancelled() {
            return Vec::new();
        }
        tokio::time::sleep(OUTAGE_RETRY_DELAY).await;
        again
    }

    /// Answers reports, whose grants have ended.
    fn answer(&self, answers: Vec<ReportAnswer>) {
        if answers.is_empty() {
            return;
        }
        let mut grants = self.connection.grants();
        answers.iter().for_each(|answer| {
            grants.end(answer.lease);
        });
        drop(grants);
        self.connection.send(ServerFrame::ReportAcks(answers));
    }
}
