//! Retries while a server does not answer, with growing delays and a time limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::refusal::Refusal;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// How long failures in a row may last. An answer renews the budget.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    limit: Duration,
    notice: fn(&Status, Duration),
    failing_since: Option<Instant>,
    delay: Duration,
}

impl RetryBudget {
    /// Retries for `limit`, counted from the first of the failures in a row. A limit of zero retries nothing.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit, notice: |_, _| (), failing_since: None, delay: Duration::ZERO }
    }

    /// Calls `notice` with the error and the limit at the first of the failures in a row, before the wait.
    #[must_use]
    pub const fn with_notice(mut self, notice: fn(&Status, Duration)) -> Self {
        self.notice = notice;
        self
    }

    /// The server has answered.
    pub const fn renew(&mut self) {
        self.failing_since = None;
        self.delay = Duration::ZERO;
    }

    /// Waits before the next try: for 100 ms to 2 s, or longer if the server asked for it.
    ///
    /// # Errors
    /// The same error, if a retry can not help or the limit is over.
    pub async fn wait(&mut self, status: Status) -> Result<(), Status> {
        let refusal = Refusal::from(&status);
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if !refusal.is_transient() || since.elapsed() >= self.limit {
            return Err(status);
        }
        if self.delay.is_zero() {
            (self.notice)(&status, self.limit);
            self.delay = FIRST_DELAY;
        }
        let asked = refusal.retry_delay.unwrap_or_default().min(self.limit);
        sleep(self.delay.max(asked)).await;
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Code;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_retried() {
        let mut budget = RetryBudget::new(LIMIT);
        assert!(budget.wait(Status::unavailable("gone")).await.is_ok());
        assert!(budget.wait(Status::invalid_argument("wrong")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_end_at_the_limit_and_an_answer_renews_it() {
        let mut budget = RetryBudget::new(LIMIT);
        for _ in 0..2 {
            let begin = Instant::now();
            while budget.wait(Status::unavailable("gone")).await.is_ok() {}
            assert!((LIMIT..LIMIT + LONGEST_DELAY * 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
            budget.renew();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_to_spend_nothing_is_retried() {
        assert!(RetryBudget::new(Duration::ZERO).wait(Status::unavailable("gone")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_that_a_server_asks_for_is_kept() {
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        details.set_error_info("OVERLOADED", "ops", HashMap::new());
        let begin = Instant::now();
        let refused = Status::with_error_details(Code::ResourceExhausted, "full", details);
        RetryBudget::new(LIMIT).wait(refused).await.unwrap();
        assert!(begin.elapsed() >= Duration::from_secs(3), "{:?}", begin.elapsed());
    }
}
