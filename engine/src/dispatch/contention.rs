//! What a dispatcher knows of the queue of one group, and what follows from a claim there. Pure: the clock is an argument.
//!
//! A claim skips the runs that other transactions have locked. Two servers that claim from one queue would each read past all runs
//! that the other one gets, so they claim in turns: each waits until the other's claim is committed, and then gets the best runs
//! that are left. A server that meets no other waits for none. If a turn does not come in time, claims go on without turns, and
//! look behind the locked runs.

use std::time::{Duration, Instant};

use crate::settings::OUTAGE_RETRY_DELAY;

/// How many more runs than slots a claim looks at, when a claim in turn met locked runs all the same. Each further such claim looks
/// at four times as many, up to a bound.
const BEYOND: usize = 500;
const BEYOND_MAX: usize = 32_000;

/// How long the dispatcher waits before it looks again or further. The delay doubles each time, up to a bound.
const DELAY: Duration = Duration::from_millis(1);
const DELAY_MAX: Duration = Duration::from_millis(100);

/// After this many full claims in turn, one claim goes without: the other servers may have gone.
const TURNS: u32 = 64;

/// How long claims go without turns after a turn that did not come in time.
const TURNLESS: Duration = Duration::from_secs(10);

/// How to claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Wait for the turn first.
    pub in_turn: bool,
    /// The number of claimable runs to look at, at most.
    pub look_at: usize,
}

/// What a claim found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Runs {
        /// The slots that asked for a run each.
        slots: usize,
        /// The runs that they got.
        given: usize,
        /// The claimable runs, with those that were given and those that are locked, counted up to `look_at`.
        claimable: usize,
        /// The bound of the claim.
        look_at: usize,
    },
    /// The wait for a lock timed out. For a claim in turn, this is the lock of the turn.
    LockTimeout,
    /// The database failed, or did not answer.
    Failure,
}

/// What the dispatcher does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing is left, or nobody has room: wait for a wakeup or for room.
    Wait,
    /// Other transactions have locked all runs that are left: look again after this delay.
    LookAgain(Duration),
    /// Other transactions have locked all runs that the claim looked at: look at more after this delay.
    LookFurther(Duration),
    /// Other transactions are at this queue: claim at once, in turn.
    ClaimInTurn,
    /// The turn did not come in time: claim at once, without it.
    ClaimWithoutTurn,
    /// All slots got runs, and there may be more: claim again at once.
    ClaimAgain,
    /// The database is away: claim again after this delay.
    Retry(Duration),
}

impl Step {
    /// Whether the claim saw the whole queue. A unary call at its deadline may then be answered with no runs.
    pub fn has_looked(self) -> bool {
        match self {
            Step::Wait | Step::LookAgain(_) | Step::ClaimAgain | Step::Retry(_) => true,
            Step::LookFurther(_) | Step::ClaimInTurn | Step::ClaimWithoutTurn => false,
        }
    }
}

/// What a dispatcher knows of the queue of one group.
#[derive(Debug)]
pub struct Contention {
    is_exhausted: bool,
    in_turn: bool,
    turns: u32,
    beyond: usize,
    delay: Duration,
    no_turns_until: Option<Instant>,
}

impl Default for Contention {
    fn default() -> Self {
        Self { is_exhausted: false, in_turn: false, turns: 0, beyond: 0, delay: DELAY, no_turns_until: None }
    }
}

impl Contention {
    /// Whether no run was left, and no wakeup has come since.
    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// A wakeup has come: there may be runs again.
    pub fn woken(&mut self) {
        self.is_exhausted = false;
    }

    /// How to claim for this many slots.
    pub fn claim(&self, slots: usize) -> Claim {
        Claim { in_turn: self.in_turn, look_at: slots + self.beyond }
    }

