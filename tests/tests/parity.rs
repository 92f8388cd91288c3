//! The embedded collector writes what the real one writes: the same requests, the same lines and spans, member by member.

use std::{collections::BTreeMap, path::Path};

use http::Method;
use serde_json::{Value, json};
use tests::{Client, Parts, System, eventually, postgres, whole_lines};

/// Members whose values differ from run to run; that they are there, and of which type, is compared.
const MASKED: &[&str] = &[
    "db.client.connection.pool.name",
    "db.namespace",
    "host.name",
    "process.pid",
    "server.port",
    "network.peer.port",
    "url.full",
    "throughline.pool.in_use",
    "throughline.pool.size",
    "throughline.pool.waiting",
    "throughline.replica",
    "throughline.task.wait_ms",
    "span_id",
    "timestamp",
    "trace_id",
    "uid",
    "replica",
    "db_ms",
    "pool_wait_ms",
    "queue_ms",
    "response_time_ms",
    "routing_ms",
    "run_ms",
    "upstream_ms",
    "wait_ms",
];

/// Waits for all that the files of a system hold of these requests, and gives spans and lines of each, masked.
async fn told(system: &System, ids: &[String]) -> Vec<(Vec<Value>, Vec<Value>)> {
    let files = system.files();
    let mut all = Vec::new();
    // The first of them is a write, and its story ends in the worker.
    system.story_with_runs(&ids[0], PATHS[0], 1).await;
    for (id, path) in ids.iter().zip(PATHS) {
        system.story(id, path).await;
        let mut marks = Marks::default();
        let mut spans = spans(&files, id);
        spans.sort_by_key(|span| span["span"]["startTimeUnixNano"].to_string());
        let mut lines = lines(&files, id);
        // Each service's in its order: a worker may be done before the edge has told.
        lines.sort_by_key(|line| (line["service"].to_string(), line["timestamp"].to_string()));
        let spans = spans.into_iter().map(|span| marks.masked("", span)).collect();
        all.push((spans, lines.into_iter().map(|line| marks.masked("", line)).collect()));
    }
    all
}

/// What each of the requests in [`ask`] goes through.
const PATHS: [&[&str]; 6] = [
    &["load_balancer", "cache", "http_server"],
    &["load_balancer", "cache", "http_server"],
    &["load_balancer", "cache"],
    &["load_balancer", "cache", "http_server"],
    &["load_balancer", "cache", "http_server"],
    &["load_balancer"],
];

