//! What was removed from the queue leaves dead rows behind, through which each claim has to look.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::db::{Db, StoreError};

/// A database that hangs is not waited for. What is not swept in this time is left to autovacuum.
const DEADLINE: Duration = Duration::from_secs(60);

/// Sweeps the queue, on a connection of its own, unless somebody is at it. Only the owner of a table may: answers whether who
/// serves may become that.
pub async fn queue_vacuum(db: &Db) -> Result<bool, StoreError> {
    let late = |_| Err(StoreError::Unavailable(format!("the queue was not swept within {DEADLINE:?}").into()));
    tokio::time::timeout(DEADLINE, sweep(db)).await.unwrap_or_else(late)
}

async fn sweep(db: &Db) -> Result<bool, StoreError> {
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
