//! How long to go on when the server does not answer: a wait that grows from try to try, and an end.

use std::time::{Duration, Instant};

use tonic::Status;

use crate::{errors, output};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// A server that is replaced or whose database fails over is back within this.
const LIMIT: Duration = Duration::from_secs(60);

/// Patience with one server. It lasts for a minute of failures in a row, and any answer renews it.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failing_since: Option<Instant>,
    delay: Duration,
}

impl Patience {
    /// The server has answered.
    pub(crate) fn renew(&mut self) {
        *self = Self::default();
    }

    /// Waits before the next try, or gives the error back if another try can not help or it was tried for long enough.
    /// The first failure is told on standard error.
    pub(crate) async fn bear(&mut self, status: Status) -> Result<(), Status> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if !errors::is_transient(&status) || since.elapsed() > LIMIT {
            return Err(status);
        }
        if self.delay.is_zero() {
            output::tell(format_args!("{}; trying again for {} s", errors::brief(&status), LIMIT.as_secs()));
            self.delay = FIRST_DELAY;
        }
        tokio::time::sleep(self.delay).await;
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_borne() {
        let mut patience = Patience::default();
        assert!(patience.bear(Status::unavailable("gone")).await.is_ok());
        assert!(patience.bear(Status::invalid_argument("wrong")).await.is_err());
    }
}
