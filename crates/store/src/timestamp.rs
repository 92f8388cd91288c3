//! A timestamp: an instant in UTC with microseconds, in the range that both databases and RFC 3339 can hold.
//!
//! Promises: what was written is what is read back, in PostgreSQL (`timestamptz`), in SQLite (an integer of
//! microseconds) and as text. Refuses: rounding. An instant that is finer or further away than that is an error.

use std::{fmt, str::FromStr};

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::datetime};

/// The first instant: year 1, because the year 0 is where databases and calendars disagree.
const FIRST: i64 = micros(datetime!(0001-01-01 0:00 UTC));
/// The last instant of the last year that RFC 3339 can write.
const LAST: i64 = micros(datetime!(9999-12-31 23:59:59.999999 UTC));

/// Microseconds since 1970-01-01T00:00:00Z, between the years 1 and 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not a date and time with an offset.
    #[error("must be an RFC 3339 date and time with an offset, like `2030-01-31T09:00:00Z`")]
    Malformed,
    /// More than six digits after the second's point.
    #[error("must not be finer than a microsecond")]
    TooFine,
    /// `23:59:60`: neither database can hold it.
    #[error("must not be a leap second: say the one before or after it")]
    LeapSecond,
    /// Before the year 1 or after the year 9999, in UTC.
    #[error("must lie between the years 1 and 9999 in UTC")]
    OutOfRange,
}

impl Timestamp {
    /// The clock's reading, cut to the microsecond.
    pub fn now() -> Self {
        Self(micros(OffsetDateTime::now_utc()).clamp(FIRST, LAST))
    }

    /// None outside the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (FIRST..=LAST).contains(&micros).then_some(Self(micros))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// This much later, and never past the last instant.
    pub fn plus(self, duration: std::time::Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(LAST))
    }

    /// This much earlier, and never before the first instant.
    pub fn minus(self, duration: std::time::Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(FIRST))
    }

    /// How long after `earlier` this is; nothing where it is not.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or_default())
    }

    pub(crate) fn from_date_time(instant: OffsetDateTime) -> Option<Self> {
        Self::from_micros(micros(instant))
    }

    pub(crate) fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .expect("the years 1 to 9999 are within the range of `OffsetDateTime`")
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError::Malformed)?;
        // It is read as the second's last nanosecond.
        if text.get(17..19) == Some("60") {
            return Err(TimestampError::LeapSecond);
        }
        if instant.nanosecond() % 1_000 != 0 {
            return Err(TimestampError::TooFine);
        }
        // An offset may push the years 0 and 9999 out of what a date can hold.
        let utc = instant.checked_to_offset(UtcOffset::UTC).ok_or(TimestampError::OutOfRange)?;
        Self::from_date_time(utc).ok_or(TimestampError::OutOfRange)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.date_time().format(&Rfc3339).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const fn micros(instant: OffsetDateTime) -> i64 {
    instant.unix_timestamp() * 1_000_000 + instant.microsecond() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, TimestampError>) {
        let read = text.parse::<Timestamp>().map(|timestamp| timestamp.to_string());
        assert_eq!(read.as_deref(), expected.as_ref().map(|text| *text), "{text}");
    }

    #[test]
    fn rfc_3339_is_read_into_utc_and_written_with_z() {
        check("2030-01-31T09:00:00Z", Ok("2030-01-31T09:00:00Z"));
        check("2030-01-31T09:00:00+02:00", Ok("2030-01-31T07:00:00Z"));
        check("2030-01-31t09:00:00.5z", Ok("2030-01-31T09:00:00.5Z"));
        check("2030-01-31T09:00:00.123456000Z", Ok("2030-01-31T09:00:00.123456Z"));
        check("0001-01-01T00:00:00Z", Ok("0001-01-01T00:00:00Z"));
        check("9999-12-31T23:59:59.999999Z", Ok("9999-12-31T23:59:59.999999Z"));
    }

    #[test]
    fn what_no_database_could_hold_is_refused() {
        check("", Err(TimestampError::Malformed));
        check("2030-01-31", Err(TimestampError::Malformed));
        check("2030-01-31T09:00:00", Err(TimestampError::Malformed));
        check("2030-02-30T09:00:00Z", Err(TimestampError::Malformed));
        check("2030-01-31T09:00:00.1234567Z", Err(TimestampError::TooFine));
        check("2016-12-31T23:59:60Z", Err(TimestampError::LeapSecond));
        check("2017-01-01T00:59:60.5+01:00", Err(TimestampError::LeapSecond));
        check("2016-12-31T12:00:60Z", Err(TimestampError::Malformed));
        check("0000-12-31T23:59:59Z", Err(TimestampError::OutOfRange));
        check("0001-01-01T00:00:00+00:01", Err(TimestampError::OutOfRange));
        check("9999-12-31T23:59:59-00:01", Err(TimestampError::OutOfRange));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<Timestamp>();
        }

        #[test]
        fn what_is_written_is_read_back(micros in FIRST..=LAST) {
            let timestamp = Timestamp::from_micros(micros).expect("within the range");
            prop_assert_eq!(timestamp.to_string().parse(), Ok(timestamp));
            prop_assert_eq!(Timestamp::from_date_time(timestamp.date_time()), Some(timestamp));
        }
    }
}
