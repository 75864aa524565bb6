//! Serves a worker's stream: handles each frame until the stream ends.
//!
//! The server never stops reading. Tasks of the stream wait for the database. The worker's credits and the queues of the batches bound
//! how much waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use futures::FutureExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, StreamExt};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::Engine;
use crate::EngineError;
use crate::batch::budget::Held;
use crate::db::{Class, StoreError};
use crate::domain::Refusal;
use crate::domain::event::EventBatch;
use crate::domain::frame::{EventRange, Heartbeat, Refused, Rejection, ServerFrame, WorkerFrame};
use crate::domain::weight::Weight;
use crate::domain::worker::WorkerPause;
use crate::serve::answers::rejection;
use crate::serve::end::{end, end_error};
use crate::serve::worker_grants::WorkerGrants;
use crate::settings::{OUTAGE_RETRY_DELAY, heartbeat_interval};
use crate::store::event::append::GuardedEvents;
use crate::store::worker::record::worker_paused;
use crate::stream::connection::{Connection, StreamEnd};
use crate::stream::leases::BeatAnswer;

/// Heartbeats of one stream that may wait for the database. Each is answered, in order. The stream of a worker that sends more ahead of
/// the answers ends.
const HEARTBEATS_WAITING: usize = 64;

/// Why a stream failed.
#[derive(Debug)]
pub enum Broken<E> {
    /// A frame of the worker could not be read.
    Unreadable(E),
    Ended(EngineError),
}

/// Serves a stream until it ends. `Ok` if the worker has ended it.
pub async fn serve<S, E>(engine: Arc<Engine>, connection: Arc<Connection>, mut frames: S) -> Result<(), Broken<E>>
where
    S: Stream<Item = Result<WorkerFrame, E>> + Unpin,
{
    let (events, waiting_events) = mpsc::unbounded_channel();
    let (heartbeats, waiting_heartbeats) = mpsc::channel(HEARTBEATS_WAITING);
    let (pause, pauses) = watch::channel(None);
    let tasks = TaskTracker::new();
    let stream = Arc::new(WorkerStream {
        grants: WorkerGrants::new(engine.clone(), connection.clone(), tasks.clone()),
        engine,
        connection,
        tasks,
        heartbeats,
        pause,
        event_credits_used: AtomicI64::new(0),
        events,
    });
    stream.grants.resume();
    stream.tasks.spawn(stream.clone().keep_events(waiting_events));
    stream.tasks.spawn(stream.clone().keep_leases(waiting_heartbeats));
    stream.tasks.spawn(stream.clone().keep_pause(pauses));
    let mut goodbye = false;
    let ended = loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            () = stream.connection.ended().cancelled() => break Err(Broken::Ended(end_error(&stream.connection))),
        };
        match frame {
            None => break Ok(()),
            Some(Err(error)) => break Err(Broken::Unreadable(error)),
            Some(Ok(WorkerFrame::Goodbye { reason })) => {
                tracing::info!(worker_id = %stream.connection.worker_id, reason, "worker said goodbye");
                goodbye = true;
                break Ok(());
            }
            Some(Ok(frame)) => {
                if let Err(error) = stream.frame(frame) {
                    break Err(Broken::Ended(error));
                }
            }
        }
    };
    end(&stream.engine, &stream.connection, &stream.tasks, goodbye).await;
    ended
}

struct WorkerStream {
    engine: Arc<Engine>,
    connection: Arc<Connection>,
    grants: Arc<WorkerGrants>,
    /// The tasks that wait for the database.
    tasks: TaskTracker,
    /// Heartbeats, each with when it came.
    heartbeats: mpsc::Sender<(Heartbeat, Instant)>,
    /// Why the worker takes no runs for now.
    pause: watch::Sender<Option<WorkerPause>>,
    event_credits_used: AtomicI64,
    /// Events in the order in which they came. The worker's event credits and the budget of bytes bound them.
    events: mpsc::UnboundedSender<(EventBatch, Held)>,
}

impl WorkerStream {
    /// Handles one frame. An error ends the stream.
    fn frame(self: &Arc<Self>, frame: WorkerFrame) -> Result<(), EngineError> {
        match frame {
            WorkerFrame::Credit(total) => {
                self.connection.grants().credit(total).map_err(|refused| {
                    let text = format!("credit.total: expected {} to {}, got {total}", refused.least, refused.most);
                    Refusal::ProtocolViolation(text)
                })?;
                self.engine.dispatcher.room();
            }
            WorkerFrame::Accepts(grants) => self.grants.accept(&grants),
            WorkerFrame::Heartbeat(heartbeat) => self.heartbeat(heartbeat)?,
            WorkerFrame::Events(events) => self.events(events)?,
            WorkerFrame::Reports(reports) => self.grants.report(reports)?,
            // A cancel is sent once on a stream, and the report says how the run ended, so there is nothing to do.
            WorkerFrame::CancelAcks(grants) => {
                tracing::debug!(worker_id = %self.connection.worker_id, runs = grants.len(), "the worker acknowledged cancels");
            }
            WorkerFrame::Goodbye { .. } => {}
        }
        Ok(())
    }

