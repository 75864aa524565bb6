//! A watch, and the runs that it has shown.

use std::collections::BTreeMap;

use proto::v1::watch_runs_response::Event;
use proto::v1::*;
use tonic::{Status, Streaming};

use super::{Server, in_time};

/// Follows a watch, and checks that no run goes backwards.
pub struct Watcher {
    stream: Streaming<WatchRunsResponse>,
    /// The newest state of each run that was sent.
    pub runs: BTreeMap<String, Run>,
    /// The token to resume with.
    pub token: String,
}

impl Watcher {
    /// Opens a watch of everything that is committed from now on.
    pub async fn open(server: &Server, request: WatchRunsRequest) -> Result<Self, Status> {
        let called = in_time("the headers of a watch", server.runs().watch_runs(request)).await?;
        Ok(Self { stream: called.into_inner(), runs: BTreeMap::new(), token: String::new() })
    }

    /// Watches all changes from now on.
    pub async fn all(server: &Server) -> Self {
        Self::open(server, WatchRunsRequest::default()).await.expect("the watch is accepted")
    }

    /// Resumes from a token.
    pub async fn resume(server: &Server, token: &str) -> Result<Self, Status> {
        let request = WatchRunsRequest { resume_token: token.to_owned(), ..Default::default() };
        let mut watcher = Self::open(server, request).await?;
        watcher.token = token.to_owned();
        Ok(watcher)
    }

    /// The next message, applied to `runs`.
    pub async fn next(&mut self) -> Event {
        self.try_next().await.expect("the watch continues")
    }

    /// The next message, or why there is none.
    pub async fn try_next(&mut self) -> Result<Event, Status> {
        let message = in_time("a message of a watch", self.stream.message()).await?;
        let event = message.expect("the watch continues").event.expect("a message says something");
        match &event {
            Event::Snapshot(page) => page.runs.iter().for_each(|run| self.take_in(run)),
            Event::SnapshotComplete(complete) => self.token.clone_from(&complete.resume_token),
            Event::Change(change) => self.take_in(change.run.as_ref().expect("a change brings its run")),
            Event::Bookmark(bookmark) => self.token.clone_from(&bookmark.resume_token),
            Event::Goodbye(goodbye) => self.token.clone_from(&goodbye.resume_token),
            Event::LeftFilter(_) | Event::Deleted(_) => {}
        }
        Ok(event)
    }

    fn take_in(&mut self, run: &Run) {
        if let Some(before) = self.runs.insert(run.id.clone(), run.clone()) {
            assert!(before.revision <= run.revision, "a run went backwards: {before:?} then {run:?}");
        }
    }

    /// Reads until the runs satisfy this condition.
    pub async fn until(&mut self, mut fits: impl FnMut(&BTreeMap<String, Run>) -> bool) {
        in_time("the state that a watch shall tell", async {
            while !fits(&self.runs) {
                self.next().await;
            }
        })
        .await;
    }

    /// The next message that is not a bookmark.
    pub async fn news(&mut self) -> Event {
        in_time("news of a watch", async {
            loop {
                let event = self.next().await;
                if !matches!(event, Event::Bookmark(_)) {
                    return event;
                }
            }
        })
        .await
    }

    /// Reads until this run has this status.
    pub async fn sees(&mut self, run_id: &str, status: RunStatus) {
        self.until(|runs| runs.get(run_id).is_some_and(|run| run.status() == status)).await;
    }

    /// Reads until the next bookmark.
    pub async fn bookmark(&mut self) -> String {
        while !matches!(self.next().await, Event::Bookmark(_)) {}
        self.token.clone()
    }
}
