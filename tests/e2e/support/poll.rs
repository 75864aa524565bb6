//! Ways to wait, all with a deadline that only a hang reaches.

use std::time::Duration;

/// Far beyond what anything here takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition that no stream tells of is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Looks until there is an answer.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    in_time(what, async {
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    })
    .await
}

/// What a future gives, or a panic that says what did not come.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("within {DEADLINE:?} this did not come: {what}"),
    }
}
