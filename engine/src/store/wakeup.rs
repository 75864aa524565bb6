//! Sends wakeups to other servers. `db/listen.rs` receives them.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;

/// Tells the other replicas to look, and from whom it comes. A wakeup, sent after the commit in a statement of its own.
pub async fn wakeup_send(c: &mut PgConnection, channels: &[&str], server_id: Uuid) -> Result<(), StoreError> {
    let channels: Vec<String> = channels.iter().map(|channel| (*channel).to_owned()).collect();
    sqlx::query!(
        "SELECT pg_notify(channel, $2) FROM unnest($1::text[]) AS h (channel)",
        &channels,
        server_id.to_string()
    )
    .execute(c)
    .await?;
    Ok(())
}
