//! Writes the events that workers log.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;
use crate::domain::event::EventEntry;
use crate::store::effects::Effects;
use crate::store::run::guard::{Guard, GuardColumns};

/// Events of one grant. The first has the number `first_seq`.
#[derive(Debug, Clone)]
pub struct GuardedEvents {
    pub guard: Guard,
    pub first_seq: i64,
    pub entries: Vec<EventEntry>,
}

/// Writes the events of grants that are still valid, each position once. It waits for each lock no longer than `lock_timeout`. Returns for each
/// batch whether its grant is valid.
pub async fn run_events_append(
    c: &mut PgConnection,
    batches: &[GuardedEvents],
    lock_timeout: Duration,
) -> Result<(Vec<bool>, Effects), StoreError> {
    let guards: Vec<Guard> = batches.iter().map(|batch| batch.guard).collect();
    let columns = GuardColumns::of(&guards);
    // Each entry with the place of its batch. Places count from 1, as in SQL.
    let rows = || {
        (1..).zip(batches).flat_map(|(place, batch): (i32, _)| {
            batch.entries.iter().zip(batch.first_seq..).map(move |(entry, seq)| (place, seq, entry))
        })
    };
    let standing = sqlx::query_file_scalar!(
        "src/store/event/append.sql",
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
        &rows().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
        &rows().map(|(place, ..)| place).collect::<Vec<_>>(),
        &rows().map(|(_, seq, _)| seq).collect::<Vec<_>>(),
        &rows().map(|(.., entry)| entry.level.as_str().to_owned()).collect::<Vec<_>>(),
        &rows().map(|(.., entry)| entry.message.clone()).collect::<Vec<_>>(),
        &rows().map(|(.., entry)| entry.raw.clone()).collect::<Vec<_>>() as &[Option<Vec<u8>>],
        &rows().map(|(.., entry)| entry.data.clone()).collect::<Vec<_>>() as &[Option<String>],
        lock_timeout.as_millis().to_string(),
    )
    .fetch_all(c)
    .await?;
    let standing: HashSet<i64> = standing.into_iter().collect();
    let stands = (1..).take(batches.len()).map(|place| standing.contains(&place)).collect();
    Ok((stands, Effects::CHANGES))
}
