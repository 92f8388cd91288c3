//! One log line as it was recorded, before it is JSON or OTLP: the caller pays for this much and no more, the
//! threads that write do the rest.
//!
//! Promises: the same reading of the clock, the same number and the same values for both forms. All texts of a
//! record share one allocation. A field whose name says that it is a secret never holds its value.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId};
use tracing::Level;

use crate::{
    names::{LINE_FIELDS, OWN_PREFIX},
    queue::Weigh,
};

/// What stands in place of a secret.
const BLANK: &str = "****";

/// Names that the flat line gives a meaning of its own; a field of that name gets another one.
const RESERVED: &[(&str, &str, &str)] = &[
    ("timestamp", "throughline.field_timestamp", "field_timestamp"),
    ("level", "throughline.field_level", "field_level"),
    ("service", "throughline.field_service", "field_service"),
    ("instance", "throughline.field_instance", "field_instance"),
    ("uid", "throughline.field_uid", "field_uid"),
    ("logger", "throughline.field_logger", "field_logger"),
    ("message", "throughline.field_message", "field_message"),
    ("trace_id", "throughline.field_trace_id", "field_trace_id"),
    ("span_id", "throughline.field_span_id", "field_span_id"),
];

/// How much one record holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of one text; the rest is cut off.
    pub(crate) value_length: usize,
    /// Fields; further ones are left out and counted in the OTLP record.
    pub(crate) fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // A stack trace fits; a client's 400 kB path does not make a line of 400 kB.
        Limits { value_length: 32 * 1024, fields: 128 }
    }
}

/// The trace, span and flags that a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) flags: TraceFlags,
}

impl Ids {
    /// None where there is no span.
    pub(crate) fn of(span: &SpanContext) -> Option<Self> {
        let ids = Ids { trace: span.trace_id(), span: span.span_id(), flags: span.trace_flags() };
        span.is_valid().then_some(ids)
    }
}

/// A value, or where in the record's text it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Bool(bool),
    Int(i64),
    Float(f64),
    Millis(f64),
    Text(u32, u32),
}

/// A value as the writers see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Datum<'a> {
    Bool(bool),
    Int(i64),
    /// Finite.
    Float(f64),
    /// Finite; a whole number of thousandths.
    Millis(f64),
    Text(&'a str),
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) time: SystemTime,
    /// The second half of `uid`.
    pub(crate) number: u64,
    pub(crate) level: Level,
    pub(crate) logger: &'static str,
    pub(crate) message: Cow<'static, str>,
    pub(crate) ids: Option<Ids>,
    pub(crate) dropped_fields: u32,
    limits: Limits,
    fields: Vec<(&'static str, Held)>,
    text: String,
}

impl Record {
    pub(crate) fn new(
        (time, number): (SystemTime, u64),
        level: Level,
        logger: &'static str,
        message: Cow<'static, str>,
        limits: Limits,
    ) -> Self {
        let (fields, text) = (Vec::with_capacity(16), String::with_capacity(128));
        Record { time, number, level, logger, message, ids: None, dropped_fields: 0, limits, fields, text }
    }

    pub(crate) fn bool(&mut self, name: &'static str, value: bool) {
        self.hold(name, Held::Bool(value));
    }

    pub(crate) fn int(&mut self, name: &'static str, value: i64) {
        self.hold(name, Held::Int(value));
    }

    /// JSON has no infinities and no NaN: they become text.
    pub(crate) fn float(&mut self, name: &'static str, value: f64) {
        if !value.is_finite() {
            self.text(name, &value.to_string());
        } else {
            self.hold(name, Held::Float(value));
        }
    }

    /// Rounded to what is written: three decimals.
    pub(crate) fn millis(&mut self, name: &'static str, value: f64) {
        let rounded = (value * 1000.0).round() / 1000.0;
        if rounded.is_finite() {
            self.hold(name, Held::Millis(rounded));
        } else {
            self.text(name, &value.to_string());
        }
    }

    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        let mut length = value.len().min(self.limits.value_length);
        while !value.is_char_boundary(length) {
            length -= 1;
        }
        let start = self.text.len() as u32;
        self.text.push_str(&value[..length]);
        self.hold(name, Held::Text(start, self.text.len() as u32));
    }

    /// [`Record::text`] of whatever a field's name is that the program's author chose: secrets are blanked.
    pub(crate) fn chosen_text(&mut self, name: &'static str, value: &str) {
        self.text(name, if is_secret(name) { BLANK } else { value });
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        let name = line_name(name);
        self.fields.iter().any(|(held, _)| line_name(held) == name)
    }

    /// The fields in the order in which they were recorded.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, Datum<'_>)> {
        self.fields.iter().map(|&(name, held)| {
            let datum = match held {
                Held::Bool(value) => Datum::Bool(value),
                Held::Int(value) => Datum::Int(value),
                Held::Float(value) => Datum::Float(value),
                Held::Millis(value) => Datum::Millis(value),
                Held::Text(start, end) => Datum::Text(&self.text[start as usize..end as usize]),
            };
            (name, datum)
        })
    }

    fn hold(&mut self, name: &'static str, held: Held) {
        if self.fields.len() < self.limits.fields {
            self.fields.push((name, held));
        } else {
            self.dropped_fields += 1;
        }
    }
}

