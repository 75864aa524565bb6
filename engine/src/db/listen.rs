//! Receives NOTIFY.

use sqlx::postgres::{PgListener, PgNotification};

use crate::db::{Db, StoreError};

/// A connection that receives notifications.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    pub async fn open(db: &Db, channels: &[&str]) -> Result<Self, StoreError> {
        let waiting = db.waiting();
        let mut listener = PgListener::connect_with(db.pool()).await?;
        drop(waiting);
        listener.listen_all(channels.iter().copied()).await?;
        Ok(Self(listener))
    }

    /// The next notification. `None` if the connection was lost and opened again: notifications may be lost, so look at everything.
    pub async fn next(&mut self) -> Result<Option<PgNotification>, StoreError> {
        Ok(self.0.try_recv().await?)
    }
}
