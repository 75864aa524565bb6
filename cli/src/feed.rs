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
