//! Exponential backoff with full jitter: workers that lost the same server do not all come back at the same moment.

use std::time::Duration;

/// The bound of the first delay.
pub(crate) const FIRST: Duration = Duration::from_millis(100);
/// The bound of every delay.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// The delay before the next try.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// A random delay below a bound that doubles with each call.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let bound = self.bound();
        self.tries = self.tries.saturating_add(1);
        bound.mul_f64(rand::random::<f64>())
    }

    /// A try succeeded: the next delay is short again.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    fn bound(&self) -> Duration {
        FIRST.saturating_mul(2u32.saturating_pow(self.tries)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_to_its_limit_and_is_short_again_after_a_success() {
        let mut backoff = Backoff::default();
        let mut bounds = Vec::new();
        for _ in 0..40 {
            let bound = backoff.bound();
            assert!(backoff.next_delay() <= bound);
            bounds.push(bound);
        }
        assert_eq!(bounds[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(bounds[39], LONGEST);
        backoff.reset();
        assert_eq!(backoff.bound(), FIRST);
    }
}
