//! How long a replica takes to begin an answer: a peak-sensitive moving average.
//!
//! A slower answer than expected counts in full at once, faster ones bring the estimate down over about ten seconds.
//! A failure counts as an answer that took a second, averaged in, so that a replica which fails fast loses its share in
//! proportion to how much of it fails. Without news an estimate fades, so that nobody is avoided for ever.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The time in which old news loses two thirds of its weight.
const FADE: f64 = 10.0;
/// What a failure counts as, in seconds.
const FAILURE: f64 = 1.0;
/// What is expected of a replica never heard of, and the least that is of any, in seconds.
const FLOOR: f64 = 0.000_1;

/// One replica's estimate. Two threads that tell at the same instant may lose one of the two: it is an estimate.
#[derive(Debug)]
pub(crate) struct Latency {
    born: Instant,
    /// Bits of an `f64`, seconds.
    estimate: AtomicU64,
    /// Microseconds since `born`.
    updated: AtomicU64,
}

impl Latency {
    pub(crate) fn new(now: Instant) -> Self {
        Latency { born: now, estimate: AtomicU64::new(FLOOR.to_bits()), updated: AtomicU64::new(0) }
    }

    /// Expected seconds to the head of an answer.
    pub(crate) fn expected(&self, now: Instant) -> f64 {
        faded(f64::from_bits(self.estimate.load(Relaxed)), self.silence(now))
    }

    /// An answer's head came after `took`.
    pub(crate) fn answered(&self, now: Instant, took: Duration) {
        let estimate = f64::from_bits(self.estimate.load(Relaxed));
        self.store(now, after_answer(estimate, self.silence(now), took.as_secs_f64()));
    }

    /// An attempt failed, after whatever time.
    pub(crate) fn failed(&self, now: Instant, took: Duration) {
        let estimate = f64::from_bits(self.estimate.load(Relaxed));
        self.store(now, averaged(estimate, self.silence(now), took.as_secs_f64().max(FAILURE)));
    }

    fn store(&self, now: Instant, estimate: f64) {
        self.estimate.store(estimate.max(FLOOR).to_bits(), Relaxed);
        self.updated.store(micros(now.saturating_duration_since(self.born)), Relaxed);
    }

    /// Seconds since the last news.
    fn silence(&self, now: Instant) -> f64 {
        let age = micros(now.saturating_duration_since(self.born));
        age.saturating_sub(self.updated.load(Relaxed)) as f64 / 1e6
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn after_answer(estimate: f64, silence: f64, took: f64) -> f64 {
    match took > estimate {
        true => took,
        false => averaged(estimate, silence, took),
    }
}

fn averaged(estimate: f64, silence: f64, sample: f64) -> f64 {
    // Where thousands come in a second, the last thousand of them are memory enough.
    let keep = (-silence / FADE).exp().min(0.999);
    estimate * keep + sample * (1.0 - keep)
}

fn faded(estimate: f64, silence: f64) -> f64 {
    // Under a second the difference decides nothing and the exponential is not worth its price.
    match silence < 1.0 {
        true => estimate,
        false => (estimate * (-silence / FADE).exp()).max(FLOOR),
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
        latency.expected(now)
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
    fn without_news_an_estimate_fades() {
        let start = Instant::now();
        let latency = Latency::new(start);
        latency.answered(start, Duration::from_secs(1));
        assert_eq!(latency.expected(start), 1.0);
        assert!(latency.expected(start + Duration::from_secs(30)) < 0.06);
        assert_eq!(latency.expected(start + Duration::from_secs(3600)), FLOOR);
    }
}
