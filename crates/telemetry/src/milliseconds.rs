//! Times as they are told: milliseconds with three decimals at most.

use std::time::Duration;

/// A time to the nearest microsecond. No further digits: those of a quotient that was not rounded look like a card number
/// now and then, and a Collector that redacts such numbers in attributes would make a text of them.
pub fn milliseconds(time: Duration) -> f64 {
    let microseconds = time.as_nanos().saturating_add(500) / 1_000;
    microseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_has_more_than_three_decimals() {
        for microseconds in (0..20_000_000).step_by(37) {
            let text = milliseconds(Duration::from_micros(microseconds)).to_string();
            let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            assert!(decimals <= 3, "{text}");
            assert_eq!((text.parse::<f64>().unwrap() * 1_000.0).round() as u64, microseconds);
        }
    }

    #[test]
    fn a_time_is_rounded_to_the_nearest_microsecond() {
        for (nanoseconds, expected) in
            [(0, 0.0), (499, 0.0), (500, 0.001), (1_499, 0.001), (4_682_500, 4.683)]
        {
            assert_eq!(milliseconds(Duration::from_nanos(nanoseconds)), expected, "{nanoseconds}");
        }
        assert!(milliseconds(Duration::MAX) > 1e22);
    }
}
