//! The loop of a repair: do it, say what it did, wait.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::db::StoreError;

/// Does something now and then each `period`, until `closing`. What was done is logged, unless it was nothing.
pub async fn each<T, F>(name: &'static str, period: Duration, closing: CancellationToken, once: impl Fn() -> F)
where
    T: Debug + Default + PartialEq,
    F: Future<Output = Result<T, StoreError>>,
{
    while let Some(()) = closing.run_until_cancelled(tokio::time::sleep(period)).await {
        told(name, once().await);
    }
}

/// Does something each time that it is woken, until there is nothing left of it; until `closing`. A failure ends it as well: who
/// wakes it finds what is left.
pub async fn woken<T, F>(name: &'static str, wake: &Notify, closing: CancellationToken, once: impl Fn() -> F)
where
    T: Debug + Default + PartialEq,
    F: Future<Output = Result<T, StoreError>>,
{
    while let Some(()) = closing.run_until_cancelled(wake.notified()).await {
        while told(name, once().await) && !closing.is_cancelled() {}
    }
}

/// Logs what was done. Whether that was anything.
fn told<T: Debug + Default + PartialEq>(name: &'static str, done: Result<T, StoreError>) -> bool {
    match done {
        Ok(counts) if counts == T::default() => return false,
        Ok(counts) => tracing::info!(repair = name, ?counts, "repaired"),
        Err(error) => {
            tracing::warn!(repair = name, %error, "a repair failed; it is tried again");
            return false;
        }
    }
    true
}
