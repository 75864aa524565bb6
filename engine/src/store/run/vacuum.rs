//! Vacuums the queue. Claimed runs leave dead rows there, and every claim has to read past them.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection};

use crate::db::{Db, StoreError};

/// Bounds a vacuum in a database that hangs. Autovacuum does what is left.
const DEADLINE: Duration = Duration::from_secs(60);

/// Vacuums the queue on a connection of its own, unless another vacuum runs. Only the owner of a table may do so: returns whether this
/// server's role may become the owner.
pub async fn queue_vacuum(db: &Db) -> Result<bool, StoreError> {
    let late =
        |_| Err(StoreError::Unavailable(format!("the vacuum of the queue took longer than {DEADLINE:?}").into()));
    tokio::time::timeout(DEADLINE, vacuum(db)).await.unwrap_or_else(late)
}

async fn vacuum(db: &Db) -> Result<bool, StoreError> {
    let mut c = db.open_plain().await?;
    // Since PostgreSQL 16 a member may not become the role without the SET option.
    let may = "SELECT pg_has_role(current_user, 'ops_owner',
                                  CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)";
    let may: bool = sqlx::query_scalar(may).fetch_one(&mut c).await?;
    if may {
        // The deadline here does not end the vacuum there.
        let set = format!("SET ROLE ops_owner; SET statement_timeout = {}", DEADLINE.as_millis());
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut c).await?;
        sqlx::raw_sql("VACUUM (SKIP_LOCKED, TRUNCATE FALSE) ops.run_queue").execute(&mut c).await?;
    }
    c.close().await?;
    Ok(may)
}
