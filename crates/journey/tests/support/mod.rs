//! Telemetry as the Collector's file exporter writes it, made in a few words, and directories to put it into.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use journey::{Input, Search, Story, Wanted};
use serde_json::{Map, Value, json};

/// The trace that the tests look for.
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// When it begins: 2026-11-21T22:26:40.123456789Z.
pub(crate) const ZERO: u64 = 1_795_300_000_123_456_789;

/// `SpanKind`s by number, as the Collector writes them.
pub(crate) const INTERNAL: u8 = 1;
pub(crate) const SERVER: u8 = 2;
pub(crate) const CLIENT: u8 = 3;

/// A span of [`TRACE`]: `id` and `parent` are short, times are milliseconds from [`ZERO`]; `attributes` is an object.
pub(crate) fn span(
    id: u64,
    parent: u64,
    name: &str,
    kind: u8,
    [start, end]: [f64; 2],
    attributes: Value,
) -> Value {
    let parent = if parent == 0 { String::new() } else { format!("{parent:016x}") };
    json!({
        "traceId": TRACE, "spanId": format!("{id:016x}"), "parentSpanId": parent, "flags": 257,
        "name": name, "kind": kind, "startTimeUnixNano": at(start).to_string(), "endTimeUnixNano": at(end).to_string(),
        "attributes": pairs(&attributes), "status": {},
    })
}

/// Nanoseconds since 1970 at `ms` milliseconds after [`ZERO`].
pub(crate) fn at(ms: f64) -> u64 {
    ZERO.saturating_add_signed((ms * 1e6) as i64)
}

/// One export request of one service, as one line.
pub(crate) fn request(service: &str, spans: &[Value]) -> String {
    let resource =
        json!({"attributes": pairs(&json!({"service.name": service, "service.instance.id": "i1"}))});
    let scopes = json!([{"scope": {"name": "throughline"}, "spans": spans}]);
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}).to_string()
}

/// One flat line of [`TRACE`]; `uid` also tells it from others.
pub(crate) fn line(
    service: &str,
    uid: u64,
    span: u64,
    ms: f64,
    level: &str,
    message: &str,
    fields: Value,
) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at(ms) / 1000 * 1000)).unwrap();
    let mut line = json!({
        "timestamp": time.format(&time::format_description::well_known::Rfc3339).unwrap(), "level": level,
        "service": service, "instance": "i1", "uid": format!("9f3c2a71d04be856-{uid:x}"), "logger": service,
        "message": message, "trace_id": TRACE, "span_id": format!("{span:016x}"),
    });
    line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    line.to_string()
}

/// An object as OTLP's list of keys and values.
pub(crate) fn pairs(object: &Value) -> Value {
    let pair = |(key, value): (&String, &Value)| json!({"key": key, "value": any_value(value)});
    object.as_object().unwrap_or(&Map::new()).iter().map(pair).collect()
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!({"boolValue": value}),
        Value::Number(number) if number.is_i64() => json!({"intValue": number.to_string()}),
        Value::Number(number) => json!({"doubleValue": number}),
        Value::String(text) => json!({"stringValue": text}),
        other => panic!("no attribute: {other}"),
    }
}

/// A directory of this test's own, with `files` in it.
pub(crate) fn directory(test: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes).unwrap();
    }
    directory
}

/// `lines` as a file holds them.
pub(crate) fn file(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

/// A search for [`TRACE`] that has read `directory`.
pub(crate) fn searched(directory: &Path) -> Search {
    let mut search = Search::new(TRACE.parse::<Wanted>().unwrap(), Input::new(vec![directory.to_owned()]));
    search.read().unwrap();
    search
}

/// The story of [`TRACE`], links followed, in a directory made of the lines of `traces.jsonl` and `logs.jsonl`.
pub(crate) fn story(test: &str, traces: &[String], logs: &[String]) -> Story {
    let directory = directory(test, &[("traces.jsonl", &file(traces)), ("logs.jsonl", &file(logs))]);
    let mut search = searched(&directory);
    let mut story = search.story(TRACE.parse::<Wanted>().map(only).unwrap());
    search.follow_links(&mut story).unwrap();
    story
}

fn only(wanted: Wanted) -> journey::TraceId {
    match wanted {
        Wanted::Trace(id) => id,
        Wanted::Prefix(prefix) => panic!("no whole id: {prefix}"),
    }
}
