//! A record as one line of JSON, the flat line of standard output.
//!
//! Promises: one line, whatever the values hold: no text can end it, start another, or carry a control character
//! (C0, DEL, C1, and the line separators of Unicode are escaped) to a terminal.

use std::{
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::record::{Datum, Record, line_name};

/// What all lines of a process have in common, ready to be copied.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// `"service":"…","instance":"…","uid":"…-`
    common: Vec<u8>,
}

impl Process {
    /// `id` is the first half of `uid`.
    pub(crate) fn new(service: &str, instance: &str, id: &str) -> Self {
        let mut common = b"\"service\":".to_vec();
        text(&mut common, service);
        common.extend_from_slice(b",\"instance\":");
        text(&mut common, instance);
        common.extend_from_slice(b",\"uid\":\"");
        common.extend_from_slice(id.as_bytes());
        common.push(b'-');
        Process { common }
    }

    /// Appends the record and a line feed.
    pub(crate) fn write(&self, to: &mut Vec<u8>, record: &Record) {
        to.extend_from_slice(b"{\"timestamp\":\"");
        timestamp(to, record.time);
        to.extend_from_slice(b"\",\"level\":\"");
        to.extend_from_slice(record.level.as_str().as_bytes());
        to.extend_from_slice(b"\",");
        to.extend_from_slice(&self.common);
        hexadecimal(to, record.number);
        to.extend_from_slice(b"\",\"logger\":");
        text(to, record.logger);
        to.extend_from_slice(b",\"message\":");
        text(to, &record.message);
        if let Some(ids) = &record.ids {
            to.extend_from_slice(b",\"trace_id\":\"");
            ids.trace.to_bytes().iter().for_each(|&byte| hex_byte(to, byte));
            to.extend_from_slice(b"\",\"span_id\":\"");
            ids.span.to_bytes().iter().for_each(|&byte| hex_byte(to, byte));
            to.push(b'"');
        }
        for (name, datum) in record.fields() {
            to.push(b',');
            text(to, line_name(name));
            to.push(b':');
            match datum {
                Datum::Bool(true) => to.extend_from_slice(b"true"),
                Datum::Bool(false) => to.extend_from_slice(b"false"),
                Datum::Int(value) => integer(to, value),
                Datum::Float(value) => {
                    // Writing to memory does not fail.
                    let _ = write!(to, "{value:?}");
                }
                Datum::Millis(value) => millis(to, value),
                Datum::Text(value) => text(to, value),
            }
        }
        to.extend_from_slice(b"}\n");
    }
}

/// A JSON string.
fn text(to: &mut Vec<u8>, value: &str) {
    to.push(b'"');
    let mut written = 0;
    for (at, character) in value.char_indices() {
        let short: &[u8] = match character {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => b"",
            _ => continue,
        };
        to.extend_from_slice(&value.as_bytes()[written..at]);
        to.extend_from_slice(short);
        if short.is_empty() {
            let code = character as u32;
            to.extend_from_slice(b"\\u");
            hex_byte(to, (code >> 8) as u8);
            hex_byte(to, code as u8);
        }
        written = at + character.len_utf8();
    }
    to.extend_from_slice(&value.as_bytes()[written..]);
    to.push(b'"');
}

/// RFC 3339 in UTC with microseconds.
fn timestamp(to: &mut Vec<u8>, time: SystemTime) {
    // A clock before 1970 is a clock that was never set: it reads as 1970.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (day, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(day);
    digits(to, 4, year);
    to.push(b'-');
    digits(to, 2, month);
    to.push(b'-');
    digits(to, 2, day);
    to.push(b'T');
    digits(to, 2, second / 3600);
    to.push(b':');
    digits(to, 2, second / 60 % 60);
    to.push(b':');
    digits(to, 2, second % 60);
    to.push(b'.');
    digits(to, 6, u64::from(since.subsec_micros()));
    to.push(b'Z');
}

/// Year, month and day of a day since 1970-01-01, by the Gregorian calendar: years begin in March, so that the
/// leap day is a year's last, and 400 of them are always 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// `value` in decimal, with leading zeros, its last `count` digits.
fn digits(to: &mut Vec<u8>, count: u32, value: u64) {
    for place in (0..count).rev() {
        to.push(b'0' + (value / 10_u64.pow(place) % 10) as u8);
    }
}

fn integer(to: &mut Vec<u8>, value: i64) {
    let mut backwards = [0; 20];
    let (mut rest, mut length) = (value.unsigned_abs(), 0);
    loop {
        backwards[length] = b'0' + (rest % 10) as u8;
        (rest, length) = (rest / 10, length + 1);
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        to.push(b'-');
    }
    to.extend(backwards[..length].iter().rev());
}

