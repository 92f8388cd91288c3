//! How long a replica takes to begin an answer: a peak-sensitive moving average.
//!
//! A slower answer than expected counts in full at once, faster ones bring the estimate down over about ten seconds.
//! A failure counts as an answer that took a second, averaged in, so that a replica which fails fast loses its share in
//! proportion to how much of it fails. Without news an estimate loses its worth, so that nobody is avoided for ever; a
//! replica never heard of has none. What is not known is never taken for fast: [`compared`] fills it in from the other.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The time in which old news loses two thirds of its weight.
const FADE: f64 = 10.0;
/// What a failure counts as, in seconds.
const FAILURE: f64 = 1.0;
/// The least that is expected of any, in seconds.
const FLOOR: f64 = 0.000_1;
/// The seconds of silence after which nothing is known any more.
const FORGOTTEN: f64 = 60.0;
/// What `updated` holds before the first news.
const NEVER: u64 = u64::MAX;

/// What is expected of one replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    /// Seconds to the head of an answer, as last known.
    pub(crate) seconds: f64,
    /// How much that is worth now: 1 just after news, 0 when there are none.
    pub(crate) certainty: f64,
}

impl Expected {
    /// Of a replica without news.
    pub(crate) const UNKNOWN: Expected = Expected { seconds: FLOOR, certainty: 0.0 };
}

/// The seconds to expect of each of two. What one of them is uncertain of it takes from both, by their certainty: with
/// no news of one, both are the same.
pub(crate) fn compared(one: Expected, other: Expected) -> (f64, f64) {
    let certainty = one.certainty + other.certainty;
    if certainty <= 0.0 {
        return (FLOOR, FLOOR);
    }
    let both = (one.seconds * one.certainty + other.seconds * other.certainty) / certainty;
    let seconds = |of: Expected| of.seconds * of.certainty + both * (1.0 - of.certainty);
    (seconds(one), seconds(other))
}

/// One replica's estimate. Two threads that tell at the same instant may lose one of the two: it is an estimate.
#[derive(Debug)]
pub(crate) struct Latency {
    born: Instant,
    /// Bits of an `f64`, seconds.
    estimate: AtomicU64,
    /// Microseconds since `born`, or [`NEVER`].
    updated: AtomicU64,
}

impl Latency {
    pub(crate) fn new(now: Instant) -> Self {
        Latency { born: now, estimate: AtomicU64::new(FLOOR.to_bits()), updated: AtomicU64::new(NEVER) }
    }

    /// What is expected of the replica now.
    pub(crate) fn expected(&self, now: Instant) -> Expected {
        match self.silence(now) {
            Some(silence) => {
                let seconds = f64::from_bits(self.estimate.load(Relaxed));
                Expected { seconds, certainty: certainty(silence) }
            }
            None => Expected::UNKNOWN,
        }
    }

    /// An answer's head came after `took`.
    pub(crate) fn answered(&self, now: Instant, took: Duration) {
        let took = took.as_secs_f64();
        self.store(now, |estimate, silence| match took > estimate {
            true => took,
            false => averaged(estimate, silence, took),
        });
    }

    /// An attempt failed, after whatever time.
    pub(crate) fn failed(&self, now: Instant, took: Duration) {
        let sample = took.as_secs_f64().max(FAILURE);
        self.store(now, |estimate, silence| averaged(estimate, silence, sample));
    }

    /// What was known no longer holds.
    pub(crate) fn forget(&self) {
        self.estimate.store(FLOOR.to_bits(), Relaxed);
        self.updated.store(NEVER, Relaxed);
    }

    /// `next`: the estimate after the one so far and the silence since then.
    fn store(&self, now: Instant, next: impl FnOnce(f64, f64) -> f64) {
        let estimate = f64::from_bits(self.estimate.load(Relaxed));
        // Before the first news there was a floor and no silence: one failure is averaged in like any other.
        let estimate = next(estimate, self.silence(now).unwrap_or(0.0));
        self.estimate.store(estimate.max(FLOOR).to_bits(), Relaxed);
        self.updated.store(micros(now.saturating_duration_since(self.born)), Relaxed);
    }

