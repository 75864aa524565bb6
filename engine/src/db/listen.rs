//! Receives NOTIFY.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor};

use crate::db::{Db, StoreError};

/// How often a listener that receives nothing checks that its server is still the primary, and answers.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long opening a listener may take, and again a check.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A connection that receives notifications.
#[derive(Debug)]
pub struct Listener {
    listener: PgListener,
    db: Db,
    /// The number of the server that it is at.
    server: usize,
    /// The statement that checks it. It changes nothing, and fails at a standby.
    check: String,
}

impl Listener {
    pub async fn open(db: &Db, channels: &[&str]) -> Result<Self, StoreError> {
        let (options, server) = db.server();
        let opening = async {
            let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(TIMEOUT).connect_lazy_with(options);
            let mut listener = PgListener::connect_with(&pool).await?;
            // Its next connection may have to be one to another server.
            listener.eager_reconnect(false);
            listener.listen_all(channels.iter().copied()).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        let listener = tokio::time::timeout(TIMEOUT, opening).await.map_err(|_| silent())??;
        let check = format!("LISTEN {}", channels.first().copied().unwrap_or("ops"));
        Ok(Self { listener, db: db.clone(), server, check })
    }

    /// The next notification. Fails when the connection is lost, or leads to a server that is not the primary any more: notifications
    /// may be lost, so open another one and look at everything.
    pub async fn next(&mut self) -> Result<PgNotification, StoreError> {
        loop {
            match tokio::time::timeout(CHECK_INTERVAL, self.listener.try_recv()).await {
                Ok(Ok(Some(notification))) => return Ok(notification),
                Ok(Ok(None)) => return Err(StoreError::Unavailable("the listener lost its connection".into())),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => self.check().await?,
            }
        }
    }

    async fn check(&mut self) -> Result<(), StoreError> {
        if self.db.server().1 != self.server {
            return Err(StoreError::Unavailable("the primary is another server".into()));
        }
        let check = (&mut self.listener).execute(AssertSqlSafe(self.check.clone()));
        tokio::time::timeout(TIMEOUT, check).await.map_err(|_| silent())??;
        Ok(())
    }
}

fn silent() -> StoreError {
    StoreError::Unavailable(format!("the listener has no answer within {TIMEOUT:?}").into())
}
