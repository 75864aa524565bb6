//! Bounds how many units of work of a class run at a time.
//!
//! There are few connections and may be many calls. Without a gate a burst of reads would take all connections, and heartbeats, results
//! and cancels would wait for them until leases end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::db::StoreError;

/// How long a unit of work waits at a gate before it is refused.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Units of work that may wait for each one that may run. With work of a few milliseconds, so many can run within the timeout.
const WAITING_PER_UNIT: usize = 100;

/// Lets a few units of work run at a time, and a bounded number wait.
#[derive(Debug, Clone)]
pub struct Gate {
    running: Arc<Semaphore>,
    /// The units that run or wait.
    inside: Arc<Semaphore>,
    /// Whether the database did not answer the last unit of work.
    away: Arc<AtomicBool>,
}

/// Lets one unit of work run, until it is dropped.
#[derive(Debug)]
pub struct Pass(#[expect(dead_code, reason = "held for its drop")] [OwnedSemaphorePermit; 2]);

impl Gate {
    pub fn new(units: usize, away: Arc<AtomicBool>) -> Self {
        let inside = Arc::new(Semaphore::new(units * (1 + WAITING_PER_UNIT)));
        Self { running: Arc::new(Semaphore::new(units)), inside, away }
    }

    /// Waits until a unit of work may run.
    pub async fn enter(&self) -> Result<Pass, StoreError> {
        let inside = self.inside.clone().try_acquire_owned().map_err(|_| self.refusal())?;
        match tokio::time::timeout(TIMEOUT, self.running.clone().acquire_owned()).await {
            Ok(Ok(running)) => Ok(Pass([running, inside])),
            Ok(Err(_)) | Err(_) => Err(self.refusal()),
        }
    }

    /// Why a unit of work is refused: the database is away, or too much work waits.
    fn refusal(&self) -> StoreError {
        if self.away.load(Ordering::Relaxed) {
            StoreError::Unavailable("it did not answer the last request".into())
        } else {
            StoreError::Overloaded
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_waits_too_long_or_finds_the_gate_full_is_refused_with_the_reason() {
        let away = Arc::new(AtomicBool::new(false));
        let gate = Gate::new(1, away.clone());
        let running = gate.enter().await.expect("the gate is free");
        assert!(matches!(gate.enter().await, Err(StoreError::Overloaded)), "no unit ended in time");
        away.store(true, Ordering::Relaxed);
        assert!(matches!(gate.enter().await, Err(StoreError::Unavailable(_))));
        away.store(false, Ordering::Relaxed);
        let mut waiting: Vec<_> = (0..WAITING_PER_UNIT).map(|_| Box::pin(gate.enter())).collect();
        for one in &mut waiting {
            assert!(futures::poll!(one).is_pending());
        }
        assert!(matches!(futures::poll!(Box::pin(gate.enter())), std::task::Poll::Ready(Err(StoreError::Overloaded))));
        drop(running);
        assert!(waiting.remove(0).await.is_ok(), "the next one runs");
    }
}
