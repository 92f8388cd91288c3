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

/// The path of [`http`].
pub(crate) const PATH: &str = "/api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e";

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

/// `span` with this member.
pub(crate) fn with(mut span: Value, member: &str, value: Value) -> Value {
    span[member] = value;
    span
}

/// `span` with a link to the span `to` of `trace`.
pub(crate) fn linked(span: Value, trace: &str, to: u64) -> Value {
    with(span, "links", json!([{"traceId": trace, "spanId": format!("{to:016x}")}]))
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

/// Attributes of a GET with this status, and more.
pub(crate) fn http(status: u64, more: Value) -> Value {
    let mut attributes =
        json!({"http.request.method": "GET", "url.path": PATH, "http.response.status_code": status});
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    attributes
}

/// A read that the cache did not have: one replica is down, the second attempt reaches the server.
pub(crate) fn cold_read() -> (Vec<String>, Vec<String>) {
    let failed = json!({"http.request.method": "GET", "throughline.replica": "127.0.0.1:41003", "error.type": "connect"});
    let again = json!({"throughline.replica": "127.0.0.1:41002", "http.request.resend_count": 1, "throughline.retry_reason": "connect"});
    let statement = json!({"db.system.name": "sqlite", "db.query.text": "SELECT …"});
    let route = json!({"http.route": "/api/bookings/{id}"});
    let traces = vec![
        request(
            "http_server",
            &[
                span(7, 6, "pool.acquire", INTERNAL, [1.1, 3.2], json!({})),
                span(8, 6, "SELECT bookings", CLIENT, [3.3, 10.2], statement),
                span(6, 5, "GET /api/bookings/{id}", SERVER, [0.9, 11.4], http(200, route)),
            ],
        ),
        request(
            "cache",
            &[
                with(span(4, 3, "GET", CLIENT, [0.6, 0.8], failed), "status", json!({"code": 2})),
                span(5, 3, "GET", CLIENT, [0.8, 11.6], http(200, again)),
                span(
                    3,
                    2,
                    "GET",
                    SERVER,
                    [0.4, 11.9],
                    http(200, json!({"throughline.cache.result": "miss"})),
                ),
            ],
        ),
        request(
            "load_balancer",
            &[
                span(
                    2,
                    1,
                    "GET",
                    CLIENT,
                    [0.1, 12.1],
                    http(200, json!({"throughline.replica": "127.0.0.1:41001"})),
                ),
                span(1, 0, "GET", SERVER, [0.0, 12.41], http(200, json!({"client.address": "127.0.0.1"}))),
            ],
        ),
    ];
    let told = |more: Value| {
        let mut fields = json!({"method": "GET", "path": PATH});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    let refused = json!({
        "replica": "127.0.0.1:41003", "error.type": "connect", "exception.type": "hyper_util::client::legacy::Error",
        "exception.message": "client error (Connect): tcp connect error: Connection refused (os error 111)",
    });
    let logs = vec![
        line("cache", 1, 3, 0.8, "WARN", "attempt failed", told(refused)),
        line(
            "http_server",
            2,
            6,
            11.4,
            "INFO",
            "request",
            told(json!({"status": 200, "response_time_ms": 10.5, "pool_wait_ms": 2.1, "db_ms": 6.9})),
        ),
        line(
            "cache",
            3,
            3,
            11.9,
            "INFO",
            "request",
            told(
                json!({"status": 200, "response_time_ms": 11.5, "cache_hit": false, "routing_ms": 0.3, "queue_ms": 0.0, "upstream_ms": 11.0, "attempts": 2, "replica": "127.0.0.1:41002"}),
            ),
        ),
        line(
            "load_balancer",
            4,
            1,
            12.41,
            "INFO",
            "request",
            told(
                json!({"status": 200, "response_time_ms": 12.41, "cache_hit": false, "routing_ms": 0.4, "queue_ms": 0.0, "upstream_ms": 12.0, "attempts": 1, "replica": "127.0.0.1:41001"}),
            ),
        ),
    ];
    (traces, logs)
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
    search.follow_links(std::slice::from_mut(&mut story)).unwrap();
    story
}

fn only(wanted: Wanted) -> journey::TraceId {
    match wanted {
        Wanted::Trace(id) => id,
        Wanted::Prefix(prefix) => panic!("no whole id: {prefix}"),
    }
}
