//! Room that many requests share. A request that does not fit is refused as overload, so that memory does not grow without bound.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of items or bytes that may be held at once.
#[derive(Debug, Clone)]
pub struct Budget {
    left: Arc<Semaphore>,
    total: u32,
}

/// A part of a budget. Its drop gives the part back.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Budget {
    pub fn new(total: u32) -> Self {
        Self { left: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Takes a part, if enough is left. A caller that wants more than the total gets all of it when nothing else is held.
    pub fn take(&self, wanted: usize) -> Option<Held> {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.total);
        self.left.clone().try_acquire_many_owned(wanted).ok().map(Held)
    }

    /// How much is left.
    pub fn left(&self) -> usize {
        self.left.available_permits()
    }

    /// How much is held.
    pub fn taken(&self) -> usize {
        (self.total as usize).saturating_sub(self.left())
    }

    /// Whether any part is held.
    pub fn is_taken(&self) -> bool {
        self.taken() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_part_can_be_taken_again_and_a_caller_that_wants_too_much_gets_all() {
        let budget = Budget::new(10);
        let held = budget.take(4).expect("enough is left");
        assert!(budget.take(7).is_none());
        let rest = budget.take(6).expect("enough is left");
        assert!(budget.take(100).is_none());
        assert!(budget.is_taken());
        assert_eq!((budget.left(), budget.taken()), (0, 10));
        drop((held, rest));
        assert!(!budget.is_taken());
        let all = budget.take(100).expect("nothing else is held");
        assert!(budget.take(1).is_none());
        assert!(budget.take(0).is_some());
        drop(all);
    }
}
