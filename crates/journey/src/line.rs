//! The flat line: one log record as one JSON object, as `logs.jsonl` holds it.
//!
//! Lines of other loggers are understood as far as they use the usual names ([`crate::names`]).

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::id::{SpanId, TraceId};
use crate::names;
use crate::span::{Attributes, plain};

/// One log record.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Nanoseconds since 1970, if it says when.
    pub time: Option<u64>,
    /// `INFO`, `WARN` …, as written.
    pub level: String,
    /// Whose line it is; empty if it does not say.
    pub service: String,
    /// The process that wrote it.
    pub instance: Option<String>,
    /// Two lines with one `uid` are one.
    pub uid: Option<String>,
    /// The code that speaks.
    pub logger: String,
    /// What happened.
    pub message: String,
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// The span within which it was written.
    pub span: Option<SpanId>,
    /// All other fields.
    pub fields: Attributes,
    /// The line as it was written, without its end.
    pub raw: String,
}

impl Line {
    /// The line that `object` is; `None` if it names no trace. `raw` is the text that it was read from.
    pub fn from_object(mut object: Attributes, raw: String) -> Option<Self> {
        let mut take = |names: &[&str]| {
            let name = names.iter().find(|name| object.contains_key(**name))?;
            object.remove(*name)
        };
        let trace = TraceId::read(take(names::LINE_TRACE)?.as_str()?)?;
        let mut text = |names| take(names).map(|value| plain(&value)).unwrap_or_default();
        Some(Self {
            trace,
            span: SpanId::read(&text(names::LINE_SPAN)),
            level: text(names::LINE_LEVEL),
            service: text(names::LINE_SERVICE),
            instance: Some(text(names::LINE_INSTANCE)).filter(|text| !text.is_empty()),
            uid: Some(text(names::LINE_UID)).filter(|text| !text.is_empty()),
            logger: text(names::LINE_LOGGER),
            message: text(names::LINE_MESSAGE),
            time: take(names::LINE_TIMESTAMP).as_ref().and_then(moment),
            fields: object,
            raw,
        })
    }
}

/// RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970: which of them is told by
/// its size, as loggers that write numbers do not say.
pub(crate) fn moment(value: &Value) -> Option<u64> {
    if let Value::String(text) = value {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        return u64::try_from(time.unix_timestamp_nanos()).ok();
    }
    let number = value.as_f64().filter(|number| *number >= 0.0)?;
    let nanoseconds_in_one = match number {
        ..1e11 => 1e9,
        ..1e14 => 1e6,
        ..1e17 => 1e3,
        _ => return value.as_u64(),
    };
    Some((number * nanoseconds_in_one) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &str = r#"{"timestamp":"2026-11-21T22:26:40.123456Z","level":"INFO","service":"cache","instance":"c1","uid":"9f3c2a71d04be856-1a","logger":"cache::proxy","message":"request","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","status":200,"response_time_ms":1.25}"#;

    fn line(raw: &str) -> Option<Line> {
        Line::from_object(serde_json::from_str(raw).unwrap(), raw.to_owned())
    }

    #[test]
    fn our_line_is_read_whole() {
        let line = line(RAW).unwrap();
        assert_eq!(line.time, Some(1_795_300_000_123_456_000));
        assert_eq!((&*line.level, &*line.service, &*line.message), ("INFO", "cache", "request"));
        assert_eq!(
            (line.instance.as_deref(), line.uid.as_deref()),
            (Some("c1"), Some("9f3c2a71d04be856-1a"))
        );
        assert_eq!(line.span.unwrap().to_string(), "00f067aa0ba902b7");
        assert_eq!(Value::Object(line.fields).to_string(), r#"{"response_time_ms":1.25,"status":200}"#);
        assert_eq!(line.raw, RAW);
    }

    #[test]
    fn a_line_without_a_trace_is_nobodys() {
        assert_eq!(line(r#"{"message":"listening","trace_id":""}"#), None);
        assert_eq!(line(r#"{"message":"listening"}"#), None);
        assert_eq!(line(r#"{"message":"x","trace_id":17}"#), None);
    }

    #[test]
    fn times_are_read_in_the_forms_that_loggers_write() {
        let check = |written: &str, expected: Option<u64>| {
            assert_eq!(moment(&serde_json::from_str(written).unwrap()), expected, "{written}");
        };
        let second = 1_795_300_000_000_000_000;
        check(r#""2026-11-21T22:26:40Z""#, Some(second));
        check(r#""2026-11-21T23:26:40.000000000+01:00""#, Some(second));
        check("1795300000", Some(second));
        check("1795300000.5", Some(second + 500_000_000));
        check("1795300000000", Some(second));
        check("1795300000000000", Some(second));
        check("1795300000000000000", Some(second));
        check("-1", None);
        check("1e300", None);
        check(r#""yesterday""#, None);
        check("null", None);
    }
}
