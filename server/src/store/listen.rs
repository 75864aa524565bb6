//! NOTIFY, received.

use sqlx::postgres::PgListener;

use super::{Db, StoreError};

/// A connection that receives notifications.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    pub async fn open(db: &Db, channels: &[&str]) -> Result<Self, StoreError> {
        let mut listener = PgListener::connect_with(db.pool()).await?;
        listener.listen_all(channels.iter().copied()).await?;
        Ok(Self(listener))
    }

    /// The channel of the next notification. `None`: the connection was lost and made again, and what was sent meanwhile
    /// is gone, so look at everything.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.0.try_recv().await?.map(|notification| notification.channel().to_owned()))
    }
}
