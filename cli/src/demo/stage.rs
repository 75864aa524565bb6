//! The runs of the demonstration, as its watch shows them: a line for each change.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use client::{Begin, Client, RunFeed, runs_of};
use proto::v1::{
    CancelRunRequest, EnqueueRunRequest, EnqueueRunsRequest, Run, RunFilter, RunSpec, RunStatus, Session,
    watch_runs_response::Event,
};

use super::{
    folders::Folders,
    work::{ENDLESS, HEALTH, NAME_LABEL, PIECES, PROBE, Piece, health},
};
use crate::{
    args::target::ServerAddress,
    connection,
    exit::Exit,
    output::{self, text, times},
};

/// The endless run is cancelled after this many others have ended, so that it visibly runs beside them. With fewer
/// slots it is cancelled earlier, because it takes one slot for itself.
const ENDED_BEFORE_CANCEL: usize = 4;

/// A session, and what its watch has shown so far.
#[derive(Debug)]
pub(super) struct Stage {
    feed: RunFeed,
    session_id: String,
    began: Instant,
    deadline: Instant,
    runs: BTreeMap<String, Run>,
}

impl Stage {
    /// Starts the watch. Every wait ends at `deadline`.
    pub(super) async fn open(client: &Client, session_id: &str, deadline: Instant) -> Result<Self> {
        let filter = RunFilter { session_id: session_id.to_owned(), ..RunFilter::default() };
        let feed = client.follow_runs(filter, Begin::Snapshot, connection::retry_budget()).await;
        let feed = feed.context("can not watch the session")?;
        let session_id = session_id.to_owned();
        let mut stage = Self { feed, session_id, began: Instant::now(), deadline, runs: BTreeMap::new() };
        while !matches!(stage.next("the snapshot").await?, Event::SnapshotComplete(_)) {}
        stage.began = Instant::now();
        Ok(stage)
    }

    /// Enqueues all pieces in one transaction, and returns their ids in the same order.
    pub(super) async fn enqueue_all(&self, client: &Client, folders: &Folders) -> Result<Vec<String>> {
        let runs: Vec<_> =
            PIECES.iter().map(|piece| piece.spec(&self.session_id, &folders.src, &folders.out)).collect();
        let answer =
            client.runs().enqueue_runs(EnqueueRunsRequest { runs }).await.context("can not enqueue the runs")?;
        let run_ids = answer.into_inner().run_ids;
        ensure!(
            run_ids.len() == PIECES.len(),
            "{} runs were enqueued, and {} ids came back",
            PIECES.len(),
            run_ids.len()
        );
        Ok(run_ids)
    }

    /// Enqueues one piece, watches it until it has ended, and returns its id.
    pub(super) async fn enqueue(&mut self, client: &Client, piece: &Piece, folders: &Folders) -> Result<String> {
        let run = piece.spec(&self.session_id, &folders.src, &folders.out);
        self.enqueue_run(client, run).await.with_context(|| format!("can not enqueue {}", piece.name))
    }

    /// Asks for the server's health by a run of the kind `http`.
    pub(super) async fn ask_health(&mut self, client: &Client, address: &ServerAddress) -> Result<()> {
        let run = health(&self.session_id, address);
        self.enqueue_run(client, run).await.with_context(|| format!("can not enqueue {HEALTH}"))?;
        self.check_run(HEALTH, RunStatus::Succeeded)
    }

    async fn enqueue_run(&mut self, client: &Client, run: RunSpec) -> Result<String> {
        let answer = client.runs().enqueue_run(EnqueueRunRequest { run: Some(run) }).await?;
        let run_id = answer.into_inner().run.context("the server enqueued no run")?.id;
        self.until_ended(std::slice::from_ref(&run_id)).await?;
        Ok(run_id)
    }

    /// Enqueues the probe `times` times, one after the other, and returns the ids.
    pub(super) async fn probe(&mut self, client: &Client, folders: &Folders, times: usize) -> Result<Vec<String>> {
        let mut run_ids = Vec::with_capacity(times);
        for _ in 0..times {
            run_ids.push(self.enqueue(client, &PROBE, folders).await?);
        }
        self.check(&[PROBE])?;
        Ok(run_ids)
    }

    /// Cancels the endless run while it runs beside others. Returns the time from the call to the change in the watch.
    pub(super) async fn cancel_endless(&mut self, client: &Client, slots: usize) -> Result<Duration> {
        self.until("the endless run to begin", |stage| stage.is(ENDLESS.name, RunStatus::Running)).await?;
        self.until("some runs to end", |stage| stage.ended() >= ENDED_BEFORE_CANCEL.min(slots)).await?;
        let run = self.run(ENDLESS.name).context("the endless run was not seen")?;
        let reason = "the demonstration is done with it".to_owned();
        let request = CancelRunRequest { run_id: run.id.clone(), reason, ..CancelRunRequest::default() };
        let asked = Instant::now();
        client.runs().cancel_run(request).await.context("can not cancel the endless run")?;
        self.until("the endless run to stop", |stage| stage.run(ENDLESS.name).and_then(Exit::of_run).is_some()).await?;
        let took = asked.elapsed();
        let cancellation = self.run(ENDLESS.name).and_then(|run| run.cancellation.as_ref());
        ensure!(
            cancellation.and_then(|cancellation| cancellation.confirmed) == Some(true),
            "the endless run was cancelled, but its worker did not confirm that it stopped"
        );
        Ok(took)
    }

