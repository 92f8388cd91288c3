//! `trace` as it is typed, on files with more than one request: the usual, links, many spans, wrong clocks.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

mod typed;
use typed::{THEN, throughline};

const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const PRODUCER: u8 = 4;
const CONSUMER: u8 = 5;

/// A span of the trace with this number, in a line of its own; times are milliseconds.
fn span(
    trace: u64,
    service: &str,
    id: u64,
    parent: u64,
    kind: u8,
    [start, end]: [u64; 2],
    more: Value,
) -> String {
    let text = |text: &str| json!({"stringValue": text});
    let id_of = |id: u64| if id == 0 { String::new() } else { format!("{id:016x}") };
    let mut span = json!({
        "traceId": format!("{trace:032x}"), "spanId": id_of(id), "parentSpanId": id_of(parent), "name": "GET", "kind": kind,
        "startTimeUnixNano": (THEN + start * 1_000_000).to_string(), "endTimeUnixNano": (THEN + end * 1_000_000).to_string(),
        "attributes": [{"key": "http.request.method", "value": text("GET")}, {"key": "http.route", "value": text("/x")}],
    });
    span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let resource = json!({"attributes": [{"key": "service.name", "value": text(service)}]});
    let scopes = json!([{"scope": {}, "spans": [span]}]);
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}).to_string()
}

fn linked(trace: u64, id: u64) -> Value {
    json!({"links": [{"traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}")}]})
}

/// What `throughline trace` answers about the trace with this number.
fn trace(directory: &Path, number: u64, arguments: &[&str]) -> Output {
    throughline(directory, &[&["trace", &*format!("{number:032x}")], arguments].concat()).output().unwrap()
}

/// A directory of this test's own with these spans.
fn directory(test: &str, spans: &[String]) -> PathBuf {
    typed::directory(&format!("story/{test}"), &[("traces.jsonl", spans.join("\n") + "\n")])
}

/// What it prints, if it does well.
fn told(directory: &Path, number: u64, arguments: &[&str]) -> String {
    let output = trace(directory, number, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Requests of 1 to `count` ms with the numbers 101 and on, and number 1 of 200 ms.
fn requests(count: u64) -> Vec<String> {
    let one = |number: u64, took: u64| span(number, "shop", number, 0, SERVER, [0, took], json!({}));
    (1..=count).map(|ms| one(100 + ms, ms)).chain([one(1, 200)]).collect()
}

#[test]
fn the_usual_is_told_where_it_is_asked_for() {
    let many = directory("usual", &requests(50));
    let text = told(&many, 1, &["--baseline"]);
    assert!(text.contains("\nusual    4.1 times the p95 of 50 like it, GET /x of shop:"), "{text}");
    assert!(text.contains("(most above it: own work of shop 200.0 ms, p50 "), "{text}");
    assert!(!told(&many, 1, &[]).contains("usual"));
    let alone = told(&many, 1, &["--baseline", "--verdict"]);
    assert!(alone.contains("50 like it") && alone.lines().count() < 7, "{alone}");
    let json: Value = serde_json::from_str(&told(&many, 1, &["--baseline", "--json"])).unwrap();
    let usual = &json["verdict"]["usual"];
    assert_eq!(
        (&usual["requests"], &usual["few"], &usual["place"]),
        (&json!(50), &json!(false), &json!("GET /x"))
    );
    assert_eq!(
        json["verdict"]["usual"],
        serde_json::from_str::<Value>(&told(&many, 1, &["--baseline", "--json", "--verdict"])).unwrap()["verdict"]
            ["usual"]
    );
    let few = directory("usual_few", &requests(3));
    assert!(told(&few, 1, &["--baseline"]).contains("only 3 like it, GET /x of shop: too few to tell"));
    let none = directory("usual_none", &requests(0));
    assert!(told(&none, 1, &["--baseline"]).contains("no other request like it is in the files"));
    let output = trace(&many, 1, &["--baseline", "--from", "telemetry", "--from", "-"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && complaint.contains("standard input"), "{complaint}");
}

#[test]
fn links_are_followed_both_ways_unless_they_are_not_wanted() {
    let spans = [
        span(1, "shop", 1, 0, SERVER, [0, 10], json!({})),
        span(1, "shop", 2, 1, PRODUCER, [5, 6], json!({"name": "send mail"})),
        // The message was taken later, under a trace of its own.
        span(2, "worker", 3, 0, CONSUMER, [90_000, 90_005], linked(1, 2)),
        // A hit, answered from what the first request stored.
        span(3, "cache", 4, 0, SERVER, [20, 21], linked(1, 1)),
    ];
    let directory = directory("links", &spans);
    for (asked, other) in [(1, 2), (2, 1)] {
        let text = told(&directory, asked, &[]);
        assert!(text.contains(&format!("trace {other:032x} at ")), "{text}");
        assert!(text.contains("goes on 90.0 s later, in a trace of its own"), "{text}");
        let alone = told(&directory, asked, &["--no-links"]);
        assert!(!alone.contains(&format!("trace {other:032x} at ")) && !alone.contains("goes on"), "{alone}");
    }
    let hit = told(&directory, 3, &[]);
    assert!(hit.contains(&format!("linked to trace {:032x}", 1)) && hit.contains("10.0 ms earlier"), "{hit}");
    assert!(!hit.contains("goes on"), "what stored an entry is another request: {hit}");
    let json: Value = serde_json::from_str(&told(&directory, 1, &["--json", "--no-links"])).unwrap();
    assert_eq!(json["runs"], json!([]));
}

#[test]
fn many_spans_are_told_together_unless_all_are_wanted() {
    let mut spans = vec![span(1, "shop", 1, 0, SERVER, [0, 5000], json!({}))];
    spans.extend((0..3000).map(|at| span(1, "shop", 10 + at, 1, CLIENT, [at, at + 1], json!({}))));
    let directory = directory("many", &spans);
    let text = told(&directory, 1, &[]);
    assert!(text.contains("… 2990 more like it") && text.lines().count() < 30, "{text}");
    assert!(told(&directory, 1, &["--all"]).lines().count() > 3000);
}

#[test]
fn a_wrong_clock_is_corrected_and_said_in_text_and_json() {
    let spans = [
        span(1, "shop", 1, 0, SERVER, [10_000, 10_100], json!({})),
        span(1, "shop", 2, 1, CLIENT, [10_010, 10_090], json!({})),
        span(1, "stock", 3, 2, SERVER, [2_020, 2_080], json!({})),
    ];
    let directory = directory("clock", &spans);
    let text = told(&directory, 1, &[]);
    let said = "the clock of stock is 8000.0 ms behind shop's (± 10.0): corrected";
    assert_eq!(text.matches(said).count(), 2, "beneath its span and at the foot: {text}");
    assert!(text.contains("in 100.0 ms"), "what is on one clock is no longer than it was: {text}");
    let json: Value = serde_json::from_str(&told(&directory, 1, &["--json"])).unwrap();
    let moved = &json["spans"][2];
    assert_eq!(moved["start_offset_ms"], json!(20.0));
    assert_eq!(moved["written_start_unix_ns"], json!(THEN + 2_020_000_000));
    assert_eq!(json["clocks"][0]["ahead_ms"], json!(-8000.0));
}
