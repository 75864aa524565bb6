//! A watch that lasts: when its stream is cut, it goes on from the last token, here or on another replica.

use proto::v1::{
    Run, RunFilter, WatchRunsRequest, WatchRunsResponse, run_service_client::RunServiceClient,
    watch_runs_response::Event,
};
use tonic::{Status, Streaming, transport::Channel};

use crate::{errors, patience::Patience};

/// What happens to the runs of a filter, from some moment on.
#[derive(Debug)]
pub(crate) struct Feed {
    client: RunServiceClient<Channel>,
    filter: RunFilter,
    token: String,
    stream: Option<Streaming<WatchRunsResponse>>,
    patience: Patience,
}

/// Where a feed begins.
#[derive(Debug)]
pub(crate) enum Begin {
    /// With what changes from now on.
    Now,
    /// With the runs that match now.
    Snapshot,
    /// Where an earlier watch with the same filter left off.
    Token(String),
}

impl Feed {
    /// Begins a watch. Whatever is committed after this has returned will be seen.
    pub(crate) async fn begin(
        mut client: RunServiceClient<Channel>,
        filter: RunFilter,
        begin: Begin,
    ) -> Result<Self, Status> {
        let (token, include_snapshot) = match begin {
            Begin::Now => (String::new(), false),
            Begin::Snapshot => (String::new(), true),
            Begin::Token(token) => (token, false),
        };
        let request = WatchRunsRequest { filter: Some(filter.clone()), resume_token: token.clone(), include_snapshot };
        let stream = client.watch_runs(request).await?.into_inner();
        Ok(Self { client, filter, token, stream: Some(stream), patience: Patience::default() })
    }

    /// The next message; goodbyes and cuts are seen to in here. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<WatchRunsResponse, Status> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.resume().await?;
                continue;
            };
            let lost = match stream.message().await {
                Ok(Some(message)) => {
                    self.patience.renew();
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
                Err(status) => status,
            };
            self.stream = None;
            self.patience.bear(lost).await?;
        }
    }

    /// Without a token, or with one that is too old, it goes on with what is there: nothing is missed, some is seen again.
    async fn resume(&mut self) -> Result<(), Status> {
        let request = WatchRunsRequest {
            filter: Some(self.filter.clone()),
            resume_token: self.token.clone(),
            include_snapshot: self.token.is_empty(),
        };
        match self.client.watch_runs(request).await {
            Ok(response) => self.stream = Some(response.into_inner()),
            Err(status) if errors::reason(&status).as_deref() == Some("REVISION_COMPACTED") => self.token.clear(),
            Err(status) => self.patience.bear(status).await?,
        }
        Ok(())
    }
}

/// The runs that a message of a watch brings.
pub(crate) fn runs_of(event: &Event) -> &[Run] {
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
    use std::collections::{HashMap, VecDeque};

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

    /// The runs that a feed brings until its watches are used up, and what was asked of the server.
    async fn seen(
        watches: Vec<Result<Vec<Result<WatchRunsResponse, Status>>, Status>>,
    ) -> (Vec<String>, Vec<(String, bool)>) {
        let fake = Fake { watches: VecDeque::from(watches).into(), ..Fake::default() };
        let (fake, client, _task) = fake.serve().await;
        let mut feed = Feed::begin(client.runs, RunFilter::default(), Begin::Snapshot).await.unwrap();
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
    async fn a_watch_that_is_cut_goes_on_from_its_last_token() {
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
    async fn a_token_that_is_too_old_makes_it_begin_with_a_snapshot_again() {
        let details = ErrorDetails::with_error_info("REVISION_COMPACTED", "ops", HashMap::new());
        let compacted = Status::with_error_details(Code::OutOfRange, "too old", details);
        let (runs, calls) =
            seen(vec![Ok(vec![bookmark("old")]), Err(compacted), Ok(vec![change("a"), Err(Status::aborted("end"))])])
                .await;
        assert_eq!(runs, ["a"]);
        assert_eq!(calls, asked(&[("", true), ("old", false), ("", true)]));
    }

    #[tokio::test]
    async fn an_error_that_will_not_pass_ends_it() {
        let (runs, calls) = seen(vec![Ok(vec![change("a"), Err(Status::invalid_argument("wrong"))])]).await;
        assert_eq!((runs.len(), calls.len()), (1, 1));
    }
}