    /// What follows from a claim.
    pub fn next(&mut self, found: Found, now: Instant) -> Step {
        match found {
            Found::Runs { slots, given, .. } if given == slots => self.filled(),
            Found::Runs { given, claimable, look_at, .. } if claimable > given => {
                self.met_others(claimable == look_at, now)
            }
            Found::Runs { .. } => self.exhausted(),
            Found::LockTimeout if self.in_turn => self.missed_turn(now),
            Found::LockTimeout | Found::Failure => self.failed(),
        }
    }

    fn filled(&mut self) -> Step {
        self.beyond /= 2;
        self.delay = DELAY;
        if self.in_turn {
            self.turns += 1;
            self.in_turn = self.turns < TURNS;
        }
        Step::ClaimAgain
    }

    /// Other transactions had locked runs; `is_more` says that there may be runs behind those that the claim looked at.
    fn met_others(&mut self, is_more: bool, now: Instant) -> Step {
        if !self.in_turn && self.no_turns_until.is_none_or(|until| now >= until) {
            (self.in_turn, self.turns) = (true, 0);
            return Step::ClaimInTurn;
        }
        let delay = self.delay;
        self.delay = (delay * 2).min(DELAY_MAX);
        if is_more && self.beyond < BEYOND_MAX {
            self.beyond = (self.beyond * 4).clamp(BEYOND, BEYOND_MAX);
            return Step::LookFurther(delay);
        }
        Step::LookAgain(delay)
    }

    fn exhausted(&mut self) -> Step {
        *self = Self { is_exhausted: true, no_turns_until: self.no_turns_until, ..Self::default() };
        Step::Wait
    }

    fn missed_turn(&mut self, now: Instant) -> Step {
        self.in_turn = false;
        self.no_turns_until = Some(now + TURNLESS);
        Step::ClaimWithoutTurn
    }