/// With three decimals.
fn millis(to: &mut Vec<u8>, value: f64) {
    let thousandths = (value.abs() * 1000.0).round();
    if value < 0.0 && thousandths > 0.0 {
        to.push(b'-');
    }
    // Saturates beyond 292 million years.
    let thousandths = thousandths as i64;
    integer(to, thousandths / 1000);
    to.push(b'.');
    digits(to, 3, (thousandths % 1000) as u64);
}

fn hexadecimal(to: &mut Vec<u8>, value: u64) {
    let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        to.push(HEX[(value >> (place * 4) & 0xf) as usize]);
    }
}

fn hex_byte(to: &mut Vec<u8>, byte: u8) {
    to.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::{SpanId, TraceFlags, TraceId};
    use proptest::prelude::*;
    use tracing::Level;

    use super::*;
    use crate::record::{Ids, Limits};

    fn record(message: &str) -> Record {
        let time = UNIX_EPOCH + Duration::from_micros(1_763_850_400_123_456);
        Record::new((time, 26), Level::WARN, "cache::fetch", message.to_owned().into(), Limits::default())
    }

    fn line(record: &Record) -> String {
        let mut line = Vec::new();
        Process::new("cache", "c-1", "9f3c2a71d04be856").write(&mut line, record);
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn a_line_is_flat_and_has_its_own_names() {
        let mut record = record("attempt failed");
        record.ids = Some(Ids {
            trace: TraceId::from_hex("5b8efff798038103d269b633813fc60c").expect("32 digits"),
            span: SpanId::from_hex("0ee19b7ec3c1b174").expect("16 digits"),
            flags: TraceFlags::SAMPLED,
        });
        record.text("http.request.method", "GET");
        record.int("http.response.status_code", 503);
        record.bool("throughline.cache_hit", true);
        record.millis("throughline.response_time_ms", 1.23449);
        record.float("ratio", 0.5);
        record.text("error.type", "connect");
        expect_test::expect![[r#"
            {"timestamp":"2025-11-22T22:26:40.123456Z","level":"WARN","service":"cache","instance":"c-1","uid":"9f3c2a71d04be856-1a","logger":"cache::fetch","message":"attempt failed","trace_id":"5b8efff798038103d269b633813fc60c","span_id":"0ee19b7ec3c1b174","method":"GET","status":503,"cache_hit":true,"response_time_ms":1.234,"ratio":0.5,"error.type":"connect"}
        "#]]
        .assert_eq(&line(&record));
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let check = |seconds: u64, expected: &str| {
            let mut text = Vec::new();
            timestamp(&mut text, UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(String::from_utf8_lossy(&text), expected);
        };
        check(0, "1970-01-01T00:00:00.000000Z");
        check(951_782_399, "2000-02-28T23:59:59.000000Z");
        check(951_782_400, "2000-02-29T00:00:00.000000Z");
        check(951_868_800, "2000-03-01T00:00:00.000000Z");
        check(1_704_067_199, "2023-12-31T23:59:59.000000Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn numbers_are_json() {
        let check = |value: f64, expected: &str| {
            let mut text = Vec::new();
            millis(&mut text, value);
            assert_eq!(String::from_utf8_lossy(&text), expected);
        };
        check(0.0, "0.000");
        check(0.0004, "0.000");
        check(0.0005, "0.001");
        check(12.3, "12.300");
        check(-0.0001, "0.000");
        check(-1.5, "-1.500");
        check(30_000.001, "30000.001");
        let mut text = Vec::new();
        integer(&mut text, i64::MIN);
        assert_eq!(text, i64::MIN.to_string().into_bytes());
    }

    proptest! {
        #[test]
        fn whatever_a_value_holds_it_stays_one_line_without_control_characters(value in "\\PC*|.*", message in any::<String>()) {
            let mut record = record(&message);
            record.text("path", &value);
            let line = line(&record);
            let inner = line.strip_suffix('\n').expect("ends with a line feed");
            let splits = inner.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
            prop_assert!(!splits);
            let parsed: serde_json::Value = serde_json::from_str(inner).expect("JSON");
            prop_assert_eq!(parsed["path"].as_str(), Some(value.as_str()));
            prop_assert_eq!(parsed["message"].as_str(), Some(message.as_str()));
        }

        #[test]
        fn a_number_of_milliseconds_is_the_same_in_both_forms(value in 0.0..1e9_f64) {
            let mut record = record("m");
            record.millis("db_ms", value);
            let Some((_, Datum::Millis(wire))) = record.fields().next() else { panic!("milliseconds") };
            let parsed: serde_json::Value = serde_json::from_str(&line(&record)).expect("JSON");
            prop_assert_eq!(parsed["db_ms"].as_f64(), Some(wire));
        }
    }
}