/// A write, a miss, a hit, a conflict, something that is not there, something that is refused at the edge.
async fn ask(client: &Client) -> Vec<String> {
    let booking = json!({"resource": "room-7", "guest": "Ada \u{1f600}",
                         "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
    let created = client.post("/api/bookings", &booking).await;
    assert_eq!(created.status, 201, "{created:?}");
    client.until_confirmed(created.header("location")).await;
    let miss = client.get(created.header("location")).await;
    let hit = client.get(created.header("location")).await;
    assert!(hit.header("cache-status").contains("hit"), "{hit:?}");
    let conflict = client.post("/api/bookings", &booking).await;
    assert_eq!(conflict.status, 409, "{conflict:?}");
    let absent = client.get("/api/bookings/0192f0c1-2345-7abc-8def-0123456789ab").await;
    assert_eq!(absent.status, 404, "{absent:?}");
    let refused = client.get(&format!("/{}", "x".repeat(9000))).await;
    assert_eq!(refused.status, 414, "{refused:?}");
    [created, miss, hit, conflict, absent, refused].iter().map(tests::Answer::trace_id).collect()
}

#[tokio::test]
async fn the_same_requests_give_the_same_spans_and_lines() {
    let mut tellings = Vec::new();
    for parts in [Parts::Embedded, Parts::Real] {
        let database = postgres::database().await;
        // Between the embedded parts and the real ones nothing differs but the collector.
        let system =
            System::builder().parts(parts).without_redis().servers(1).database(&database).start().await;
        // The first request has more to tell than any later one: connections are made.
        system.client().get("/api/bookings?status=confirmed").await;
        let ids = ask(&system.client()).await;
        tellings.push(told(&system, &ids).await);
    }
    let [embedded, real] = &tellings[..] else { panic!("two tellings") };
    for (number, (embedded, real)) in embedded.iter().zip(real).enumerate() {
        assert!(!real.0.is_empty() && !real.1.is_empty(), "request {number} has spans and lines");
        assert_same(&format!("spans of request {number}"), &embedded.0, &real.0);
        assert_same(&format!("lines of request {number}"), &embedded.1, &real.1);
    }
}

#[tokio::test]
async fn what_strangers_send_is_written_alike() {
    let systems = [
        System::builder().parts(Parts::Embedded).start().await,
        System::builder().parts(Parts::Real).start().await,
    ];
    let mut compared = 0;
    for (signal, export) in strange_exports() {
        let mark = format!("mark-{compared:04}-of-a-strange-export");
        let body = export.to_string().replace("MARK", &mark);
        let mut written = Vec::new();
        for system in &systems {
            let client = Client::new(system.otlp_http());
            let headers = [("content-type", "application/json")];
            let answer =
                client.send(client.request(Method::POST, &format!("/v1/{signal}"), &headers, &body)).await;
            assert_eq!(answer.status, 200, "{body}: {answer:?}");
            written.push(marked_line(&system.files(), signal, &mark).await);
        }
        assert_same(&format!("{signal} of {body}"), &written[..1], &written[1..]);
        compared += 1;
    }
    assert!(compared >= 12, "{compared} compared");
}

/// The line that holds the mark, once it is there.
async fn marked_line(files: &Path, signal: &str, mark: &str) -> Value {
    eventually(&format!("{mark} in {signal}"), async || {
        objects(files, signal, mark).pop().ok_or("it is not there")
    })
    .await
}

/// One export each, `MARK` where it can be found by.
fn strange_exports() -> Vec<(&'static str, Value)> {
    let logs = |record: Value| {
        ("logs", json!({"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": [record]}]}]}))
    };
    let text = |text: &str| json!({"stringValue": text});
    let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
    let every_kind = json!([
        attribute("text", text("<b>&\u{2028}\u{7f}\u{1b}[31m\"\\\n\t é 漢 😀")),
        attribute("yes", json!({"boolValue": true})),
        attribute("integer", json!({"intValue": "-9223372036854775808"})),
        attribute("large", json!({"intValue": "9007199254740993"})),
        attribute("double", json!({"doubleValue": 1.25})),
        attribute("tiny", json!({"doubleValue": 1e-9})),
        attribute("huge", json!({"doubleValue": 1e300})),
        attribute("whole", json!({"doubleValue": 3.0})),
        attribute("bytes", json!({"bytesValue": "AP8Q"})),
        attribute("array", json!({"arrayValue": {"values": [text(""), {"intValue": "0"}, {}]}})),
        attribute(
            "map",
            json!({"kvlistValue": {"values": [attribute("z", text("last")), attribute("a", text("first"))]}})
        ),
        attribute("empty", json!({})),
    ]);
    let span = |span: Value| {
        (
            "traces",
            json!({"resourceSpans": [{"resource": {"attributes": [attribute("service.name", text("stranger"))]},
            "schemaUrl": "https://opentelemetry.io/schemas/1.37.0",
            "scopeSpans": [{"scope": {"name": "MARK", "version": "1", "attributes": [attribute("a", text("b"))]},
                            "spans": [span]}]}]}),
        )
    };
    let metric = |metric: Value| {
        (
            "metrics",
            json!({"resourceMetrics": [{"resource": {"attributes": every_kind.clone()},
            "scopeMetrics": [{"scope": {"name": "MARK"}, "metrics": [metric]}]}]}),
        )
    };
    let id = "5b8efff798038103d269b633813fc60c";
    let time = "1790000000123456789";
    vec![
        logs(
            json!({"timeUnixNano": time, "severityText": "WARN", "severityNumber": 13, "body": text("MARK"),
                    "traceId": id, "spanId": "eee19b7ec3c1b174", "flags": 1, "attributes": every_kind}),
        ),
        logs(json!({"observedTimeUnixNano": time, "body": text("MARK")})),
        logs(json!({"timeUnixNano": time, "body": {"kvlistValue": {"values": [
            attribute("message", text("MARK")), attribute("level", text("not the level")),
            attribute("throughline.x", text("y")), attribute("http.request.method", text("in the body"))]}}})),
        logs(json!({"timeUnixNano": time, "body": text("MARK"), "attributes": [
            attribute("http.request.method", text("GET")), attribute("url.path", text("/a?b=c")),
            attribute("http.response.status_code", json!({"intValue": "404"})),
            attribute("log.record.uid", text("9f3c2a71d04be856-1a")),
            attribute("throughline.cache_hit", json!({"boolValue": false})),
            attribute("throughline.response_time_ms", json!({"doubleValue": 0.125})),
            attribute("level", text("attribute")), attribute("timestamp", text("attribute")),
            attribute("service", text("attribute")), attribute("trace_id", text("attribute"))]})),
        logs(
            json!({"timeUnixNano": time, "body": {"intValue": "7"}, "attributes": [attribute("a", text("MARK"))]}),
        ),
        logs(json!({"timeUnixNano": time, "body": {"arrayValue": {"values": [text("x")]}},
                    "attributes": [attribute("a", text("MARK"))]})),
        logs(json!({"timeUnixNano": "1790000000000000000", "body": text("MARK"), "attributes": [
            attribute("authorization", text("Bearer abc")), attribute("note", text("token=abc&x=1 Bearer abc.def")),
            attribute("card", text("4111111111111111"))]})),
        logs(json!({"timeUnixNano": "1790000000120000000", "body": text("MARK")})),
        span(json!({"traceId": id, "spanId": "eee19b7ec3c1b174", "parentSpanId": "0101010101010101",
                    "traceState": "a=1,b=2", "flags": 259, "name": "GET /x", "kind": 2,
                    "startTimeUnixNano": time, "endTimeUnixNano": "1790000000223456789",
                    "attributes": every_kind, "droppedAttributesCount": 3,
                    "events": [{"timeUnixNano": time, "name": "exception",
                                "attributes": [attribute("exception.type", text("io"))], "droppedAttributesCount": 1}],
                    "droppedEventsCount": 2,
                    "links": [{"traceId": id, "spanId": "0202020202020202", "traceState": "c=3", "flags": 1,
                               "attributes": [attribute("why", text("retry"))]}],
                    "droppedLinksCount": 1, "status": {"code": 2, "message": "it broke"}})),
        span(json!({"traceId": id, "spanId": "eee19b7ec3c1b175", "name": "", "startTimeUnixNano": time,
                    "endTimeUnixNano": time})),
        span(json!({"traceId": id, "spanId": "eee19b7ec3c1b176", "name": "GET /x?token=abc", "kind": 3,
                    "startTimeUnixNano": time, "endTimeUnixNano": time,
                    "attributes": [attribute("http.request.header.cookie", text("a=b"))],
                    "events": [{"timeUnixNano": time, "name": "sent Bearer abc"}],
                    "status": {"code": 2, "message": "password=hunter2 refused"}})),
        metric(json!({"name": "a.gauge", "unit": "1", "description": "what it is", "gauge": {"dataPoints": [
            {"timeUnixNano": time, "asDouble": 0.5, "attributes": [attribute("k", text("v"))]},
            {"timeUnixNano": time, "asInt": "7"}]}})),
        metric(
            json!({"name": "a.sum", "unit": "By", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [{"startTimeUnixNano": time, "timeUnixNano": time, "asInt": "12",
                            "exemplars": [{"timeUnixNano": time, "asInt": "1", "traceId": id,
                                           "spanId": "eee19b7ec3c1b174"}]}]}}),
        ),
        metric(
            json!({"name": "a.histogram", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"startTimeUnixNano": time, "timeUnixNano": time, "count": "3", "sum": 0.6, "min": 0.1, "max": 0.3,
             "bucketCounts": ["1", "2"], "explicitBounds": [0.2]}]}}),
        ),
    ]
}

