//! What a committed write has changed for others. `Wakeups::send` turns it into wakeups.

use std::ops::{BitOr, BitOrAssign};

/// Who has to look after a write was committed. The function that writes knows it, and its caller sends it on.
#[must_use = "others learn of a committed write from its effects"]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// Runs can be claimed.
    pub work: bool,
    /// There are orders for workers: to stop a run, to give it up, to drain.
    pub orders: bool,
    /// Runs have changed, for those who watch.
    pub changes: bool,
}

impl Effects {
    pub const NONE: Effects = Effects { work: false, orders: false, changes: false };
    pub const WORK: Effects = Effects { work: true, ..Effects::NONE };
    pub const ORDERS: Effects = Effects { orders: true, ..Effects::NONE };
    pub const CHANGES: Effects = Effects { changes: true, ..Effects::NONE };

    /// These effects, if the condition holds.
    pub fn when(self, condition: bool) -> Effects {
        if condition { self } else { Effects::NONE }
    }
}

impl BitOr for Effects {
    type Output = Effects;

    fn bitor(self, other: Effects) -> Effects {
        Effects {
            work: self.work || other.work,
            orders: self.orders || other.orders,
            changes: self.changes || other.changes,
        }
    }
}

impl BitOrAssign for Effects {
    fn bitor_assign(&mut self, other: Effects) {
        *self = *self | other;
    }
}
