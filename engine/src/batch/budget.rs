//! Room that is shared: what does not fit any more is overload, and is said so, instead of growing.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many items or bytes may be held at once.
#[derive(Debug, Clone)]
pub struct Budget {
    left: Arc<Semaphore>,
    total: u32,
}

/// A part of a budget, until it is dropped.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Budget {
    pub fn new(total: u32) -> Self {
        Self { left: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// A part, if there is as much left. Whoever wants more than there is in all gets it when nothing else is held.
    pub fn take(&self, wanted: usize) -> Option<Held> {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.total);
        self.left.clone().try_acquire_many_owned(wanted).ok().map(Held)
    }

    /// Whether any of it is held.
    pub fn is_taken(&self) -> bool {
        self.left.available_permits() < self.total as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again_and_who_wants_too_much_gets_all() {
        let budget = Budget::new(10);
        let held = budget.take(4).expect("there is as much");
        assert!(budget.take(7).is_none());
        let rest = budget.take(6).expect("there is as much");
        assert!(budget.take(100).is_none());
        assert!(budget.is_taken());
        drop((held, rest));
        assert!(!budget.is_taken());
        let all = budget.take(100).expect("nothing else is held");
        assert!(budget.take(1).is_none());
        assert!(budget.take(0).is_some());
        drop(all);
    }
}
