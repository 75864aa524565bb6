//! A watcher: follows runs, and resumes by its token on any server that answers.

use std::time::Duration;

use anyhow::Result;
use proto::v1::watch_runs_response::Event;
use proto::v1::{Lane, Run, RunFilter, WatchRunsRequest, WatchRunsResponse};
use tokio::sync::watch;
use tonic::{Code, Streaming};
use uuid::Uuid;

use super::Caller;
use super::caller::Failure;
use crate::history::{Filter, Recorder, Status, What};

/// Bookmarks come every 5 s. A stream that is silent for this time is lost.
const SILENCE: Duration = Duration::from_secs(12);

/// One watcher.
#[derive(Debug)]
pub struct Watcher {
    name: String,
    caller: Caller,
    recorder: Recorder,
    filter: Filter,
    token: String,
    bookmarks: watch::Sender<u64>,
}

impl Watcher {
    pub fn new(name: &str, caller: Caller, recorder: Recorder, filter: Filter) -> Self {
        Self {
            name: name.to_owned(),
            caller,
            recorder,
            filter,
            token: String::new(),
            bookmarks: watch::Sender::default(),
        }
    }

    /// How many bookmarks it has received.
    pub fn bookmarks(&self) -> watch::Receiver<u64> {
        self.bookmarks.subscribe()
    }

    /// Watches until `settled`, and then until the next bookmark.
    ///
    /// # Errors
    ///
    /// Its history can not be written.
    pub async fn run(mut self, mut settled: watch::Receiver<bool>) -> Result<()> {
        loop {
            match self.open().await? {
                Ok(stream) => {
                    if self.follow(stream, &mut settled).await? {
                        return Ok(self.recorder.record(What::WatchSettled { watcher: self.name.clone() })?);
                    }
                }
                Err(failure) => {
                    if failure.reason == "REVISION_COMPACTED" {
                        self.token.clear();
                    }
                    self.lost(failure.code)?;
                    tokio::time::sleep(failure.delay).await;
                }
            }
        }
    }

    async fn open(&mut self) -> Result<Result<Streaming<WatchRunsResponse>, Failure>> {
        let is_resumed = !self.token.is_empty();
        let request = WatchRunsRequest {
            filter: Some(wire(&self.filter)),
            resume_token: self.token.clone(),
            include_snapshot: !is_resumed,
        };
        let mut calls = self.caller.runs();
        let stream = self.caller.call(calls.watch_runs(request)).await;
        if stream.is_ok() {
            let (watcher, filter) = (self.name.clone(), self.filter.clone());
            self.recorder.record(What::WatchOpened { watcher, filter, resumed: is_resumed })?;
        }
        Ok(stream)
    }

    /// Follows one stream to its end. Returns true once the watcher is settled.
    async fn follow(
        &mut self,
        mut stream: Streaming<WatchRunsResponse>,
        settled: &mut watch::Receiver<bool>,
    ) -> Result<bool> {
        loop {
            // Read before the message, so that a bookmark that was sent earlier does not settle the watcher.
            let is_over = *settled.borrow_and_update();
            match tokio::time::timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(message))) => {
                    if self.take_in(message)? && is_over {
                        return Ok(true);
                    }
                }
                Ok(Ok(None)) => {
                    self.caller.next_server();
                    return self.lost("ended".into()).map(|()| false);
                }
                Ok(Err(status)) => {
                    let failure = self.caller.failed(&status);
                    if status.code() == Code::OutOfRange {
                        self.token.clear();
                    }
                    return self.lost(failure.code).map(|()| false);
                }
                Err(_) => {
                    self.caller.next_server();
                    return self.lost("silent".into()).map(|()| false);
                }
            }
        }
    }

    /// Records a message. Returns true if it is a bookmark.
    fn take_in(&mut self, message: WatchRunsResponse) -> Result<bool> {
        let watcher = self.name.clone();
        match message.event {
            Some(Event::Snapshot(page)) => page.runs.iter().try_for_each(|run| self.saw(run))?,
            Some(Event::Change(change)) => self.saw(&change.run.unwrap_or_default())?,
            Some(Event::SnapshotComplete(complete)) => self.token = complete.resume_token,
            Some(Event::Goodbye(goodbye)) if !goodbye.resume_token.is_empty() => self.token = goodbye.resume_token,
            Some(Event::Goodbye(_)) | None => {}
            Some(Event::LeftFilter(left)) => {
                let run = Uuid::parse_str(&left.run_id)?;
                self.recorder.record(What::WatchLeftFilter { watcher, run })?;
            }
            Some(Event::Deleted(deleted)) => {
                let run = Uuid::parse_str(&deleted.run_id)?;
                self.recorder.record(What::WatchDeleted { watcher, run })?;
            }
            Some(Event::Bookmark(bookmark)) => {
                self.token = bookmark.resume_token;
                self.recorder.record(What::WatchBookmark { watcher })?;
                self.bookmarks.send_modify(|count| *count += 1);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn saw(&self, run: &Run) -> Result<()> {
        let (Ok(id), Some(status)) = (Uuid::parse_str(&run.id), Status::of_wire(run.status)) else { return Ok(()) };
        let Run { revision, attempt, fence, .. } = *run;
        let watcher = self.name.clone();
        Ok(self.recorder.record(What::WatchSaw { watcher, run: id, revision, status, attempt, fence })?)
    }

    fn lost(&self, code: String) -> Result<()> {
        Ok(self.recorder.record(What::WatchLost { watcher: self.name.clone(), code })?)
    }
}

fn wire(filter: &Filter) -> RunFilter {
    let lane = |lane: &String| Lane::from_str_name(&format!("LANE_{lane}")).unwrap_or_default().into();
    RunFilter {
        session_id: filter.session.map(|id| id.to_string()).unwrap_or_default(),
        lanes: filter.lanes.iter().map(lane).collect(),
        kinds: filter.kinds.clone(),
        ..RunFilter::default()
    }
}