    pub(super) async fn until_ended(&mut self, run_ids: &[String]) -> Result<()> {
        let has_ended = |stage: &Self, id: &String| stage.runs.get(id).and_then(Exit::of_run).is_some();
        self.until("all runs to end", |stage| run_ids.iter().all(|id| has_ended(stage, id))).await
    }

    /// Fails unless the watch has shown each piece with its expected end.
    pub(super) fn check(&self, pieces: &[Piece]) -> Result<()> {
        pieces.iter().try_for_each(|piece| self.check_run(piece.name, piece.expected))
    }

    fn check_run(&self, name: &str, expected: RunStatus) -> Result<()> {
        let run = self.run(name).with_context(|| format!("the run {name} was not seen"))?;
        ensure!(
            run.status() == expected,
            "the run {name} should be {}, and is {}: {}\nits log: ops run logs {}",
            expected.as_str_name(),
            run.status().as_str_name(),
            output::note(run),
            run.id
        );
        Ok(())
    }

    /// Fails unless the counters of the session match the watch.
    pub(super) fn check_counters(&self, session: &Session) -> Result<()> {
        let count = |status| self.runs.values().filter(|run| run.status() == status).count();
        let seen =
            [self.runs.len(), count(RunStatus::Succeeded), count(RunStatus::Failed), count(RunStatus::Cancelled)];
        let counted = [session.total_runs, session.succeeded_runs, session.failed_runs, session.cancelled_runs];
        ensure!(
            seen.map(|count| i64::try_from(count).unwrap_or(i64::MAX)) == counted,
            "the watch has seen {seen:?} runs (all, succeeded, failed, cancelled), and the session counts {counted:?}"
        );
        Ok(())
    }

    /// The time from enqueue to start of each of these runs.
    pub(super) fn starts(&self, run_ids: &[String]) -> Vec<Duration> {
        let runs = run_ids.iter().filter_map(|id| self.runs.get(id));
        runs.filter_map(|run| times::between(run.create_time.as_ref(), run.start_time.as_ref())).collect()
    }

    pub(super) fn run(&self, name: &str) -> Option<&Run> {
        self.runs.values().rfind(|run| self::name(run) == name)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn is(&self, name: &str, status: RunStatus) -> bool {
        self.run(name).is_some_and(|run| run.status() == status)
    }

    fn ended(&self) -> usize {
        self.runs.values().filter_map(Exit::of_run).count()
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        while !done(self) {
            self.next(what).await?;
        }
        Ok(())
    }

    async fn next(&mut self, what: &str) -> Result<Event> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let message = match tokio::time::timeout(left, self.feed.next()).await {
            Ok(message) => message.context("the watch was lost")?,
            Err(_) => bail!("waited too long for {what}; {}", self.open_runs()),
        };
        let event = message.event.ok_or_else(|| anyhow!("the watch sent an empty message"))?;
        for run in runs_of(&event) {
            if self.runs.get(&run.id).is_none_or(|seen| seen.revision < run.revision) {
                output::print(line(self.began.elapsed(), run))?;
                self.runs.insert(run.id.clone(), run.clone());
            }
        }
        Ok(event)
    }

    fn open_runs(&self) -> String {
        let open = self.runs.values().filter(|run| Exit::of_run(run).is_none());
        let names: Vec<_> = open.map(|run| format!("{} ({}) is {}", name(run), run.id, output::status(run))).collect();
        if names.is_empty() { "no run is open".to_owned() } else { names.join(", ") }
    }
}

fn name(run: &Run) -> &str {
    run.labels.get(NAME_LABEL).map_or("", String::as_str)
}

fn line(at: Duration, run: &Run) -> String {
    let line = format!(
        "{:>7.3} s  lane {}  priority {:>2}  {:<12}  {:<9}  {}",
        at.as_secs_f64(),
        output::lane(run),
        run.priority,
        text::line(name(run)),
        output::status(run),
        text::line(&output::note(run)),
    );
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_aligned_line() {
        let run = Run {
            lane: proto::v1::Lane::B.into(),
            priority: 60,
            status: RunStatus::Succeeded.into(),
            labels: BTreeMap::from([(NAME_LABEL.to_owned(), "compress".to_owned())]),
            ..Run::default()
        };
        let line = line(Duration::from_millis(1_234), &run);
        assert_eq!(line, "  1.234 s  lane B  priority 60  compress      succeeded\n");
    }
}
