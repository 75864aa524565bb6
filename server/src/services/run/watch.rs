//! Watches runs, and waits for the end of one.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use crate::edge::caller::Caller;
use crate::services::run::runs::Runs;
use crate::services::run::watch_token;
use engine::Engine;
use engine::EngineError;
use engine::domain::watch::{WatchEvent, WatchRequest};
use engine::domain::weight::{MESSAGE_BYTES, messages};
use engine::domain::{Refusal, Run, TenantId};
use engine::settings::OUTAGE_RETRY_DELAY;
use engine::store::database::{DatabaseIdentity, database_identity};
use engine::store::feed::{FeedCursor, feed_changed_since};
use engine::store::run::read::run_list;
use engine::watch::hub::{READ_PAGE, read_news};
use engine::watch::subscriber::{Interest, RunNews};
use engine::watch::subscription::Subscription;

/// The time between two bookmarks. A bookmark says up to which change the watcher has received everything.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(5);

/// The most changed runs that are read after a gap. For more, a new snapshot is cheaper.
const GAP_RUNS: i64 = 200_000;

/// Messages that may wait in a stream, besides those in the subscription.
const STREAM_MESSAGES: usize = 4;

/// How long a stream may be silent. A proxy ends a stream on which nothing comes for its idle time, which is a minute for most.
const SILENCE: Duration = Duration::from_secs(20);

/// How long a reader may take to make room for the last message.
const LAST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(1);

/// The events of one watch.
pub type WatchStream = ReceiverStream<Result<WatchEvent, EngineError>>;

impl Runs {
    /// Returns the run when it has ended, or its present state after the timeout.
    pub async fn wait(&self, caller: Caller, run_id: Uuid, timeout: Duration) -> Result<Run, EngineError> {
        let deadline = Instant::now() + timeout;
        let subscribing = self.engine.hub.subscribe(caller.tenant.clone(), Interest::Run(run_id));
        let Ok(subscription) = tokio::time::timeout_at(deadline, subscribing).await else {
            return self.get(&caller, run_id).await;
        };
        loop {
            let run = self.get(&caller, run_id).await?;
            if run.status.is_terminal() {
                return Ok(run);
            }
            tokio::select! {
                () = subscription.awaited() => {}
                () = tokio::time::sleep_until(deadline) => return self.get(&caller, run_id).await,
                () = self.shutdown.cancelled() => return Err(EngineError::ShuttingDown),
            }
        }
    }

    /// Streams the changes of runs that match a filter.
    pub async fn watch(&self, caller: Caller, request: WatchRequest) -> Result<WatchStream, EngineError> {
        let (identity, now) = self.engine.db(caller.class).read((), |c, ()| database_identity(c).boxed()).await?;
        let filter_hash = watch_token::filter_hash(&caller.tenant, &request.filter);
        let resumed = match &request.resume_token {
            Some(token) => Some(watch_token::decode(token, &identity, &filter_hash, now)?),
            None => None,
        };
        let interest = Interest::Filter(request.filter.clone());
        let subscription = self.engine.hub.subscribe(caller.tenant.clone(), interest).await;
        let (events, stream) = mpsc::channel(STREAM_MESSAGES);
        let watch = Watch {
            engine: self.engine.clone(),
            caller,
            request,
            subscription,
            identity,
            filter_hash,
            reached: None,
            events,
        };
        let shutdown = self.shutdown.clone();
        self.streams.spawn(async move {
            let (events, mut watch) = (watch.events.clone(), watch);
            let ended = tokio::select! {
                ended = watch.run(resumed) => ended,
                () = shutdown.cancelled() => Ok(Ok(())),
                // A watcher that has gone away is noticed even while nothing is sent to it.
                () = events.closed() => return,
            };
            let last = match ended {
                Ok(_) => Ok(WatchEvent::Goodbye { token: watch.token(watch.reached.as_ref()) }),
                Err(error) => Err(error),
            };
            // Unsubscribes before the last message, which the watcher may be slow to read.
            drop(watch);
            send_last(&events, last).await;
        });
        Ok(ReceiverStream::new(stream))
    }
}

/// Sends the last message of a stream. Gives up soon, because a reader that does not read must not delay a shutdown.
pub(super) async fn send_last<T>(stream: &mpsc::Sender<T>, last: T) {
    // The stream ends in any case.
    let _ = tokio::time::timeout(LAST_MESSAGE_TIMEOUT, stream.send(last)).await;
}

/// Waits, and meanwhile lets the stream say something whenever it was silent for too long.
pub(super) async fn audibly<T, M>(stream: &mpsc::Sender<M>, say: impl Fn() -> M, wait: impl Future<Output = T>) -> T {
    let mut wait = std::pin::pin!(wait);
    loop {
        match tokio::time::timeout(SILENCE, wait.as_mut()).await {
            Ok(result) => return result,
            // Without room, other messages are on their way.
            Err(_) => drop(stream.try_send(say())),
        }
    }
}

/// Repeats a read until the database answers, so that an open stream outlives an outage. Ends early when its future is dropped.
pub(super) async fn until_answered<T, E, F>(read: impl Fn() -> F) -> Result<T, EngineError>
where
    EngineError: From<E>,
    F: Future<Output = Result<T, E>>,
{
    loop {
        match read().await.map_err(EngineError::from) {
            Err(error) if error.is_passing() => tokio::time::sleep(OUTAGE_RETRY_DELAY).await,
            result => return result,
        }
    }
}

