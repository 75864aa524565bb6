//! One query that finds all work that needs no wakeup.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;

/// The work that the poll found. Another server may already be doing it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// No server checked leases for 5 s, so all leases begin anew.
    pub resumed: bool,
    /// The clock has gone back, and instants of the future are stored.
    pub set_back: bool,
    /// Runs can be claimed.
    pub claimable: bool,
    /// Waiting runs have reached their time.
    pub due: bool,
    /// Leases have ended, or workers are lost.
    pub overdue: bool,
    /// Orders wait to be sent to workers.
    pub orders: bool,
    /// Workers of this server have newer streams elsewhere.
    pub replaced: bool,
    /// Cancels were not confirmed in time, or a cancelled session has runs that have not ended.
    pub unfinished_cancels: bool,
    /// There are counters to fold or sessions to complete.
    pub counters: bool,
    /// The queue has so many dead rows that claims are slower.
    pub littered: bool,
}

/// Records that this server checks leases, and finds the work that there is. `streams` are the streams of this server: workers and epochs.
/// Also returns the time by the database's clock.
pub async fn poll(c: &mut PgConnection, streams: &[(Uuid, i64)]) -> Result<(Found, DateTime<Utc>), StoreError> {
    let (workers, epochs): (Vec<Uuid>, Vec<i64>) = streams.iter().copied().unzip();
    let row = sqlx::query_file!("src/store/poll.sql", &workers, &epochs).fetch_one(c).await?;
    let found = Found {
        resumed: row.resumed,
        set_back: row.set_back,
        claimable: row.claimable,
        due: row.due,
        overdue: row.overdue,
        orders: row.orders,
        replaced: row.replaced,
        unfinished_cancels: row.unfinished_cancels,
        counters: row.counters,
        littered: row.littered,
    };
    Ok((found, row.now))
}
