//! What a dispatcher does about others at the head of its queue: other replicas, and strangers that have locked runs. Pure.
//!
//! Claims pass over what another has locked. Two replicas that are at the same runs would both look at all that the other gets,
//! so they take turns: each waits until the other's claim is committed, and gets what is the best then. A replica that is alone
//! waits for nobody. Should one hold its turn for too long, the others go on without turns and look behind what it has locked.

use std::time::{Duration, Instant};

/// At how many runs more than there are slots a round looks whose turn it was and which met others all the same. Four times as
/// many each time it does again, up to a bound.
const BEYOND: usize = 500;
const BEYOND_MAX: usize = 32_000;

/// How long it waits before that, doubled each time, up to a bound.
const DELAY: Duration = Duration::from_millis(1);
const DELAY_MAX: Duration = Duration::from_millis(100);

/// For how long there are no turns when one was not had in time.
const TURNLESS: Duration = Duration::from_secs(10);

/// What is known of others at the queue.
#[derive(Debug)]
pub struct Contention {
    in_turn: bool,
    beyond: usize,
    delay: Duration,
    no_turns_until: Option<Instant>,
}

impl Default for Contention {
    fn default() -> Self {
        Self { in_turn: false, beyond: 0, delay: DELAY, no_turns_until: None }
    }
}

impl Contention {
    /// Whether the next round waits for its turn.
    pub fn in_turn(&self) -> bool {
        self.in_turn
    }

    /// At how many runs more than there are slots the next round looks.
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// A round met others: for how long the next one waits.
    pub fn met(&mut self, now: Instant) -> Duration {
        if !self.in_turn && self.no_turns_until.is_none_or(|until| now >= until) {
            self.in_turn = true;
            return Duration::ZERO;
        }
        self.beyond = (self.beyond * 4).clamp(BEYOND, BEYOND_MAX);
        let delay = self.delay;
        self.delay = (delay * 2).min(DELAY_MAX);
        delay
    }

    /// A round filled all its slots.
    pub fn passed(&mut self) {
        self.beyond /= 2;
        self.delay = DELAY;
    }

    /// Nothing is left to meet at.
    pub fn ended(&mut self) {
        *self = Self { no_turns_until: self.no_turns_until, ..Self::default() };
    }

    /// A turn was not had in time.
    pub fn missed_turn(&mut self, now: Instant) {
        self.in_turn = false;
        self.no_turns_until = Some(now + TURNLESS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_meets_others_takes_turns_at_once_until_nothing_is_left() {
        let (mut contention, now) = (Contention::default(), Instant::now());
        assert!(!contention.in_turn());
        assert_eq!(contention.met(now), Duration::ZERO);
        assert!(contention.in_turn());
        assert_eq!(contention.beyond(), 0);
        contention.passed();
        assert!(contention.in_turn());
        contention.ended();
        assert!(!contention.in_turn());
    }

    #[test]
    fn who_meets_others_in_its_turn_waits_and_looks_behind_them() {
        let (mut contention, now) = (Contention::default(), Instant::now());
        contention.met(now);
        let delays: Vec<u128> = (0..9).map(|_| contention.met(now).as_millis()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
        assert_eq!(contention.beyond(), BEYOND_MAX);
        contention.passed();
        assert_eq!(contention.beyond(), BEYOND_MAX / 2);
        assert_eq!(contention.met(now), DELAY);
        contention.ended();
        assert_eq!(contention.beyond(), 0);
    }

    #[test]
    fn a_turn_that_does_not_come_is_not_waited_for_again_for_some_time() {
        let (mut contention, now) = (Contention::default(), Instant::now());
        contention.met(now);
        contention.missed_turn(now);
        assert!(!contention.in_turn());
        contention.ended();
        assert_eq!(contention.met(now), DELAY);
        assert_eq!((contention.in_turn(), contention.beyond()), (false, BEYOND));
        assert_eq!(contention.met(now + TURNLESS), Duration::ZERO);
        assert!(contention.in_turn());
    }
}