impl Weigh for std::sync::Arc<Record> {
    fn bytes(&self) -> usize {
        size_of::<Record>()
            + self.fields.capacity() * size_of::<(&str, Held)>()
            + self.text.capacity()
            + self.message.len()
    }
}

/// The name of a field in OTLP: `status` → `http.response.status_code`, `attempts` → `throughline.attempts`.
pub(crate) fn wire_name(name: &'static str) -> Cow<'static, str> {
    if name.contains('.') {
        return Cow::Borrowed(name);
    }
    if let Some((_, wire, _)) = RESERVED.iter().find(|(reserved, ..)| *reserved == name) {
        return Cow::Borrowed(wire);
    }
    match LINE_FIELDS.iter().find(|(_, line)| *line == name) {
        Some((wire, _)) => Cow::Borrowed(wire),
        None => Cow::Owned([OWN_PREFIX, name].concat()),
    }
}

/// The name of a field in the flat line: `http.response.status_code` → `status`, `throughline.attempts` → `attempts`.
pub(crate) fn line_name(name: &str) -> &str {
    if let Some((_, line)) = LINE_FIELDS.iter().find(|(wire, _)| *wire == name) {
        return line;
    }
    let name = name.strip_prefix(OWN_PREFIX).unwrap_or(name);
    match RESERVED.iter().find(|(reserved, ..)| *reserved == name) {
        Some((_, _, line)) => line,
        None => name,
    }
}

/// The collectors blank by the same rule: `otel-collector.yaml`'s `blocked_key_patterns`.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["authorization", "cookie", "password", "passwd", "secret"];
    let keys = ["apikey", "api-key", "api_key", "api.key"];
    words.iter().chain(&keys).any(|word| name.contains(word))
        || name.split(['.', '_', '-']).any(|part| part == "token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_one_name_on_the_wire_and_one_in_the_line() {
        let check = |name: &'static str, wire: &str, line: &str| {
            assert_eq!((wire_name(name).as_ref(), line_name(name)), (wire, line), "{name}");
        };
        check("attempts", "throughline.attempts", "attempts");
        check("throughline.attempts", "throughline.attempts", "attempts");
        check("throughline.cache.result", "throughline.cache.result", "cache.result");
        check("status", "http.response.status_code", "status");
        check("http.response.status_code", "http.response.status_code", "status");
        check("method", "http.request.method", "method");
        check("url.path", "url.path", "path");
        check("error.type", "error.type", "error.type");
        check("service", "throughline.field_service", "field_service");
        check("throughline.field_service", "throughline.field_service", "field_service");
        check("uid", "throughline.field_uid", "field_uid");
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        let check = |name: &str, secret: bool| assert_eq!(is_secret(name), secret, "{name}");
        check("authorization", true);
        check("http.request.header.Authorization", true);
        check("set_cookie", true);
        check("password", true);
        check("db.passwd", true);
        check("client_secret", true);
        check("x-api-key", true);
        check("apikey", true);
        check("session_token", true);
        check("token", true);
        check("tokens", false);
        check("tokenizer", false);
        check("key", false);
        check("replica", false);
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let limits = Limits { value_length: 5, fields: 2 };
        let now = (SystemTime::UNIX_EPOCH, 0);
        let mut record = Record::new(now, Level::INFO, "l", "m".into(), limits);
        record.text("a", "äääää");
        record.float("b", f64::NAN);
        record.int("c", 1);
        let fields: Vec<_> = record.fields().collect();
        assert_eq!(fields, [("a", Datum::Text("ää")), ("b", Datum::Text("NaN"))]);
        assert_eq!(record.dropped_fields, 1);
    }
}
