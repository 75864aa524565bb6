//! What a dispatcher knows of the queue of one group: whether anything is left, and who else is at its head. Pure.
//!
//! Claims pass over what another has locked. Two servers that are at the same runs would both look at all that the other gets,
//! so they take turns: each waits until the other's claim is committed, and gets what is the best then. A server that meets nobody
//! waits for nobody. Should one hold its turn for too long, the others go on without turns and look behind what it has locked.

use std::time::{Duration, Instant};

/// At how many runs more than there are slots a batch looks whose turn it was and which met others all the same. Four times as
/// many each time it does again, up to a bound.
const BEYOND: usize = 500;
const BEYOND_MAX: usize = 32_000;

/// How long it waits before that, doubled each time, up to a bound.
const DELAY: Duration = Duration::from_millis(1);
const DELAY_MAX: Duration = Duration::from_millis(100);

/// After how many full batches in turn one goes without: the others may have gone.
const TURNS: u32 = 64;

/// For how long there are no turns when one was not had in time.
const TURNLESS: Duration = Duration::from_secs(10);

/// What is known of the queue of one group.
#[derive(Debug)]
pub struct Contention {
    exhausted: bool,
    in_turn: bool,
    turns: u32,
    beyond: usize,
    delay: Duration,
    no_turns_until: Option<Instant>,
}

/// What follows from a batch that met others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// The next one waits for its turn, at once.
    TakesTurns,
    /// The next one looks further behind them, so much later.
    LooksFurther(Duration),
    /// Others are at all that is left, as far as can be seen: the next one looks again, so much later.
    Waits(Duration),
}

impl Default for Contention {
    fn default() -> Self {
        Self { exhausted: false, in_turn: false, turns: 0, beyond: 0, delay: DELAY, no_turns_until: None }
    }
}

impl Contention {
    /// Whether nothing was left, and no wakeup has come since.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Whether the next batch waits for its turn.
    pub fn in_turn(&self) -> bool {
        self.in_turn
    }

    /// At how many runs more than there are slots the next batch looks.
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// There may be something again.
    pub fn woken(&mut self) {
        self.exhausted = false;
    }

    /// A batch filled all its slots.
    pub fn filled(&mut self) {
        self.beyond /= 2;
        self.delay = DELAY;
        if self.in_turn {
            self.turns += 1;
            self.in_turn = self.turns < TURNS;
        }
    }

    /// A batch met others; there may be more than it looked at, or not.
    pub fn met(&mut self, is_more: bool, now: Instant) -> Met {
        if !self.in_turn && self.no_turns_until.is_none_or(|until| now >= until) {
            (self.in_turn, self.turns) = (true, 0);
            return Met::TakesTurns;
        }
        let delay = self.delay;
        self.delay = (delay * 2).min(DELAY_MAX);
        if is_more && self.beyond < BEYOND_MAX {
            self.beyond = (self.beyond * 4).clamp(BEYOND, BEYOND_MAX);
            return Met::LooksFurther(delay);
        }
        Met::Waits(delay)
    }

    /// Nothing is left.
    pub fn ended(&mut self) {
        *self = Self { exhausted: true, no_turns_until: self.no_turns_until, ..Self::default() };
    }

    /// A turn was not had in time.
    pub fn missed_turn(&mut self, now: Instant) {
        self.in_turn = false;
        self.no_turns_until = Some(now + TURNLESS);
    }

    /// A batch failed: it may have been too much at once.
    pub fn failed(&mut self) {
        self.beyond = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_meets_others_takes_turns_at_once_until_nothing_is_left() {
        let (mut contention, now) = (Contention::default(), Instant::now());
        assert!(!contention.in_turn());
        assert_eq!(contention.met(true, now), Met::TakesTurns);
        assert!(contention.in_turn());
        assert_eq!(contention.beyond(), 0);
        contention.filled();
        assert!(contention.in_turn());
        contention.ended();
        assert!(!contention.in_turn());
        assert!(contention.is_exhausted());
        contention.woken();
        assert!(!contention.is_exhausted());
    }

    #[test]
    fn who_has_taken_many_turns_looks_whether_the_others_have_gone() {
        let (mut contention, now) = (Contention::default(), Instant::now());
        for _ in 0..2 {
            assert_eq!(contention.met(true, now), Met::TakesTurns);
            for _ in 0..TURNS {
                assert!(contention.in_turn());
                contention.filled();
            }
            assert!(!contention.in_turn());
        }
    }

    #[test]
    fn who_meets_others_in_its_turn_waits_and_looks_behind_them_if_there_is_more() {
        let (mut contention, now) = (Contention::default(), Instant::now());
        contention.met(true, now);
        assert_eq!((contention.met(false, now), contention.beyond()), (Met::Waits(DELAY), 0));
        let ms = Duration::from_millis;
        for (delay, beyond) in [(2, 500), (4, 2_000), (8, 8_000), (16, 32_000)] {
            assert_eq!((contention.met(true, now), contention.beyond()), (Met::LooksFurther(ms(delay)), beyond));
        }
        for delay in [32, 64, 100, 100] {
            assert_eq!((contention.met(true, now), contention.beyond()), (Met::Waits(ms(delay)), BEYOND_MAX));
        }
        contention.filled();
        assert_eq!(contention.beyond(), BEYOND_MAX / 2);
        assert_eq!(contention.met(true, now), Met::LooksFurther(DELAY));
        contention.failed();
        assert_eq!(contention.beyond(), 0);
    }

    #[test]
    fn a_turn_that_does_not_come_is_not_waited_for_again_for_some_time() {
        let (mut contention, now) = (Contention::default(), Instant::now());
        contention.met(true, now);
        contention.missed_turn(now);
        assert!(!contention.in_turn());
        contention.ended();
        assert_eq!(contention.met(true, now), Met::LooksFurther(DELAY));
        assert_eq!((contention.in_turn(), contention.beyond()), (false, BEYOND));
        assert_eq!(contention.met(true, now + TURNLESS), Met::TakesTurns);
        assert!(contention.in_turn());
    }
}
