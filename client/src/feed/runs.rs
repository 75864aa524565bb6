//! A watch of runs.

use proto::v1::{Run, RunFilter, WatchRunsRequest, WatchRunsResponse, watch_runs_response::Event};
use tonic::{Status, Streaming};

use crate::{Client, RetryBudget, reason};

/// The changes of the runs that match a filter.
#[derive(Debug)]
pub struct RunFeed {
    client: Client,
    filter: RunFilter,
    token: String,
    stream: Option<Streaming<WatchRunsResponse>>,
    budget: RetryBudget,
}

/// Where a feed begins.
#[derive(Clone, Debug)]
pub enum Begin {
    /// With the changes from now on.
    Now,
    /// With the runs that match now.
    Snapshot,
    /// Where an earlier watch with the same filter ended.
    Token(String),
}

impl Client {
    /// Begins a watch. It sees every change that is committed after this returns.
    ///
    /// # Errors
    /// The server refuses the watch, or can not be reached. The first call is not retried.
    pub async fn follow_runs(&self, filter: RunFilter, begin: Begin, budget: RetryBudget) -> Result<RunFeed, Status> {
        let (token, include_snapshot) = match begin {
            Begin::Now => (String::new(), false),
            Begin::Snapshot => (String::new(), true),
            Begin::Token(token) => (token, false),
        };
        let request = WatchRunsRequest { filter: Some(filter.clone()), resume_token: token.clone(), include_snapshot };
        let stream = self.runs().watch_runs(request).await?.into_inner();
        Ok(RunFeed { client: self.clone(), filter, token, stream: Some(stream), budget })
    }
}

impl RunFeed {
    /// The next message. It never is a goodbye: the feed resumes instead. May be dropped while it waits.
    ///
    /// # Errors
    /// A retry can not help, or the budget is spent.
    pub async fn next(&mut self) -> Result<WatchRunsResponse, Status> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.resume().await?;
                continue;
            };
            let lost = match stream.message().await {
                Ok(Some(message)) => {
                    self.budget.renew();
                    match &message.event {
                        Some(Event::Bookmark(bookmark)) => self.token.clone_from(&bookmark.resume_token),
                        Some(Event::SnapshotComplete(complete)) => self.token.clone_from(&complete.resume_token),
                        Some(Event::Goodbye(goodbye)) => {
                            if !goodbye.resume_token.is_empty() {
                                self.token.clone_from(&goodbye.resume_token);
                            }
                            continue;
                        }
                        _ => {}
                    }
                    return Ok(message);
                }
                Ok(None) => Status::unavailable("the server ended the watch"),
                Err(status) if needs_snapshot(&status) => {
                    (self.stream, self.token) = (None, String::new());
                    continue;
                }
                Err(status) => status,
            };
            self.stream = None;
            self.budget.wait(lost).await?;
        }
    }

    /// Without a token, or with one that is too old or of another database, the watch begins with a snapshot: no change is
    /// missed, and some runs come again.
    async fn resume(&mut self) -> Result<(), Status> {
        let request = WatchRunsRequest {
            filter: Some(self.filter.clone()),
            resume_token: self.token.clone(),
            include_snapshot: self.token.is_empty(),
        };
        match self.client.runs().watch_runs(request).await {
            Ok(response) => self.stream = Some(response.into_inner()),
            Err(status) if !self.token.is_empty() && needs_snapshot(&status) => self.token.clear(),
            Err(status) => self.budget.wait(status).await?,
        }
        Ok(())
    }
}

/// Whether the token of a watch can not be used any more, for example because its database was restored.
fn needs_snapshot(status: &Status) -> bool {
    matches!(reason(status).as_deref(), Some("REVISION_COMPACTED" | "RESUME_TOKEN_INVALID"))
}

