//! The end of a worker's stream: what the worker did not start is given back, and the database learns that the stream has ended.

use std::time::Duration;

use futures::FutureExt;
use tokio_util::task::TaskTracker;

use crate::Engine;
use crate::EngineError;
use crate::db::Class;
use crate::domain::Refusal;
use crate::domain::worker::WorkerState;
use crate::store::run::release::Release;
use crate::store::worker::record::worker_stream_ended;
use crate::stream::connection::{Connection, StreamEnd};

/// How long after its end a stream waits for the writes of what its worker has sent.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Cleans up after a stream. Grants that did not start are given back at once; started ones keep their leases. `tasks` are the stream's
/// tasks that wait for the database.
pub async fn end(engine: &Engine, connection: &Connection, tasks: &TaskTracker, goodbye: bool) {
    engine.registry.remove(connection);
    let unstarted = connection.close();
    // A worker that is away did not read what it was sent. One that has left, or has a newer stream, is well.
    let undelivered = !goodbye && connection.end_reason() != Some(StreamEnd::Replaced);
    let release = |grant| Release { guard: connection.guard(grant), started_too: false, undelivered, unanswered: None };
    engine.releases.give_back(unstarted.into_iter().map(release).collect());
    tasks.close();
    if tokio::time::timeout(END_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!(worker_id = %connection.worker_id, "a stream ended while its frames waited for the database");
    }
    let state = if goodbye { WorkerState::Gone } else { WorkerState::Disconnected };
    let (id, epoch) = (connection.worker_id, connection.epoch);
    let ended = engine.db(Class::Engine).write((), move |c, ()| worker_stream_ended(c, id, epoch, state).boxed()).await;
    if let Err(error) = ended {
        tracing::debug!(%error, "the end of a stream was not written; the worker will be marked as lost");
    }
    tracing::info!(worker_id = %id, epoch, goodbye, "worker disconnected");
}

/// The error that tells a worker why the server ended its stream.
pub fn end_error(connection: &Connection) -> EngineError {
    match connection.end_reason() {
        Some(StreamEnd::Replaced) => Refusal::StreamReplaced.into(),
        Some(StreamEnd::NotReading) => {
            Refusal::ProtocolViolation("the worker does not read its frames".to_owned()).into()
        }
        Some(StreamEnd::ShuttingDown) | None => EngineError::ShuttingDown,
    }
}
