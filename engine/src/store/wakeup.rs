//! Sends wakeups to other servers. `db/listen.rs` receives them.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::StoreError;

/// Sends a wakeup to the other servers, with the id of this server. It is sent after the commit, in a statement of its own.
pub async fn wakeup_send(c: &mut PgConnection, channels: &[&str], server_id: Uuid) -> Result<(), StoreError> {
    let channels: Vec<String> = channels.iter().map(|channel| (*channel).to_owned()).collect();
    sqlx::query!(
        "SELECT pg_notify(channel, $2) FROM unnest($1::text[]) AS n (channel)",
        &channels,
        server_id.to_string()
    )
    .execute(c)
    .await?;
    Ok(())
}