/// The runs in a message of a watch.
#[must_use]
pub fn runs_of(event: &Event) -> &[Run] {
    match event {
        Event::Snapshot(snapshot) => &snapshot.runs,
        Event::Change(change) => change.run.as_slice(),
        Event::SnapshotComplete(_)
        | Event::LeftFilter(_)
        | Event::Deleted(_)
        | Event::Bookmark(_)
        | Event::Goodbye(_) => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use proto::v1::{Bookmark, RunChange, SnapshotComplete, WatchGoodbye};
    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;
    use crate::fake::Fake;

    fn message(event: Event) -> Result<WatchRunsResponse, Status> {
        Ok(WatchRunsResponse { event: Some(event) })
    }

    fn change(id: &str) -> Result<WatchRunsResponse, Status> {
        message(Event::Change(RunChange { run: Some(Run { id: id.to_owned(), ..Run::default() }) }))
    }

    fn bookmark(token: &str) -> Result<WatchRunsResponse, Status> {
        message(Event::Bookmark(Bookmark { resume_token: token.to_owned() }))
    }

    /// The runs of a feed until the script of watches ends, and the token and the snapshot of each request.
    async fn seen(
        watches: Vec<Result<Vec<Result<WatchRunsResponse, Status>>, Status>>,
    ) -> (Vec<String>, Vec<(String, bool)>) {
        let (fake, client, _task) = Fake::of_watches(watches).serve().await;
        let budget = RetryBudget::new(Duration::from_secs(60));
        let mut feed = client.follow_runs(RunFilter::default(), Begin::Snapshot, budget).await.unwrap();
        let mut runs = Vec::new();
        while let Ok(message) = feed.next().await {
            runs.extend(message.event.iter().flat_map(runs_of).map(|run| run.id.clone()));
        }
        let asked = fake.watched().into_iter().map(|request| (request.resume_token, request.include_snapshot));
        (runs, asked.collect())
    }

    fn asked(calls: &[(&str, bool)]) -> Vec<(String, bool)> {
        calls.iter().map(|(token, snapshot)| ((*token).to_owned(), *snapshot)).collect()
    }

    #[tokio::test]
    async fn a_watch_that_is_cut_resumes_by_its_last_token() {
        let complete = message(Event::SnapshotComplete(SnapshotComplete { resume_token: "t1".to_owned() }));
        let goodbye =
            message(Event::Goodbye(WatchGoodbye { resume_token: "t3".to_owned(), ..WatchGoodbye::default() }));
        let (runs, calls) = seen(vec![
            Ok(vec![complete, change("a"), Err(Status::unavailable("cut"))]),
            Ok(vec![change("b"), bookmark("t2"), change("c"), Err(Status::unknown("cut"))]),
            Err(Status::unavailable("not back yet")),
            Ok(vec![change("c"), goodbye]),
        ])
        .await;
        assert_eq!(runs, ["a", "b", "c", "c"]);
        assert_eq!(calls, asked(&[("", true), ("t1", false), ("t2", false), ("t2", false), ("t3", false)]));
    }

    #[tokio::test]
    async fn a_watch_whose_token_is_too_old_begins_with_a_snapshot_again() {
        let details = ErrorDetails::with_error_info("REVISION_COMPACTED", "ops", HashMap::new());
        let compacted = Status::with_error_details(Code::OutOfRange, "too old", details);
        let (runs, calls) =
            seen(vec![Ok(vec![bookmark("old")]), Err(compacted), Ok(vec![change("a"), Err(Status::aborted("end"))])])
                .await;
        assert_eq!(runs, ["a"]);
        assert_eq!(calls, asked(&[("", true), ("old", false), ("", true)]));
    }

    #[tokio::test]
    async fn an_error_that_no_retry_can_help_ends_the_watch() {
        let (runs, calls) = seen(vec![Ok(vec![change("a"), Err(Status::invalid_argument("wrong"))])]).await;
        assert_eq!((runs.len(), calls.len()), (1, 1));
    }
}
