//! `Retry-After` (RFC 9110 §10.2.3): how long a receiver wants to be left alone.

use std::time::{Duration, SystemTime};

/// Who wants to be left alone for longer is asked again after this.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The wait from `now` on, at most [`LONGEST`]; none where the value is neither seconds nor a date.
pub(crate) fn wait(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    let wait = if !value.is_empty() && value.bytes().all(|digit| digit.is_ascii_digit()) {
        // What is only digits and no number is beyond 64 bits, and beyond every bound.
        value.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        // A date in the past: now.
        until.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2030-01-01T00:00:00Z.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000)
    }

    #[track_caller]
    fn check(value: &str, seconds: Option<u64>) {
        assert_eq!(wait(value, now()), seconds.map(Duration::from_secs), "{value:?}");
    }

    #[test]
    fn it_is_seconds_or_a_date() {
        check("0", Some(0));
        check("120", Some(120));
        check(" 7\t", Some(7));
        check("Tue, 01 Jan 2030 00:00:30 GMT", Some(30));
        check("Tuesday, 01-Jan-30 00:00:30 GMT", Some(30));
        check("Tue Jan  1 00:00:30 2030", Some(30));
        check("Mon, 31 Dec 2029 23:59:59 GMT", Some(0));
    }

    #[test]
    fn nobody_is_left_alone_for_ever() {
        check("86401", Some(86_400));
        check("99999999999999999999999999", Some(86_400));
        check("Tue, 01 Jan 2999 00:00:00 GMT", Some(86_400));
    }

    #[test]
    fn what_is_neither_says_nothing() {
        for value in ["", " ", "-1", "+1", "1.5", "1s", "soon", "0x10", "Tue, 99 Jan 2030 00:00:30 GMT"] {
            check(value, None);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_stranger_sends_breaks_it(value in ".{0,80}") {
            prop_assert!(wait(&value, now()).is_none_or(|wait| wait <= LONGEST));
        }
    }
}
