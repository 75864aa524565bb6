//! Keeping what workers log.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::report::{Guard, GuardColumns};
use crate::domain::Lease;
use crate::domain::event::EventEntry;

/// Events of one grant, numbered from `first_seq` on.
#[derive(Debug, Clone)]
pub struct GuardedEvents {
    pub guard: Guard,
    pub first_seq: i64,
    pub entries: Vec<EventEntry>,
}

/// Keeps events of grants that stand, each position once. Grants that are not in the answer have lost their lease.
pub async fn run_events_append(c: &mut PgConnection, batches: &[GuardedEvents]) -> Result<HashSet<Lease>, StoreError> {
    let guards: Vec<Guard> = batches.iter().map(|batch| batch.guard).collect();
    let columns = GuardColumns::of(&guards);
    let rows = || {
        batches.iter().flat_map(|batch| {
            batch.entries.iter().zip(batch.first_seq..).map(move |(entry, seq)| (batch.guard.lease, seq, entry))
        })
    };
    let standing = sqlx::query_file!(
        "src/store/sql/run_events_append.sql",
        &columns.run_ids,
        &columns.fences,
        &columns.worker_ids,
        &columns.epochs,
        &rows().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
        &rows().map(|(lease, ..)| lease.run_id).collect::<Vec<_>>(),
        &rows().map(|(lease, ..)| lease.fence).collect::<Vec<_>>(),
        &rows().map(|(_, seq, _)| seq).collect::<Vec<_>>(),
        &rows().map(|(.., entry)| entry.level.as_str().to_owned()).collect::<Vec<_>>(),
        &rows().map(|(.., entry)| entry.message.clone()).collect::<Vec<_>>(),
        &rows().map(|(.., entry)| entry.raw.clone()).collect::<Vec<_>>() as &[Option<Vec<u8>>],
        &rows().map(|(.., entry)| entry.data.clone()).collect::<Vec<_>>() as &[Option<String>],
    )
    .fetch_all(c)
    .await?;
    Ok(standing.into_iter().map(|row| Lease { run_id: row.id, fence: row.fence }).collect())
}
