//! What was removed from the queue leaves dead rows behind, through which each claim has to look.

use sqlx::{Connection, PgConnection};

use super::{Db, StoreError};

/// Sweeps the queue, on a connection of its own, unless somebody is at it. Only the owner of a table may: answers whether who
/// serves may become that.
pub async fn queue_vacuum(db: &Db) -> Result<bool, StoreError> {
    let options = db.pool().connect_options();
    let mut c = PgConnection::connect_with(&options).await?;
    let is_member = "SELECT pg_has_role(current_user, 'ops_owner', 'MEMBER')";
    let may: bool = sqlx::query_scalar(is_member).fetch_one(&mut c).await?;
    if may {
        sqlx::raw_sql("SET ROLE ops_owner").execute(&mut c).await?;
        sqlx::raw_sql("VACUUM (SKIP_LOCKED, TRUNCATE FALSE) ops.run_queue").execute(&mut c).await?;
    }
    c.close().await?;
    Ok(may)
}
