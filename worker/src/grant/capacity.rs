//! How many runs a worker may hold when it lacks something that each run needs, such as file descriptors. After a shortage it takes no
//! runs for a while, longer each time; then it begins with one more than it holds, and doubles as long as nothing fails. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause, and the longest. A random part of it keeps workers of one machine from trying at the same moment.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Without a shortage for this time, the worker may hold twice as many runs.
const RAISE_AFTER: Duration = Duration::from_secs(1);

/// The runs that a worker may hold.
#[derive(Debug)]
pub(crate) struct Capacity {
    slots: usize,
    limit: usize,
    /// Shortages since a run last ended without one.
    shortages: u32,
    pause: Option<Pause>,
    /// When the limit rises.
    raise_at: Option<Instant>,
}

/// The worker takes no runs for now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pause {
    pub(crate) reason: String,
    pub(crate) until: Instant,
}

impl Capacity {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, limit: slots, shortages: 0, pause: None, raise_at: None }
    }

    /// A run could not be executed. Begins a pause and returns it; runs that fail during a pause do not make it longer. `random` is
    /// from 0 to 1.
    pub(crate) fn shortage(&mut self, reason: &str, now: Instant, random: f64) -> Option<&Pause> {
        if self.pause.is_some() {
            return None;
        }
        let bound = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(self.shortages)).min(LONGEST_PAUSE);
        self.shortages = self.shortages.saturating_add(1);
        let length = bound.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        self.raise_at = None;
        self.pause = Some(Pause { reason: reason.to_owned(), until: now + length });
        self.pause.as_ref()
    }

    /// A run has ended, however it did: whatever runs need is there.
    pub(crate) fn executed(&mut self, now: Instant) {
        if self.pause.is_none() && self.limit < self.slots {
            self.shortages = 0;
            self.raise(now);
        }
    }

    /// Ends a pause, and raises the limit, when their time has come. `held`: the runs that the worker holds now. Returns whether a pause
    /// has ended.
    pub(crate) fn tick(&mut self, held: usize, now: Instant) -> bool {
        if self.pause.as_ref().is_some_and(|pause| now >= pause.until) {
            self.pause = None;
            self.limit = (held + 1).min(self.slots);
            self.raise_at = Some(now + RAISE_AFTER);
            return true;
        }
        if self.raise_at.is_some_and(|at| now >= at) {
            self.raise(now);
        }
        false
    }

    /// The runs that the worker may take beside those that it holds.
    pub(crate) fn room(&self, held: usize) -> usize {
        if self.pause.is_some() { 0 } else { self.limit.saturating_sub(held) }
    }

    pub(crate) fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.pause.as_ref().map(|pause| pause.until).or(self.raise_at)
    }

    fn raise(&mut self, now: Instant) {
        self.limit = self.limit.saturating_mul(2).min(self.slots);
        self.raise_at = (self.limit < self.slots).then(|| now + RAISE_AFTER);
        if self.raise_at.is_none() {
            self.shortages = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LACK: &str = "Too many open files";

    /// Lets a pause pass, and returns its length.
    fn pass(capacity: &mut Capacity, now: &mut Instant, held: usize) -> Duration {
        let length = capacity.wake_at().unwrap() - *now;
        *now += length;
        assert!(capacity.tick(held, *now));
        length
    }

    #[test]
    fn pauses_grow_until_a_run_is_executed() {
        let (mut capacity, mut now) = (Capacity::new(8), Instant::now());
        assert_eq!(capacity.room(0), 8);
        let mut lengths = Vec::new();
        for _ in 0..8 {
            assert!(capacity.shortage(LACK, now, 1.0).is_some());
            assert!(capacity.shortage(LACK, now, 1.0).is_none(), "one pause for all runs that fail together");
            assert_eq!(capacity.room(0), 0);
            lengths.push(pass(&mut capacity, &mut now, 0).as_secs());
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
        capacity.executed(now);
        capacity.shortage(LACK, now, 0.0);
        assert_eq!(pass(&mut capacity, &mut now, 0), FIRST_PAUSE / 2, "short again, less a random part");
    }

    #[test]
    fn after_a_pause_it_takes_one_run_and_then_twice_as_many_each_time() {
        let (mut capacity, mut now) = (Capacity::new(8), Instant::now());
        capacity.shortage(LACK, now, 1.0);
        pass(&mut capacity, &mut now, 2);
        assert_eq!(capacity.room(2), 1, "one beside the two that it holds");
        capacity.executed(now);
        assert_eq!(capacity.room(0), 6);
        now += RAISE_AFTER;
        assert!(!capacity.tick(0, now));
        assert_eq!((capacity.room(0), capacity.wake_at()), (8, None), "as before the shortage");
    }

    #[test]
    fn long_runs_raise_the_limit_by_the_clock() {
        let (mut capacity, mut now) = (Capacity::new(4), Instant::now());
        capacity.shortage(LACK, now, 1.0);
        pass(&mut capacity, &mut now, 0);
        assert_eq!(capacity.room(1), 0);
        now += RAISE_AFTER;
        capacity.tick(1, now);
        assert_eq!(capacity.room(1), 1);
    }
}