    /// Seconds since the last news, if there were any.
    fn silence(&self, now: Instant) -> Option<f64> {
        let updated = self.updated.load(Relaxed);
        let age = micros(now.saturating_duration_since(self.born));
        (updated != NEVER).then(|| age.saturating_sub(updated) as f64 / 1e6)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER - 1)
}

fn averaged(estimate: f64, silence: f64, sample: f64) -> f64 {
    // Where thousands come in a second, the last thousand of them are memory enough.
    let keep = (-silence / FADE).exp().min(0.999);
    estimate * keep + sample * (1.0 - keep)
}

fn certainty(silence: f64) -> f64 {
    // Under a second the difference decides nothing and the exponential is not worth its price.
    match silence {
        ..1.0 => 1.0,
        FORGOTTEN.. => 0.0,
        _ => (-silence / FADE).exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(samples: impl IntoIterator<Item = (f64, Option<f64>)>) -> f64 {
        let start = Instant::now();
        let latency = Latency::new(start);
        let mut now = start;
        for (after, took) in samples {
            now += Duration::from_secs_f64(after);
            match took {
                Some(took) => latency.answered(now, Duration::from_secs_f64(took)),
                None => latency.failed(now, Duration::ZERO),
            }
        }
        latency.expected(now).seconds
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_fast_ones_only_in_time() {
        assert_eq!(told([(0.1, Some(0.5))]), 0.5);
        let soon = told([(0.1, Some(0.5)), (0.1, Some(0.001))]);
        assert!((0.49..0.5).contains(&soon), "{soon}");
        let late = told([(0.1, Some(0.5)), (30.0, Some(0.001))]);
        assert!(late < 0.03, "{late}");
    }

    #[test]
    fn failing_fast_looks_slow_in_proportion() {
        let second =
            |fails: fn(u32) -> bool| told((0..500).map(move |n| (0.002, (!fails(n)).then_some(0.001))));
        let (none, some, all) = (second(|_| false), second(|n| n % 50 == 0), second(|_| true));
        assert!(none < 0.002, "{none}");
        assert!(some > none && some < 0.05, "{some}");
        assert!(all > 0.3, "{all}");
    }

    #[test]
    fn without_news_an_estimate_loses_its_worth() {
        let start = Instant::now();
        let latency = Latency::new(start);
        assert_eq!(latency.expected(start), Expected::UNKNOWN);
        latency.answered(start, Duration::from_secs(1));
        let check = |after: u64, low: f64, high: f64| {
            let expected = latency.expected(start + Duration::from_secs(after));
            assert_eq!(expected.seconds, 1.0);
            assert!((low..=high).contains(&expected.certainty), "after {after} s: {expected:?}");
        };
        check(0, 1.0, 1.0);
        check(10, 0.36, 0.37);
        check(59, 0.001, 0.01);
        check(60, 0.0, 0.0);
    }

    #[test]
    fn what_is_not_known_is_taken_from_the_other() {
        let know = |seconds, certainty| Expected { seconds, certainty };
        let check = |one, other, expected: (f64, f64)| {
            let (first, second) = compared(one, other);
            let near = |got: f64, expected: f64| (got - expected).abs() < 1e-9;
            assert!(
                near(first, expected.0) && near(second, expected.1),
                "{one:?} {other:?}: {first} {second}"
            );
        };
        check(Expected::UNKNOWN, Expected::UNKNOWN, (FLOOR, FLOOR));
        check(know(0.007, 1.0), Expected::UNKNOWN, (0.007, 0.007));
        check(know(0.007, 0.1), Expected::UNKNOWN, (0.007, 0.007));
        check(know(0.007, 1.0), know(0.001, 1.0), (0.007, 0.001));
        // A third of the weight: two thirds of the way to where both meet, (0.001 + 1 / 3) / (4 / 3).
        check(know(0.001, 1.0), know(1.0, 1.0 / 3.0), (0.001, 0.500_5));
        // However old its news, the slower one does not become the faster one.
        check(know(0.007, 1.0), know(0.007, 0.01), (0.007, 0.007));
    }
}
