//! Ways to wait, all with a deadline that only a hang reaches.

use std::time::Duration;

/// Far longer than any step takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition without a stream is checked.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Calls `look` until it returns something.
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

/// The result of a future. Panics with what was missing if it does not come in time.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("this did not come within {DEADLINE:?}: {what}"),
    }
}
