//! What a committed write changed for others. `Wakeups::send` turns it into wakeups.

use std::ops::{BitOr, BitOrAssign};

/// What others can see after the commit. The function that writes returns it, and its caller sends the wakeups.
#[must_use = "others learn of a committed write from its effects"]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// Runs can be claimed.
    pub work: bool,
    /// Workers have new orders: to stop a run, to give it up, or to drain.
    pub orders: bool,
    /// Runs have changed, so watchers must read the feed.
    pub changes: bool,
    /// Workers have newer streams, so older ones at other servers must end.
    pub streams: bool,
}

impl Effects {
    pub const NONE: Effects = Effects { work: false, orders: false, changes: false, streams: false };
    pub const WORK: Effects = Effects { work: true, ..Effects::NONE };
    pub const ORDERS: Effects = Effects { orders: true, ..Effects::NONE };
    pub const CHANGES: Effects = Effects { changes: true, ..Effects::NONE };
    pub const STREAMS: Effects = Effects { streams: true, ..Effects::NONE };

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
            streams: self.streams || other.streams,
        }
    }
}

impl BitOrAssign for Effects {
    fn bitor_assign(&mut self, other: Effects) {
        *self = *self | other;
    }
}
