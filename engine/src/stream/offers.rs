//! The runs that workers were sent and have not accepted yet, on all streams: how many more may be sent, in bytes.
//!
//! The size of a run is known only after its claim. So a claim asks for as many runs as fit if they are as large as those of the last
//! claims. What does not fit is given back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::batch::budget::{Budget, Held};

/// The bytes of one stream, about. More would not make a worker faster: it accepts within a round trip.
pub const STREAM_BYTES: usize = 4 << 20;

/// The assumed size of a run before the first claim.
const RUN_BYTES: usize = 16 * 1024;

/// The room for offered runs.
#[derive(Debug)]
pub struct Offers {
    bytes: Budget,
    /// The size of a run in the last claims, about.
    run_bytes: AtomicUsize,
    /// The last claim asked for fewer runs than workers had slots.
    is_short: AtomicBool,
}

impl Offers {
    /// Room for so many bytes on all streams.
    pub fn new(bytes: u32) -> Self {
        Self { bytes: Budget::new(bytes), run_bytes: AtomicUsize::new(RUN_BYTES), is_short: AtomicBool::new(false) }
    }

    /// Takes room for a run of this size, if there is some.
    pub fn take(&self, bytes: usize) -> Option<Held> {
        self.bytes.take(bytes)
    }

    /// The bytes of all offered runs.
    pub fn bytes(&self) -> usize {
        self.bytes.taken()
    }

    /// How many more runs fit, about. A run larger than all room fits alone.
    pub fn room(&self) -> usize {
        (self.bytes.left() / self.run_bytes()).max(usize::from(!self.bytes.is_taken()))
    }

    /// The size of a run in the last claims, about.
    pub fn run_bytes(&self) -> usize {
        self.run_bytes.load(Ordering::Relaxed)
    }

    /// A claim has brought runs. A larger size counts at once; a smaller one does slowly, because sizes are mixed.
    pub fn claimed(&self, runs: usize, bytes: usize) {
        if let Some(mean) = bytes.checked_div(runs) {
            let before = self.run_bytes();
            self.run_bytes.store(mean.max(before - before / 8).max(1), Ordering::Relaxed);
        }
    }

    /// Whether claims ask for fewer runs than workers have slots, so that the dispatcher must learn of new room.
    pub fn set_short(&self, is_short: bool) {
        self.is_short.store(is_short, Ordering::SeqCst);
    }

    /// Whether the dispatcher must learn of new room. Answers once.
    pub fn take_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed) && self.is_short.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_of_large_runs_counts_at_once_and_one_of_small_runs_slowly() {
        let offers = Offers::new(1_000_000);
        offers.claimed(10, 1_000_000);
        assert_eq!((offers.run_bytes(), offers.room()), (100_000, 10));
        offers.claimed(0, 0);
        offers.claimed(10, 10_000);
        assert_eq!(offers.run_bytes(), 87_500);
        for _ in 0..100 {
            offers.claimed(10, 10_000);
        }
        assert_eq!(offers.run_bytes(), 1_000);
    }

    #[test]
    fn a_run_larger_than_all_room_is_offered_alone() {
        let offers = Offers::new(1_000);
        offers.claimed(1, 5_000);
        assert_eq!(offers.room(), 1);
        let held = offers.take(5_000).expect("nothing else is offered");
        assert_eq!((offers.room(), offers.bytes()), (0, 1_000));
        assert!(offers.take(1).is_none());
        drop(held);
        assert_eq!(offers.room(), 1);
    }

    #[test]
    fn the_dispatcher_learns_once_of_new_room() {
        let offers = Offers::new(1);
        assert!(!offers.take_short());
        offers.set_short(true);
        assert!(offers.take_short());
        assert!(!offers.take_short());
    }
}
