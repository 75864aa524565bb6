//! Transitions that a clock triggers.

use sqlx::PgConnection;

use crate::db::StoreError;
use crate::store::effects::Effects;

/// Offers runs whose time has come. Answers how many.
pub async fn run_due(c: &mut PgConnection) -> Result<(u64, Effects), StoreError> {
    let offered = sqlx::query_file_scalar!("src/store/run/due.sql").fetch_one(c).await?;
    Ok((offered as u64, (Effects::WORK | Effects::CHANGES).when(offered > 0)))
}
