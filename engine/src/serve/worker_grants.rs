//! Writes what a worker reports of its grants: which it accepts, and how they end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio_util::task::TaskTracker;

use crate::Engine;
use crate::EngineError;
use crate::batch::budget::{Budget, Held};
use crate::db::Class;
use crate::domain::frame::{Refused, Rejection, Report, ReportAnswer, ServerFrame};
use crate::domain::weight::Weight;
use crate::domain::{GrantKey, Outcome, Refusal};
use crate::serve::answers::rejection;
use crate::settings::OUTAGE_RETRY_DELAY;
use crate::store::run::guard::Guard;
use crate::store::run::release::{Release, run_claimed_for_replaced};
use crate::stream::connection::Connection;
use crate::stream::grants::Reporting;
use crate::stream::results::GrantNews;
use crate::wakeups::Topic;

/// How many reports of one stream may wait for the database: more than any worker holds runs.
const REPORTS_WAITING: u32 = 20_000;

/// How long a start waits to be written while the results' batches are busy. A run that ends meanwhile needs no write for its start: its
/// report carries the start.
const START_DELAY: Duration = Duration::from_millis(25);

/// Writes what one worker reports of its grants.
pub struct WorkerGrants {
    engine: Arc<Engine>,
    connection: Arc<Connection>,
    /// One task for each write that waits for the database.
    tasks: TaskTracker,
    /// Bounds the reports that are not answered yet.
    reports: Budget,
}

/// A report that is not answered yet.
struct Reported {
    grant: GrantKey,
    outcome: Arc<Outcome>,
    /// How long before `at` the run started, if it started on this stream.
    started_ago: Option<Duration>,
    at: Instant,
    room: Held,
}

impl WorkerGrants {
    pub fn new(engine: Arc<Engine>, connection: Arc<Connection>, tasks: TaskTracker) -> Arc<Self> {
        let reports = Budget::new(REPORTS_WAITING);
        Arc::new(Self { engine, connection, tasks, reports })
    }

    /// The worker accepts these grants. It may start them at once; the starts are written as soon as the database takes them.
    pub fn accept(self: &Arc<Self>, accepted: &[GrantKey]) {
        let now = Instant::now();
        let mut grants = self.connection.grants();
        let (mut starts, mut refused) = (Vec::new(), Vec::new());
        for grant in accepted {
            match grants.accept(*grant, now) {
                Some(start) => starts.push(start),
                None if grants.started_ago(*grant, now).is_some() => {}
                None => refused.push(*grant),
            }
        }
        drop(grants);
        if !refused.is_empty() {
            self.connection.revoke(refused);
        }
        if starts.is_empty() {
            return;
        }
        let started: Vec<GrantKey> = starts.iter().map(|start| start.grant).collect();
        self.engine.metrics.runs_started.inc_by(starts.len() as u64);
        self.connection.send(ServerFrame::Starts(starts));
        self.engine.dispatcher.accepted();
        self.tasks.spawn(self.clone().write_starts(started, now));
    }

    /// Writes the starts that the resume could not write, because other transactions locked the runs.
    pub fn resume(self: &Arc<Self>) {
        let started = self.connection.grants().take_unwritten();
        if !started.is_empty() {
            self.tasks.spawn(self.clone().write_starts(started, Instant::now()));
        }
    }

    /// Writes these starts, without those that the worker reports meanwhile.
    async fn write_starts(self: Arc<Self>, started: Vec<GrantKey>, at: Instant) {
        let connection = &self.connection;
        if self.engine.results.is_busy(START_DELAY) {
            // No report comes after the end of the stream, so there is nothing to wait for.
            let _ = tokio::time::timeout(START_DELAY, connection.ended().cancelled()).await;
        }
        let still_executed = |keys: Vec<GrantKey>| -> Vec<GrantKey> {
            let grants = connection.grants();
            keys.into_iter().filter(|grant| grants.is_executing(*grant)).collect()
        };
        let mut waiting = still_executed(started);
        while !waiting.is_empty() {
            let news = waiting.iter().map(|grant| GrantNews::Started { guard: connection.guard(*grant), at });
            let answers = self.engine.results.submit(news.collect()).await;
            let (mut again, mut lost) = (Vec::new(), Vec::new());
            for (grant, answer) in waiting.into_iter().zip(answers) {
                match answer {
                    Err(error) if error.is_passing() => again.push(grant),
                    Err(EngineError::Refused(_)) => lost.push(grant),
                    _ => {}
                }
            }
            // A grant that ended by its own report is not lost.
            let lost = still_executed(lost);
            if !lost.is_empty() {
                connection.revoke(lost.clone());
                self.give_back_replaced(&lost).await;
            }
            waiting = still_executed(self.later(again).await);
        }
    }

