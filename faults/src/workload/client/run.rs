//! The loop of a client.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::state::Client;

/// The longest pause between two calls.
const PAUSE: Duration = Duration::from_millis(50);

impl Client {
    /// Works until `stop`, and then makes each kind of call once more.
    ///
    /// # Errors
    ///
    /// Its history can not be written.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        self.create_session().await?;
        while !stop.is_cancelled() {
            match self.rng.random_range(0..100) {
                0..45 => self.enqueue_one().await?,
                45..52 => self.enqueue_many().await?,
                52..64 => self.cancel().await?,
                64..80 => self.look().await?,
                80..87 => self.wait().await?,
                87..95 => self.count().await?,
                95 => self.end_session().await?,
                _ => self.create_session().await?,
            }
            let pause = self.rng.random_range(Duration::ZERO..PAUSE);
            let _stopped = tokio::time::timeout(pause, stop.cancelled()).await;
        }
        // All faults are over, so even a client whose calls all failed has answers now.
        self.create_session().await?;
        self.enqueue_one().await?;
        self.look().await?;
        self.count().await
    }
}