    fn heartbeat(&self, mut heartbeat: Heartbeat) -> Result<(), EngineError> {
        let pause = heartbeat.pause.take();
        // Each heartbeat of a pause says how long it still is; the end of the pause stays.
        self.pause.send_if_modified(|known| {
            let is_new = known.as_ref().map(|pause| &pause.reason) != pause.as_ref().map(|pause| &pause.reason)
                || pause.as_ref().zip(known.as_ref()).is_some_and(|(new, known)| new.remaining > known.remaining);
            *known = pause;
            is_new
        });
        self.heartbeats.try_send((heartbeat, Instant::now())).map_err(|_| {
            let text = format!("expected no more than {HEARTBEATS_WAITING} heartbeats ahead of their answers");
            Refusal::ProtocolViolation(text).into()
        })
    }

    /// Handles heartbeats one after the other: extends the leases that they name. Each is answered before the next one is due, even while
    /// the database is away, because a worker gives up a silent stream. A grant that is found lost after an answer goes with the next one.
    async fn keep_leases(self: Arc<Self>, mut waiting: mpsc::Receiver<(Heartbeat, Instant)>) {
        let connection = &self.connection;
        let mut frozen = false;
        while let Some((heartbeat, came)) = connection.ended().run_until_cancelled(waiting.recv()).await.flatten() {
            let end = came + heartbeat_interval(connection.lease);
            let mut busy = None;
            let answer = match tokio::time::timeout_at(end.into(), self.beat(&heartbeat, &mut busy)).await {
                Ok(answer) => answer,
                Err(_) if busy.is_some() => {
                    // The database is not away, so leases end. This heartbeat is not answered, so the worker counts its lease from an
                    // earlier one.
                    tracing::warn!(error = ?busy, worker_id = %connection.worker_id, "a heartbeat is not written");
                    continue;
                }
                Err(_) => Err(StoreError::Unavailable("no answer before the next heartbeat".into()).into()),
            };
            let was_frozen = frozen;
            frozen = answer.is_err();
            match answer {
                Ok(answer) if answer.replaced => connection.end(StreamEnd::Replaced),
                Ok(mut answer) => {
                    let mut grants = connection.grants();
                    // Its report has ended it, and the answer to the report says so.
                    answer.lost.retain(|grant| !grants.is_reported(*grant));
                    for grant in &answer.lost {
                        grants.end(*grant);
                    }
                    drop(grants);
                    connection.send(ServerFrame::HeartbeatAck { lost: answer.lost, frozen });
                }
                // Nothing was written. While this lasts, this server ends no lease.
                Err(error) => {
                    if !was_frozen {
                        let worker_id = connection.worker_id;
                        tracing::warn!(%error, %worker_id, "heartbeats are not written: leases are frozen");
                    }
                    connection.send(ServerFrame::HeartbeatAck { lost: Vec::new(), frozen });
                }
            }
        }
    }

    /// Writes why the worker takes no runs, when that changes.
    async fn keep_pause(self: Arc<Self>, mut pauses: watch::Receiver<Option<WorkerPause>>) {
        let (connection, db) = (&self.connection, self.engine.db(Class::Engine));
        let (worker_id, epoch) = (connection.worker_id, connection.epoch);
        let ended = connection.ended();
        while let Some(Ok(())) = ended.run_until_cancelled(pauses.changed()).await {
            loop {
                let pause = pauses.borrow_and_update().clone();
                let written =
                    db.write(pause, move |c, pause| worker_paused(c, worker_id, epoch, pause.as_ref()).boxed());
                match ended.run_until_cancelled(written).await {
                    Some(Ok(true)) | None => break,
                    Some(Ok(false)) => {}
                    Some(Err(error)) => tracing::debug!(%error, %worker_id, "a worker's pause is not written"),
                }
                if ended.run_until_cancelled(tokio::time::sleep(OUTAGE_RETRY_DELAY)).await.is_none() {
                    break;
                }
            }
        }
    }

    /// Extends the leases that a heartbeat names. While other transactions are in the way it tries again, and puts the reason into `busy`.
    async fn beat(&self, heartbeat: &Heartbeat, busy: &mut Option<StoreError>) -> Result<BeatAnswer, EngineError> {
        loop {
            let beat = self.engine.leases.beat(self.connection.worker_id, self.connection.epoch, heartbeat.clone());
            match beat.await {
                Err(EngineError::Store(error)) if error.is_contention() => *busy = Some(error),
                answer => return answer,
            }
            tokio::time::sleep(OUTAGE_RETRY_DELAY).await;
        }
    }