/// One stream.
struct Watch {
    engine: Arc<Engine>,
    caller: Caller,
    request: WatchRequest,
    subscription: Subscription,
    identity: DatabaseIdentity,
    filter_hash: String,
    /// The watcher was sent every change up to here.
    reached: Option<FeedCursor>,
    events: mpsc::Sender<Result<WatchEvent, EngineError>>,
}

/// The watcher has gone away.
struct Gone;

impl Watch {
    async fn run(&mut self, resumed: Option<FeedCursor>) -> Result<Result<(), Gone>, EngineError> {
        match resumed {
            Some(cursor) => {
                if self.fill_gap(&cursor).await?.is_err() {
                    return Ok(Err(Gone));
                }
                self.reached = Some(cursor);
            }
            None => {
                self.reached = self.subscription.cursor();
                if self.request.include_snapshot && self.snapshot().await?.is_err() {
                    return Ok(Err(Gone));
                }
            }
        }
        self.follow().await
    }

    /// Sends the runs that match now, in pages, the newest first.
    async fn snapshot(&mut self) -> Result<Result<(), Gone>, EngineError> {
        let mut before = None;
        loop {
            let page = until_answered(|| {
                let (tenant, filter) = (self.caller.tenant.clone(), self.request.filter.clone());
                self.engine.db(self.caller.class).list((tenant, filter), move |c, (tenant, filter)| {
                    run_list(c, tenant, filter, before, READ_PAGE as i64).boxed()
                })
            });
            let page = audibly(&self.events, || Ok(WatchEvent::Snapshot(Vec::new())), page).await?;
            let page: Vec<Arc<Run>> = page.into_iter().map(Arc::new).collect();
            let full = page.len() == READ_PAGE;
            before = page.last().map(|run| run.id);
            let news: Vec<RunNews> = page.iter().cloned().map(RunNews::Now).collect();
            let settled = self.subscription.settle(&news);
            audibly(&self.events, || Ok(WatchEvent::Snapshot(Vec::new())), settled).await;
            for message in messages(page, MESSAGE_BYTES) {
                if self.send(WatchEvent::Snapshot(message)).await.is_err() {
                    return Ok(Err(Gone));
                }
            }
            if !full {
                let token = self.token(self.reached.as_ref()).unwrap_or_default();
                return Ok(self.send(WatchEvent::SnapshotComplete { token }).await);
            }
        }
    }

    /// Sends changes as they come, and bookmarks.
    async fn follow(&mut self) -> Result<Result<(), Gone>, EngineError> {
        let mut bookmarks = tokio::time::interval(BOOKMARK_INTERVAL);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // The first tick comes at once, so that the watcher has a token from the beginning.
            let bookmark = tokio::select! {
                () = self.subscription.awaited() => false,
                _ = bookmarks.tick() => true,
            };
            let taken = self.subscription.take();
            if taken.anew {
                return Err(Refusal::RevisionCompacted.into());
            }
            if taken.overflown {
                let Some(reached) = self.reached.clone() else { return Err(Refusal::RevisionCompacted.into()) };
                if self.fill_gap(&reached).await?.is_err() {
                    return Ok(Err(Gone));
                }
                continue;
            }
            for event in taken.events {
                if self.send(event).await.is_err() {
                    return Ok(Err(Gone));
                }
            }
            self.reached = taken.cursor;
            if bookmark
                && let Some(token) = self.token(self.reached.as_ref())
                && self.send(WatchEvent::Bookmark { token }).await.is_err()
            {
                return Ok(Err(Gone));
            }
        }
    }

    /// Reads from the feed which runs changed since a cursor, and sends their present states.
    async fn fill_gap(&mut self, cursor: &FeedCursor) -> Result<Result<(), Gone>, EngineError> {
        let changed = until_answered(|| {
            let (tenant, cursor) = (self.caller.tenant.clone(), cursor.clone());
            self.engine.db(self.caller.class).read((tenant, cursor), |c, (tenant, cursor)| {
                feed_changed_since(c, tenant, cursor, GAP_RUNS + 1).boxed()
            })
        });
        let bookmark = || Ok(WatchEvent::Bookmark { token: self.token(Some(cursor)).unwrap_or_default() });
        let changed = audibly(&self.events, bookmark, changed).await?;
        let changed: Vec<(TenantId, Uuid)> = changed.into_iter().map(|id| (self.caller.tenant.clone(), id)).collect();
        if changed.len() as i64 > GAP_RUNS {
            return Err(Refusal::RevisionCompacted.into());
        }
        for page in changed.chunks(READ_PAGE) {
            let read = until_answered(|| read_news(self.engine.db(self.caller.class), page));
            let news = audibly(&self.events, bookmark, read).await?;
            audibly(&self.events, bookmark, self.subscription.settle(&news)).await;
            for event in news.iter().filter_map(|news| self.subscription.event(news)) {
                if self.send(event).await.is_err() {
                    return Ok(Err(Gone));
                }
            }
        }
        Ok(Ok(()))
    }

    async fn send(&self, event: WatchEvent) -> Result<(), Gone> {
        self.events.send(Ok(event)).await.map_err(|_| Gone)
    }

    fn token(&self, cursor: Option<&FeedCursor>) -> Option<String> {
        cursor.map(|cursor| watch_token::encode(cursor, &self.identity, &self.filter_hash))
    }
}
