//! Durations, counted in logarithmic buckets: percentiles of any number of them in fixed memory.
//!
//! Bucket `i` holds what lies above `GROWTH^(i-2)` and not above `GROWTH^(i-1)` nanoseconds, bucket 0 what took none; whatever lies in it is told as the value
//! that is off by the same share from both ends, (GROWTH - 1) / (GROWTH + 1) < 1 %. There are at most 2,243 buckets.

use std::collections::BTreeMap;

/// How much wider each bucket is than the one before.
const GROWTH: f64 = 1.02;

/// How many requests took how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    buckets: BTreeMap<u16, u64>,
    count: u64,
    extent: Option<(u64, u64)>,
}

impl Durations {
    /// Counts one more, in nanoseconds.
    pub fn add(&mut self, nanoseconds: u64) {
        *self.buckets.entry(bucket(nanoseconds)).or_default() += 1;
        self.count += 1;
        let (min, max) = self.extent.unwrap_or((nanoseconds, nanoseconds));
        self.extent = Some((min.min(nanoseconds), max.max(nanoseconds)));
    }

    /// Counts all of `others` as well.
    pub fn add_all(&mut self, others: &Self) {
        for (bucket, count) in &others.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
        self.count += others.count;
        let widest = |a: (u64, u64), b: (u64, u64)| (a.0.min(b.0), a.1.max(b.1));
        self.extent = self.extent.into_iter().chain(others.extent).reduce(widest);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest, exactly.
    pub fn min(&self) -> Option<u64> {
        self.extent.map(|(min, _)| min)
    }

    /// The longest, exactly.
    pub fn max(&self) -> Option<u64> {
        self.extent.map(|(_, max)| max)
    }

    /// The duration that `part` (0 to 1) of them do not exceed, by nearest rank: off by 1 % and half a nanosecond at most.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let (min, max) = self.extent?;
        let rank = ((part * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut passed = 0;
        let at = self.buckets.iter().find(|(_, count)| {
            passed += **count;
            passed >= rank
        });
        at.map(|(bucket, _)| middle(*bucket).clamp(min, max))
    }

    /// How many there are in each of `cells` equal parts of a logarithmic axis from `least` to `most` nanoseconds.
    pub(crate) fn spread(&self, least: u64, most: u64, cells: usize) -> Vec<u64> {
        let (first, last) = (usize::from(bucket(least)), usize::from(bucket(most)));
        let mut spread = vec![0; cells];
        for (bucket, count) in &self.buckets {
            let at = usize::from(*bucket).clamp(first, last) - first;
            spread[at * cells / (last - first + 1)] += count;
        }
        spread
    }
}

fn bucket(nanoseconds: u64) -> u16 {
    match nanoseconds {
        0 => 0,
        // At most 2242.
        _ => 1 + ((nanoseconds as f64).ln() / GROWTH.ln()).ceil() as u16,
    }
}

fn middle(bucket: u16) -> u64 {
    match bucket {
        0 => 0,
        _ => (2.0 * GROWTH.powi(i32::from(bucket) - 1) / (GROWTH + 1.0)).round() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(durations: &[u64]) -> Durations {
        let mut counted = Durations::default();
        durations.iter().for_each(|duration| counted.add(*duration));
        counted
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).map(|n| n * 1_000_000).collect();
        let counted = of(&hundred);
        for (part, exact) in [(0.0, 1), (0.01, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)] {
            let told = counted.quantile(part).unwrap() as f64 / 1e6;
            assert!((told - f64::from(exact)).abs() <= f64::from(exact) * 0.01, "{part}: {told}");
        }
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[7]).quantile(0.5), Some(7));
        assert_eq!(of(&[0, 0]).quantile(0.99), Some(0));
        assert_eq!(of(&[u64::MAX]).quantile(0.5), Some(u64::MAX));
    }

    #[test]
    fn two_counts_become_one() {
        let mut counted = of(&[5, 700]);
        counted.add_all(&of(&[]));
        counted.add_all(&of(&[1, 700, 9]));
        assert_eq!(counted, of(&[1, 5, 9, 700, 700]));
        let mut none = of(&[]);
        none.add_all(&of(&[3]));
        assert_eq!(none, of(&[3]));
    }

    #[test]
    fn the_axis_is_logarithmic_and_holds_all() {
        let counted = of(&[1, 1_000, 1_000, 1_000_000, 1_000_000_000]);
        assert_eq!(counted.spread(1, 1_000_000_000, 4), [1, 2, 1, 1]);
        assert_eq!(counted.spread(5, 5, 3).iter().sum::<u64>(), 5);
        assert_eq!(of(&[]).spread(1, 2, 2), [0, 0]);
    }

    proptest! {
        #[test]
        fn percentiles_are_off_by_one_per_cent_at_most(
            mut durations in proptest::collection::vec(prop_oneof![0..200_u64, 0..10_000_000_000_u64, any::<u64>()], 1..300),
            part in 0.0..=1.0_f64,
        ) {
            let told = of(&durations).quantile(part).unwrap();
            durations.sort_unstable();
            let rank = ((part * durations.len() as f64).ceil() as usize).clamp(1, durations.len());
            let exact = durations[rank - 1];
            let bound = exact as f64 * 0.01 + 0.5;
            prop_assert!((told as f64 - exact as f64).abs() <= bound, "{told} is told for {exact}");
        }
    }
}