    fn events(&self, events: Result<EventBatch, Refused<EventRange>>) -> Result<(), EngineError> {
        match events {
            Err(refused) => {
                let EventRange { grant, through_seq, count: credits } = refused.subject;
                let rejected = Some(Rejection::Invalid(refused.violations.to_string()));
                self.connection.send(ServerFrame::EventsAck { grant, through_seq, credits, rejected });
            }
            Ok(batch) => {
                let sent = batch.entries.len() as i64;
                let used = self.event_credits_used.fetch_add(sent, Ordering::Relaxed) + sent;
                let credits = self.engine.settings.event_credits;
                if used > i64::from(credits) {
                    let sent = u32::try_from(used).unwrap_or(u32::MAX);
                    return Err(Refusal::EventCreditsExceeded { sent, credits }.into());
                }
                let room = self.room(batch.weight())?;
                // The receiver lives as long as the stream.
                let _ = self.events.send((batch, room));
            }
        }
        Ok(())
    }

    /// Writes the events of each run in the order in which they came, all waiting ones at once. No run waits for another one, which may be
    /// locked.
    async fn keep_events(self: Arc<Self>, mut waiting: mpsc::UnboundedReceiver<(EventBatch, Held)>) {
        let ended = self.connection.ended().clone();
        let mut batches = Vec::new();
        let mut running = FuturesUnordered::new();
        // The events that came while earlier ones of the same run are written.
        let mut behind: HashMap<Uuid, Vec<(EventBatch, Held)>> = HashMap::new();
        loop {
            tokio::select! {
                received = waiting.recv_many(&mut batches, 1_000) => {
                    if received == 0 {
                        break;
                    }
                }
                Some(run_id) = running.next() => {
                    let next = behind.remove(&run_id).unwrap_or_default();
                    if !next.is_empty() {
                        behind.insert(run_id, Vec::new());
                        running.push(self.keep_events_of(run_id, next));
                    }
                    continue;
                }
                () = ended.cancelled() => break,
            }
            let mut fresh: HashMap<Uuid, Vec<(EventBatch, Held)>> = HashMap::new();
            for batch in batches.drain(..) {
                let run_id = batch.0.grant.run_id;
                behind.get_mut(&run_id).unwrap_or_else(|| fresh.entry(run_id).or_default()).push(batch);
            }
            for (run_id, batches) in fresh {
                behind.insert(run_id, Vec::new());
                running.push(self.keep_events_of(run_id, batches));
            }
        }
        while running.next().await.is_some() {}
    }

    /// Writes events of one run, and answers them in order.
    async fn keep_events_of(&self, run_id: Uuid, batches: Vec<(EventBatch, Held)>) -> Uuid {
        let kept = batches.into_iter().map(|(batch, room)| {
            let EventBatch { grant, first_seq, entries } = batch;
            let count = entries.len() as i64;
            let guarded = GuardedEvents { guard: self.connection.guard(grant), first_seq, entries };
            let (engine, connection) = (&self.engine, &self.connection);
            async move {
                let kept = persist(connection, || engine.events.append(guarded.clone())).await;
                drop(room);
                (grant, first_seq + count - 1, count, kept)
            }
        });
        for (grant, through_seq, count, kept) in join_all(kept).await {
            let rejected = match kept.as_ref().map_err(rejection) {
                Ok(()) => None,
                Err(Some(rejection)) => Some(rejection),
                Err(None) => continue,
            };
            self.event_credits_used.fetch_sub(count, Ordering::Relaxed);
            let credits = count as u32;
            self.connection.send(ServerFrame::EventsAck { grant, through_seq, credits, rejected });
        }
        run_id
    }

    /// Takes room for bytes that wait to be written. Without room the stream ends: the worker keeps everything that was not answered, and
    /// sends it again after its resume.
    fn room(&self, bytes: usize) -> Result<Held, EngineError> {
        self.engine.stream_bytes.take(bytes).ok_or(EngineError::Overloaded)
    }
}

/// Tries until the database has answered or the stream has ended. The write must be guarded, so that it may be repeated.
async fn persist<T, F>(connection: &Connection, write: impl Fn() -> F) -> Result<T, EngineError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    loop {
        match write().await {
            Err(error) if error.is_passing() && !connection.ended().is_cancelled() => {
                tokio::time::sleep(OUTAGE_RETRY_DELAY).await;
            }
            result => return result,
        }
    }
}
