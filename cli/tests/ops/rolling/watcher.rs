//! A watcher that resumes by its token, on any server.

use proto::v1::{RunFilter, WatchGoodbyeReason, WatchRunsRequest, watch_runs_response::Event};
use tokio::sync::watch;

use super::caller::Caller;
use crate::ops::client::{Client, Runs};

/// The observations of a watcher.
#[derive(Debug, Default)]
pub struct Seen {
    pub runs: Runs,
    /// The number of times it resumed.
    pub resumed: usize,
    /// The number of goodbyes.
    pub goodbyes: usize,
}

/// Watches the runs of this session until `total` is known and that many have ended.
pub async fn follow(mut caller: Caller, session: String, mut total: watch::Receiver<Option<usize>>) -> Seen {
    let (mut seen, mut token) = (Seen::default(), String::new());
    loop {
        let filter = Some(RunFilter { session_id: session.clone(), ..Default::default() });
        let include_snapshot = token.is_empty();
        let request = WatchRunsRequest { filter, include_snapshot, resume_token: token.clone() };
        let watch = |mut client: Client, request| async move { client.runs.watch_runs(request).await };
        let mut stream = caller.call("watch", &request, watch).await.into_inner();
        seen.resumed += usize::from(!include_snapshot);
        loop {
            let has_all = |seen: &Seen, total: Option<usize>| {
                total.is_some_and(|total| seen.runs.values().filter(|run| run.finish_time.is_some()).count() == total)
            };
            if has_all(&seen, *total.borrow_and_update()) {
                return seen;
            }
            let message = tokio::select! {
                message = stream.message() => message,
                changed = total.changed() => { changed.unwrap(); continue }
            };
            let event = match message {
                Ok(Some(message)) => message.event.unwrap(),
                Ok(None) => break,
                Err(status) => {
                    caller.before_another_try("a watch", &status).await;
                    break;
                }
            };
            let (runs, newer_token) = match event {
                Event::Snapshot(page) => (page.runs, None),
                Event::SnapshotComplete(complete) => (Vec::new(), Some(complete.resume_token)),
                Event::Bookmark(bookmark) => (Vec::new(), Some(bookmark.resume_token)),
                Event::Goodbye(goodbye) => {
                    assert_eq!(goodbye.reason(), WatchGoodbyeReason::ShuttingDown);
                    seen.goodbyes += 1;
                    caller.go_elsewhere();
                    (Vec::new(), Some(goodbye.resume_token))
                }
                Event::Change(change) => (change.run.into_iter().collect(), None),
                other => panic!("nothing else happens in this session: {other:?}"),
            };
            token = newer_token.unwrap_or(token);
            for run in runs {
                let before = seen.runs.get(&run.id).map_or(0, |run| run.revision);
                // After a resume the same change may come again.
                if run.revision > before {
                    seen.runs.insert(run.id.clone(), run);
                }
            }
        }
    }
}
