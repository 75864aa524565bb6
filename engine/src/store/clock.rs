//! The clock of the database, after it has gone back.

use sqlx::PgConnection;

use crate::db::StoreError;
use crate::store::effects::Effects;

/// What was brought to the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Rows whose instant was in the future.
    pub rows: u64,
    /// Whether that is all of them.
    pub is_done: bool,
}

/// Brings stored instants of the future to the present, if the clock has gone back. Afterwards the poll finds nothing to do here.
pub async fn clock_recover_in_tx(c: &mut PgConnection) -> Result<(Recovered, Effects), StoreError> {
    let noticed_at = sqlx::query_scalar!("SELECT set_back_at FROM ops.lease_service WHERE is_set_back")
        .fetch_optional(&mut *c)
        .await?;
    let Some(noticed_at) = noticed_at else {
        return Ok((Recovered { rows: 0, is_done: false }, Effects::NONE));
    };
    let found = sqlx::query_file!("src/store/clock.sql").fetch_one(&mut *c).await?;
    let mut is_done = false;
    if found.left == 0 {
        // Unless the clock has gone back again. A statement that read the clock before may write for as long as statements may take.
        let done = sqlx::query!(
            "UPDATE ops.lease_service SET is_set_back = false
             WHERE is_set_back AND set_back_at IS NOT DISTINCT FROM $1 AND set_back_at < clock_timestamp() - interval '15 s'",
            noticed_at
        );
        is_done = done.execute(c).await?.rows_affected() > 0;
    }
    Ok((Recovered { rows: found.changed as u64, is_done }, Effects::CHANGES.when(found.changed > 0)))
}
