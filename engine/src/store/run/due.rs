//! Offers waiting runs when their time has come.

use sqlx::PgConnection;

use crate::db::StoreError;
use crate::store::effects::Effects;

/// Puts runs whose time has come into the queue. Returns how many.
pub async fn run_due(c: &mut PgConnection) -> Result<(u64, Effects), StoreError> {
    let offered = sqlx::query_file_scalar!("src/store/run/due.sql").fetch_one(c).await?;
    Ok((offered as u64, (Effects::WORK | Effects::CHANGES).when(offered > 0)))
}