/// Every span of a trace with its resource and scope.
fn spans(files: &Path, id: &str) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut spans = Vec::new();
    for export in objects(files, "traces", id) {
        for resource in list(&export["resourceSpans"]) {
            for scope in list(&resource["scopeSpans"]) {
                for span in list(&scope["spans"]).into_iter().filter(|span| span["traceId"] == id) {
                    spans.push(json!({"resource": resource["resource"], "schema": resource["schemaUrl"],
                                      "scope": scope["scope"], "span": span}));
                }
            }
        }
    }
    spans
}

fn lines(files: &Path, id: &str) -> Vec<Value> {
    objects(files, "logs", id).into_iter().filter(|line| line["trace_id"] == id).collect()
}

/// The whole lines of a signal's files that hold this text.
fn objects(files: &Path, signal: &str, with: &str) -> Vec<Value> {
    let lines = whole_lines(files, signal, |line| line.contains(with));
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Stable marks instead of ids, by the order of their first appearance.
#[derive(Default)]
struct Marks(BTreeMap<String, usize>);

impl Marks {
    fn masked(&mut self, key: &str, value: Value) -> Value {
        match value {
            Value::Object(members) => {
                // An attribute's value is masked by the attribute's own key.
                let own = members.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
                let masked = members.into_iter().map(|(name, value)| {
                    let by = match name.as_str() {
                        "value" => &own,
                        "stringValue" | "intValue" | "doubleValue" => key,
                        other => other,
                    };
                    let value = self.masked(by, value);
                    (name, value)
                });
                Value::Object(masked.collect())
            }
            Value::Array(values) => {
                let mut values: Vec<_> = values.into_iter().map(|value| self.masked(key, value)).collect();
                // Attributes are a set: their order says nothing.
                values.sort_by_key(|value| value["key"].to_string());
                Value::Array(values)
            }
            Value::String(text) if key.ends_with("Id") || key.ends_with("_id") && text.len() > 8 => {
                let next = self.0.len();
                json!(format!("id {}", self.0.entry(text).or_insert(next)))
            }
            Value::String(_) if MASKED.contains(&key) || key.ends_with("UnixNano") => json!("a text"),
            Value::Number(_) if MASKED.contains(&key) => json!("a number"),
            // A booking's own id, in paths and the like.
            Value::String(text) => json!(without_uuids(&text)),
            other => other,
        }
    }
}

fn without_uuids(text: &str) -> String {
    let is_id = |part: &str| part.len() == 36 && part.bytes().filter(|byte| *byte == b'-').count() == 4;
    text.split('/').map(|part| if is_id(part) { "UUID" } else { part }).collect::<Vec<_>>().join("/")
}

fn assert_same(what: &str, embedded: &[Value], real: &[Value]) {
    let pretty = |values: &[Value]| serde_json::to_string_pretty(values).expect("it was JSON");
    let (embedded, real) = (pretty(embedded), pretty(real));
    let lines = embedded.lines().zip(real.lines());
    let same = lines.take_while(|(embedded, real)| embedded == real).count();
    let around =
        |text: &str| text.lines().skip(same.saturating_sub(8)).take(16).collect::<Vec<_>>().join("\n");
    assert!(
        embedded == real,
        "{what}: the embedded collector wrote\n{}\nthe real one\n{}",
        around(&embedded),
        around(&real)
    );
}
