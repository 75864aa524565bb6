//! What there is to do, asked at once.

use sqlx::PgConnection;

use crate::db::StoreError;

/// What was found. Each says "look": another server may be at it already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Nobody had looked after leases for 5 s: they begin anew.
    pub resumed: bool,
    /// Runs can be given to workers.
    pub claimable: bool,
    /// The time of waiting runs has come.
    pub due: bool,
    /// Leases have ended, or workers are lost.
    pub overdue: bool,
    /// Workers have to be told something.
    pub orders: bool,
    /// Cancels were not confirmed in time, or sessions have runs that were not cancelled.
    pub unfinished_cancels: bool,
    /// Counters are to be folded, or sessions to be completed.
    pub counters: bool,
    /// So much was removed from the queue that claims take longer.
    pub littered: bool,
}

/// Says that leases are looked after, and what there is to do.
pub async fn poll(c: &mut PgConnection) -> Result<Found, StoreError> {
    Ok(sqlx::query_file_as!(Found, "src/store/poll.sql").fetch_one(c).await?)
}
