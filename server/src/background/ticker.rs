//! The loop of a repair: tick, do it once, say what it did.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::StoreError;

/// Does something now and then each `period`, until `closing`. What was done is logged, unless it was nothing.
pub async fn each<T, F>(name: &'static str, period: Duration, closing: CancellationToken, once: impl Fn() -> F)
where
    T: Debug + Default + PartialEq,
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match once().await {
            Ok(counts) if counts == T::default() => {}
            Ok(counts) => tracing::info!(repair = name, ?counts, "repaired"),
            Err(error) => tracing::warn!(repair = name, %error, "a repair failed; it is tried again"),
        }
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            () = closing.cancelled() => return,
        }
    }
}