    /// Gives back the grants whose starts were refused because the worker has a newer stream, and lets the stream end.
    async fn give_back_replaced(&self, lost: &[GrantKey]) {
        self.engine.wakeups.give_here(Topic::Streams);
        let guards: Vec<Guard> = lost.iter().map(|grant| self.connection.guard(*grant)).collect();
        let claimed = self
            .engine
            .db(Class::Engine)
            .read(guards.clone(), |c, guards| run_claimed_for_replaced(c, guards).boxed())
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "grants of a replaced stream are left to their leases");
                Vec::new()
            });
        let release = |guard| Release { guard, started_too: false, undelivered: false, unanswered: None };
        let claimed = guards.into_iter().filter(|guard| claimed.contains(&guard.grant.run_id));
        self.engine.releases.give_back(claimed.map(release).collect());
    }

    /// The worker reports how grants ended. An error ends the stream.
    pub fn report(self: &Arc<Self>, reports: Vec<Result<Report, Refused<GrantKey>>>) -> Result<(), EngineError> {
        let at = Instant::now();
        let (mut waiting, mut refused) = (Vec::with_capacity(reports.len()), Vec::new());
        let count = self.reports.take(reports.len()).ok_or_else(|| {
            let text = format!("expected no more than {REPORTS_WAITING} reports ahead of their answers");
            Refusal::ProtocolViolation(text)
        })?;
        for report in reports {
            match report {
                Ok(Report { grant, outcome }) => {
                    // Without room the stream ends. The worker keeps the reports that were not answered, and sends them again
                    // after its resume.
                    let room = self.engine.stream_bytes.take(outcome.weight()).ok_or(EngineError::Overloaded)?;
                    waiting.push(Reported { grant, outcome: Arc::new(outcome), started_ago: None, at, room });
                }
                Err(report) => {
                    let rejected = Some(Rejection::Invalid(report.violations.to_string()));
                    refused.push(ReportAnswer { grant: report.subject, rejected });
                }
            }
        }
        // Mark them only once there is room for all: the start of a grant that is marked as reported is not written.
        let mut grants = self.connection.grants();
        waiting.retain_mut(|reported| match grants.report(reported.grant, at) {
            Reporting::Started { ago } => {
                reported.started_ago = Some(ago);
                true
            }
            // It may have ended earlier, with the same report.
            Reporting::Unknown => true,
            Reporting::TooEarly => {
                let GrantKey { run_id, fence } = reported.grant;
                let text = format!("expected no report of run {run_id} with fence {fence} before its Start");
                let rejected = Some(Rejection::Refused(Refusal::ProtocolViolation(text)));
                refused.push(ReportAnswer { grant: reported.grant, rejected });
                false
            }
        });
        drop(grants);
        // These reports are not written: their grants stand.
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

    /// Writes these reports, and answers each.
    async fn end(&self, mut waiting: Vec<Reported>) {
        while !waiting.is_empty() {
            let news = waiting.iter().map(|reported| {
                let Reported { grant, outcome, started_ago, at, .. } = reported;
                let (guard, outcome) = (self.connection.guard(*grant), outcome.clone());
                GrantNews::Ended { guard, outcome, started_ago: *started_ago, at: *at }
            });
            let verdicts = self.engine.results.submit(news.collect()).await;
            let (mut again, mut answers) = (Vec::new(), Vec::new());
            for (reported, verdict) in waiting.into_iter().zip(verdicts) {
                let rejected = match verdict {
                    Ok(()) => None,
                    Err(error) if error.is_passing() => {
                        again.push(reported);
                        continue;
                    }
                    Err(error) => match rejection(&error) {
                        None => continue,
                        rejected => rejected,
                    },
                };
                answers.push(ReportAnswer { grant: reported.grant, rejected });
                drop(reported.room);
            }
            self.answer(answers);
            waiting = self.later(again).await;
        }
    }

    /// Waits before the next try. Empty if the stream has ended: its worker sends the same again after its resume.
    async fn later<T>(&self, again: Vec<T>) -> Vec<T> {
        if again.is_empty() || self.connection.ended().is_cancelled() {
            return Vec::new();
        }
        tokio::time::sleep(OUTAGE_RETRY_DELAY).await;
        again
    }

    /// Answers reports. Their grants have ended.
    fn answer(&self, answers: Vec<ReportAnswer>) {
        if answers.is_empty() {
            return;
        }
        let mut grants = self.connection.grants();
        for answer in &answers {
            grants.end(answer.grant);
        }
        drop(grants);
        self.connection.send(ServerFrame::ReportAcks(answers));
    }
}