    /// The claim may have been too large, so the next one is smaller.
    fn failed(&mut self) -> Step {
        self.beyond = 0;
        Step::Retry(OUTAGE_RETRY_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: usize = 10;

    /// A queue that answers claims. Each test says how many runs are free, and how many runs others have locked.
    struct Queue {
        contention: Contention,
        now: Instant,
    }

    impl Queue {
        fn new() -> Self {
            Self { contention: Contention::default(), now: Instant::now() }
        }

        fn claim(&self) -> Claim {
            self.contention.claim(SLOTS)
        }

        fn beyond(&self) -> usize {
            self.claim().look_at - SLOTS
        }

        fn next(&mut self, found: Found) -> Step {
            self.contention.next(found, self.now)
        }

        fn claims(&mut self, free: usize, locked: usize) -> Step {
            let look_at = self.claim().look_at;
            let (given, claimable) = (free.min(SLOTS), (free + locked).min(look_at));
            self.next(Found::Runs { slots: SLOTS, given, claimable, look_at })
        }
    }

    #[test]
    fn a_claim_that_fills_all_slots_is_followed_by_another() {
        let mut queue = Queue::new();
        assert_eq!(queue.claims(SLOTS, 0), Step::ClaimAgain);
        assert_eq!(queue.claims(SLOTS, 5), Step::ClaimAgain, "it did not meet the others");
        assert_eq!(queue.claim(), Claim { in_turn: false, look_at: SLOTS });
    }

    #[test]
    fn a_queue_that_is_exhausted_waits_for_a_wakeup() {
        let mut queue = Queue::new();
        for free in [0, SLOTS - 1] {
            assert!(!queue.contention.is_exhausted());
            assert_eq!(queue.claims(free, 0), Step::Wait);
            assert!(queue.contention.is_exhausted());
            queue.contention.woken();
        }
        assert!(!queue.contention.is_exhausted());
    }

    #[test]
    fn a_claim_that_meets_others_is_followed_by_claims_in_turn_until_nothing_is_left() {
        for free in [0, SLOTS - 1] {
            let mut queue = Queue::new();
            assert_eq!(queue.claims(free, 1), Step::ClaimInTurn);
            assert_eq!(queue.claim(), Claim { in_turn: true, look_at: SLOTS });
            assert_eq!(queue.claims(SLOTS, 0), Step::ClaimAgain);
            assert!(queue.claim().in_turn);
            assert_eq!(queue.claims(0, 0), Step::Wait);
            assert!(!queue.claim().in_turn);
        }
    }

    #[test]
    fn after_many_full_turns_a_claim_without_turn_finds_out_whether_the_others_have_gone() {
        let mut queue = Queue::new();
        for _ in 0..2 {
            assert_eq!(queue.claims(1, 1), Step::ClaimInTurn);
            for _ in 0..TURNS {
                assert!(queue.claim().in_turn);
                assert_eq!(queue.claims(SLOTS, 0), Step::ClaimAgain);
            }
            assert!(!queue.claim().in_turn);
        }
    }

    #[test]
    fn a_claim_in_turn_that_meets_others_looks_further_if_there_may_be_more_and_else_again() {
        let mut queue = Queue::new();
        queue.claims(0, 1);
        assert_eq!((queue.claims(0, 1), queue.beyond()), (Step::LookAgain(DELAY), 0));
        let ms = Duration::from_millis;
        for (delay, beyond) in [(2, 500), (4, 2_000), (8, 8_000), (16, 32_000)] {
            assert_eq!((queue.claims(0, 100_000), queue.beyond()), (Step::LookFurther(ms(delay)), beyond));
        }
        for delay in [32, 64, 100, 100] {
            assert_eq!((queue.claims(0, 100_000), queue.beyond()), (Step::LookAgain(ms(delay)), BEYOND_MAX));
        }
    }

    #[test]
    fn a_full_claim_looks_half_as_far_and_begins_the_delays_anew() {
        let mut queue = Queue::new();
        for _ in 0..3 {
            queue.claims(0, 100_000);
        }
        assert_eq!(queue.beyond(), 2_000);
        assert_eq!((queue.claims(SLOTS, 0), queue.beyond()), (Step::ClaimAgain, 1_000));
        assert_eq!(queue.claims(0, 100_000), Step::LookFurther(DELAY));
    }

    #[test]
    fn a_turn_that_does_not_come_in_time_is_not_waited_for_again_for_some_time() {
        let mut queue = Queue::new();
        queue.claims(0, 1);
        assert_eq!(queue.next(Found::LockTimeout), Step::ClaimWithoutTurn);
        assert!(!queue.claim().in_turn);
        assert_eq!(queue.claims(0, 0), Step::Wait);
        assert_eq!(queue.claims(0, 100_000), Step::LookFurther(DELAY), "an exhausted queue does not forget it");
        assert!(!queue.claim().in_turn);
        queue.now += TURNLESS;
        assert_eq!(queue.claims(0, 100_000), Step::ClaimInTurn);
    }

    #[test]
    fn a_failure_and_a_lock_that_is_no_turn_are_tried_again_later_and_smaller() {
        for found in [Found::Failure, Found::LockTimeout] {
            let mut queue = Queue::new();
            queue.claims(0, 1);
            queue.next(Found::LockTimeout);
            queue.claims(0, 100_000);
            assert_eq!(queue.claim(), Claim { in_turn: false, look_at: SLOTS + BEYOND });
            assert_eq!(queue.next(found), Step::Retry(OUTAGE_RETRY_DELAY));
            assert_eq!(queue.claim(), Claim { in_turn: false, look_at: SLOTS });
        }
        let mut queue = Queue::new();
        queue.claims(0, 1);
        assert_eq!(queue.next(Found::Failure), Step::Retry(OUTAGE_RETRY_DELAY));
        assert!(queue.claim().in_turn, "a failure says nothing of the others");
    }

    #[test]
    fn a_unary_call_is_answered_with_nothing_only_after_a_claim_that_saw_all() {
        let later = Duration::ZERO;
        for step in [Step::Wait, Step::ClaimAgain, Step::LookAgain(later), Step::Retry(later)] {
            assert!(step.has_looked(), "{step:?}");
        }
        for step in [Step::ClaimInTurn, Step::ClaimWithoutTurn, Step::LookFurther(later)] {
            assert!(!step.has_looked(), "{step:?}");
        }
    }
}
