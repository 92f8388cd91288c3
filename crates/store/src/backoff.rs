//! Back-off: how long to wait before the next try, longer with each that failed.
//!
//! Full jitter: somewhere between nothing and a bound that doubles, so that those who failed together do not come back
//! together. Never less than a quarter of the first bound: what has just failed is left alone for a moment.

use std::time::Duration;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound after the first failure.
    pub first: Duration,
    /// No bound is longer.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after `failures` tries that failed, 1 or more; `random` is drawn from `[0, 1)`.
    pub fn wait(&self, failures: u32, random: f64) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let bound = self.first.saturating_mul(doubled).min(self.longest);
        let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
        bound.mul_f64(random).max(self.first / 4).min(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(4), longest: Duration::from_secs(100) };

    #[track_caller]
    fn check(failures: u32, random: f64, seconds: f64) {
        assert_eq!(BACKOFF.wait(failures, random).as_secs_f64(), seconds, "{failures} {random}");
    }

    #[test]
    fn the_bound_doubles_up_to_the_longest() {
        check(1, 1.0, 4.0);
        check(2, 1.0, 8.0);
        check(5, 1.0, 64.0);
        check(6, 1.0, 100.0);
        check(31, 1.0, 100.0);
        check(u32::MAX, 1.0, 100.0);
    }

    #[test]
    fn the_wait_is_anywhere_below_the_bound_and_never_nothing() {
        check(2, 0.5, 4.0);
        check(6, 0.25, 25.0);
        check(6, 0.0, 1.0);
        check(0, 0.5, 2.0);
        check(1, f64::NAN, 4.0);
    }

    proptest! {
        #[test]
        fn no_wait_is_outside_of_the_bounds(failures: u32, random: f64) {
            let wait = BACKOFF.wait(failures, random);
            prop_assert!(wait >= BACKOFF.first / 4 && wait <= BACKOFF.longest, "{wait:?}");
        }
    }
}
