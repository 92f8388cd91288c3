//! Questions over all spans: what `traces`, `stats` and `errors` answer, of files as they really are.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::io::Write;
use std::path::Path;

use expect_test::expect;
use flate2::Compression;
use flate2::write::GzEncoder;
use journey::brief::{Brief, Picks};
use journey::errors::Errors;
use journey::pass::Counts;
use journey::stats::Stats;
use journey::traces::{self, Filter, Order, Traces};
use journey::{Input, Pass};
use proptest::prelude::*;
use serde_json::{Value, json};

mod support;
use support::{CLIENT, INTERNAL, SERVER, TRACE, cold_read, directory, file, http, request, span, with};

const CONSUMER: u8 = 5;

/// Reads everything in `directory` and gives it to `take`.
fn pass(directory: &Path, picks: Picks, take: &mut dyn FnMut(&[Brief])) -> Counts {
    let mut pass = Pass::new(Input::new(vec![directory.to_owned()]), picks);
    pass.run(take, &mut |_| {}).unwrap();
    pass.counts()
}

/// `spans` under another trace, whose id ends so.
fn of_trace(number: u64, spans: Vec<Value>) -> Vec<Value> {
    spans.into_iter().map(|span| with(span, "traceId", json!(format!("{number:032x}")))).collect()
}

/// A cold read, a failed one whose statement failed first, and a task.
fn written() -> Vec<String> {
    let (mut lines, logs) = cold_read();
    lines.extend(logs);
    let failed = |span: Value, message: &str| with(span, "status", json!({"code": 2, "message": message}));
    let exception = json!([{"timeUnixNano": "1", "name": "exception", "attributes": support::pairs(&json!(
        {"exception.type": "sqlx::Error", "exception.message": "database is locked\u{1b}[2J"}))}]);
    let route = json!({"http.route": "/api/bookings/{id}"});
    let mut of_server = of_trace(
        0xbad,
        vec![
            failed(span(6, 5, "GET /api/bookings/{id}", SERVER, [1000.9, 1250.0], http(500, route)), ""),
            with(
                failed(span(8, 6, "SELECT bookings", CLIENT, [1003.3, 1240.0], json!({})), ""),
                "events",
                exception,
            ),
        ],
    );
    of_server[0]["status"] = json!({});
    lines.push(request("http_server", &of_server));
    let edge = span(5, 0, "GET", SERVER, [1000.0, 1260.5], http(502, json!({"error.type": "upstream"})));
    lines.push(request("load_balancer", &of_trace(0xbad, vec![failed(edge, "the origin answered 500")])));
    let task = json!({"messaging.destination.name": "confirm_booking", "retries": 0.5, "is_last": true});
    let inner = span(22, 21, "GET", SERVER, [2001.0, 2002.0], json!({"http.request.method": "GET"}));
    let of_task = vec![span(21, 0, "process confirm_booking", CONSUMER, [2000.0, 2003.5], task), inner];
    lines.push(request("worker", &of_trace(0x7a5c, of_task)));
    lines
}

/// What all three answer of `lines`, and what went by.
fn answers(test: &str, lines: &[String]) -> (String, Counts) {
    let directory = directory(test, &[("traces.jsonl", &file(lines))]);
    let (mut list, mut stats, mut errors) =
        (Traces::new(Filter { limit: 10, ..Filter::default() }), Stats::new(None), Errors::new(None, None));
    let counts = pass(&directory, Picks::default(), &mut |spans| {
        list.take(spans);
        stats.take(spans);
        errors.take(spans);
    });
    let list = traces::text(&list.finish(), 150);
    let text = format!("{list}\n{}\n{}", stats.finish().text(150), errors.finish().text(150));
    (text, counts)
}

#[test]
fn requests_are_listed_counted_and_their_failures_grouped() {
    let (text, counts) = answers("answers", &written());
    assert_eq!(counts, Counts { spans: 13, ..Counts::default() });
    expect![[r#"
        start                     took ms  status  spans  errors  trace                             request                                           services
        2026-11-21T22:26:42.123Z     3.50              2       0  00000000000000000000000000007a5c  process confirm_booking                           worker
        2026-11-21T22:26:41.123Z   260.50     502      3       3  00000000000000000000000000000bad  GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4…  http_se…
        2026-11-21T22:26:40.123Z    12.41     200      8       1  4bf92f3577b34da6a3ce929d0e0e4736  GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4…  cache, …

        service        route                    requests  errors  p50 ms  p95 ms  p99 ms  max ms  3.50 … 260.50     slowest
        http_server    GET /api/bookings/{id}          2       1   10.52  249.10  249.10  249.10      █          █  00000000000000000000000000000bad
        load_balancer  GET                             2       1   12.41  260.16  260.16  260.50      █          █  00000000000000000000000000000bad
        cache          GET                             1       0   11.50   11.50   11.50   11.50      █             4bf92f3577b34da6a3ce929d0e0e4736
        worker         process confirm_booking         1       0    3.50    3.50    3.50    3.50  █                 00000000000000000000000000007a5c

        count  first  first seen            last seen             trace                             type         place                               says
            1      0  2026-11-21T22:26:41Z  2026-11-21T22:26:41Z  00000000000000000000000000000bad  upstream     load_balancer GET                   the orig…
            1      0  2026-11-21T22:26:41Z  2026-11-21T22:26:41Z  00000000000000000000000000000bad  500          http_server GET /api/bookings/{id}
            1      1  2026-11-21T22:26:41Z  2026-11-21T22:26:41Z  00000000000000000000000000000bad  sqlx::Error  http_server SELECT bookings         database…
            1      1  2026-11-21T22:26:40Z  2026-11-21T22:26:40Z  4bf92f3577b34da6a3ce929d0e0e4736  connect      cache GET
    "#]].assert_eq(&text);
}

#[test]
fn a_narrow_terminal_is_told_less_of_each() {
    let directory = directory("narrow", &[("traces.jsonl", &file(&written()))]);
    let (mut list, mut stats, mut errors) =
        (Traces::new(Filter { limit: 10, ..Filter::default() }), Stats::new(None), Errors::new(None, None));
    pass(&directory, Picks::default(), &mut |spans| {
        list.take(spans);
        stats.take(spans);
        errors.take(spans);
    });
    let (list, stats, errors) = (list.finish(), stats.finish(), errors.finish());
    let text = [80, 100]
        .map(|width| [traces::text(&list, width), stats.text(width), errors.text(width)].join("\n"))
        .join("\n");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    expect![[r#"
        start                     took ms  status  spans  errors  trace     request
        2026-11-21T22:26:42.123Z     3.50              2       0  00000000  process con…
        2026-11-21T22:26:41.123Z   260.50     502      3       3  00000000  GET /api/bo…
        2026-11-21T22:26:40.123Z    12.41     200      8       1  4bf92f35  GET /api/bo…

        service     route     requests  errors  p50 ms  p95 ms  p99 ms  max ms  slowest
        http_serv…  GET /ap…         2       1   10.52  249.10  249.10  249.10  00000000
        load_bala…  GET              2       1   12.41  260.16  260.16  260.50  00000000
        cache       GET              1       0   11.50   11.50   11.50   11.50  4bf92f35
        worker      process…         1       0    3.50    3.50    3.50    3.50  00000000

        count  first seen            last seen             trace     type       place
            1  2026-11-21T22:26:41Z  2026-11-21T22:26:41Z  00000000  upstream   load_ba…
            1  2026-11-21T22:26:41Z  2026-11-21T22:26:41Z  00000000  500        http_se…
            1  2026-11-21T22:26:41Z  2026-11-21T22:26:41Z  00000000  sqlx::Er…  http_se…
            1  2026-11-21T22:26:40Z  2026-11-21T22:26:40Z  4bf92f35  connect    cache G…

        start                     took ms  status  spans  errors  trace         request             services
        2026-11-21T22:26:42.123Z     3.50              2       0  000000000000  process confirm_b…         1
        2026-11-21T22:26:41.123Z   260.50     502      3       3  000000000000  GET /api/bookings…         2
        2026-11-21T22:26:40.123Z    12.41     200      8       1  4bf92f3577b3  GET /api/bookings…         3

        service        route        requests  errors  p50 ms  p95 ms  p99 ms  max ms  spread    slowest
        http_server    GET /api/b…         2       1   10.52  249.10  249.10  249.10    █    █  000000000000
        load_balancer  GET                 2       1   12.41  260.16  260.16  260.50    █    █  000000000000
        cache          GET                 1       0   11.50   11.50   11.50   11.50    █       4bf92f3577b3
        worker         process co…         1       0    3.50    3.50    3.50    3.50  █         000000000000

        count  first  first seen            last seen             trace         type         place
            1      0  2026-11-21T22:26:41Z  2026-11-21T22:26:41Z  000000000000  upstream     load_balancer …
            1      0  2026-11-21T22:26:41Z  2026-11-21T22:26:41Z  000000000000  500          http_server GE…
            1      1  2026-11-21T22:26:41Z  2026-11-21T22:26:41Z  000000000000  sqlx::Error  http_server SE…
            1      1  2026-11-21T22:26:40Z  2026-11-21T22:26:40Z  4bf92f3577b3  connect      cache GET
    "#]]
    .assert_eq(&text);
}

#[test]
fn programs_are_told_one_object_a_line() {
    let directory = directory("objects", &[("traces.jsonl", &file(&written()))]);
    let (mut list, mut stats, mut errors) = (
        Traces::new(Filter { limit: 1, ..Filter::default() }),
        Stats::new(Some("is_last".to_owned())),
        Errors::new(None, None),
    );
    pass(&directory, Picks { by: Some("is_last".to_owned()), ..Picks::default() }, &mut |spans| {
        list.take(spans);
        stats.take(spans);
        errors.take(spans);
    });
    let text = [traces::json(&list.finish()), stats.finish().json(), errors.finish().json()].join("\n");
    expect![[r#"
        {"trace_id":"00000000000000000000000000007a5c","start":"2026-11-21T22:26:42.123Z","duration_ms":3.5,"whole_ms":3.5,"status":null,"request":"process confirm_booking","services":["worker"],"spans":2,"errors":0}

        {"service":"http_server","by":"is_last","value":"(none)","requests":2,"errors":1,"p50_ms":10.520078,"p95_ms":249.1,"p99_ms":249.1,"max_ms":249.1,"slowest_trace_id":"00000000000000000000000000000bad","failed_trace_id":"00000000000000000000000000000bad"}
        {"service":"load_balancer","by":"is_last","value":"(none)","requests":2,"errors":1,"p50_ms":12.41,"p95_ms":260.163748,"p99_ms":260.163748,"max_ms":260.5,"slowest_trace_id":"00000000000000000000000000000bad","failed_trace_id":"00000000000000000000000000000bad"}
        {"service":"cache","by":"is_last","value":"(none)","requests":1,"errors":0,"p50_ms":11.5,"p95_ms":11.5,"p99_ms":11.5,"max_ms":11.5,"slowest_trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","failed_trace_id":null}
        {"service":"worker","by":"is_last","value":"true","requests":1,"errors":0,"p50_ms":3.5,"p95_ms":3.5,"p99_ms":3.5,"max_ms":3.5,"slowest_trace_id":"00000000000000000000000000007a5c","failed_trace_id":null}

        {"type":"upstream","service":"load_balancer","place":"GET","count":1,"first":0,"first_seen":"2026-11-21T22:26:41.383Z","last_seen":"2026-11-21T22:26:41.383Z","message":"the origin answered 500","trace_ids":["00000000000000000000000000000bad"]}
        {"type":"500","service":"http_server","place":"GET /api/bookings/{id}","count":1,"first":0,"first_seen":"2026-11-21T22:26:41.373Z","last_seen":"2026-11-21T22:26:41.373Z","message":null,"trace_ids":["00000000000000000000000000000bad"]}
        {"type":"sqlx::Error","service":"http_server","place":"SELECT bookings","count":1,"first":1,"first_seen":"2026-11-21T22:26:41.363Z","last_seen":"2026-11-21T22:26:41.363Z","message":"database is locked\u001b[2J","trace_ids":["00000000000000000000000000000bad"]}
        {"type":"connect","service":"cache","place":"GET","count":1,"first":1,"first_seen":"2026-11-21T22:26:40.124Z","last_seen":"2026-11-21T22:26:40.124Z","message":null,"trace_ids":["4bf92f3577b34da6a3ce929d0e0e4736"]}
    "#]].assert_eq(&text);
}

/// The last digits of the traces that match.
#[track_caller]
fn check(filter: Filter, has: &[(&str, &str)], expected: &str) {
    let name = format!("filter-{}", std::panic::Location::caller().line());
    let directory = directory(&name, &[("traces.jsonl", &file(&written()))]);
    let has: Vec<_> = has.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let bits = (1 << has.len()) - 1;
    let limit = if filter.limit == 0 { 10 } else { filter.limit };
    let mut list = Traces::new(Filter { has: bits, limit, ..filter });
    pass(&directory, Picks { has, ..Picks::default() }, &mut |spans| list.take(spans));
    let found = list.finish();
    let last = |row: &traces::Row| row.trace.to_string()[28..].trim_start_matches('0').to_owned();
    assert_eq!(found.rows.iter().map(last).collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn traces_are_found_by_what_is_true_of_them() {
    let all = Filter::default;
    check(all(), &[], "7a5c bad 4736");
    check(Filter { order: Order::Duration, ..all() }, &[], "bad 4736 7a5c");
    check(Filter { limit: 1, ..all() }, &[], "7a5c");
    check(Filter { services: vec!["http_server".to_owned()], ..all() }, &[], "bad 4736");
    let both = vec!["http_server".to_owned(), "cache".to_owned()];
    check(Filter { services: both, ..all() }, &[], "4736");
    check(Filter { status: Some("5xx".parse().unwrap()), ..all() }, &[], "bad");
    check(Filter { status: Some("502".parse().unwrap()), ..all() }, &[], "bad");
    check(Filter { status: Some("500".parse().unwrap()), ..all() }, &[], "");
    check(Filter { has_errors: true, ..all() }, &[], "bad 4736");
    check(Filter { slower_than: Some(12_410_000), ..all() }, &[], "bad");
    check(Filter { slower_than: Some(12_409_000), ..all() }, &[], "bad 4736");
    check(Filter { since: Some(support::at(1000.0)), ..all() }, &[], "7a5c bad");
    check(Filter { until: Some(support::at(1000.0)), ..all() }, &[], "bad 4736");
    check(Filter { route: Some("/api/bookings/{id}".to_owned()), ..all() }, &[], "bad 4736");
    check(Filter { route: Some("GET /api/bookings/{id}".to_owned()), ..all() }, &[], "bad 4736");
    check(Filter { route: Some("POST /api/bookings/{id}".to_owned()), ..all() }, &[], "");
    check(all(), &[("http.response.status_code", "500")], "bad");
    check(all(), &[("is_last", "true"), ("retries", "0.5"), ("service.name", "worker")], "7a5c");
    check(all(), &[("is_last", "true"), ("service.name", "cache")], "");
}

#[test]
fn a_status_is_typed_as_a_number_or_a_class() {
    for text in ["404", "5xx", "100", "599"] {
        assert!(text.parse::<traces::Status>().is_ok(), "{text}");
    }
    for text in ["", "xx", "9xx", "99", "600", "5x", "55xx", "+50", "0xx", "5XX", "655xx"] {
        assert!(text.parse::<traces::Status>().is_err(), "{text}");
    }
}

#[test]
fn what_is_damaged_or_written_twice_is_counted_and_costs_only_itself() {
    let check = |test: &str, lines: &[&str], expected: Counts| {
        let text = lines.concat();
        let directory = directory(test, &[("traces.jsonl", text.as_bytes())]);
        assert_eq!(pass(&directory, Picks::default(), &mut |_| {}), expected, "{text}");
    };
    let counts = |spans, repeats, damaged, half| Counts { spans, repeats, damaged, half };
    let one = |id| request("cache", &[span(id, 0, "GET", SERVER, [0.0, 1.0], json!({}))]);
    let (a, b) = (one(1), one(2));
    let (half, odd) = (&a[..a.len() - 4], json!({"traceId": TRACE, "spanId": 7}));
    check("q_whole", &[&a, "\n", &b, "\n"], counts(2, 0, 0, 0));
    check("q_twice", &[&a, "\n", &a, "\n", &b], counts(2, 1, 0, 0));
    check("q_half", &[half, "\n", &b, "\n"], counts(1, 0, 1, 0));
    check("q_half_last", &[&a, "\n", &b[..b.len() - 4]], counts(1, 0, 0, 1));
    check("q_glued", &[&a, &b, "\r\n"], counts(2, 0, 0, 0));
    check("q_half_glued", &[half, &b, "\n"], counts(1, 0, 1, 0));
    check("q_zeros", &["\0\0\0", &a, "\n\0\0\n\n"], counts(1, 0, 0, 0));
    check("q_foreign", &["words\n", "{\"message\":\"x\"}\n", "[1]\n", &a, "\n"], counts(1, 0, 2, 0));
    let deep = format!("{{\"resourceSpans\":{}", "[".repeat(100_000));
    check("q_deep", &[&deep, "\n", &a, "\n"], counts(1, 0, 1, 0));
    let with_odd = request("cache", &[odd, span(1, 0, "GET", SERVER, [0.0, 1.0], json!({}))]);
    check("q_odd", &[&with_odd, "\n"], counts(1, 0, 1, 0));
    let with_list = request("cache", &[json!([1]), span(1, 0, "GET", SERVER, [0.0, 1.0], json!({}))]);
    check("q_list", &[&with_list, "\n"], counts(1, 0, 1, 0));
}

#[test]
fn other_spellings_of_otlp_say_the_same() {
    let ours = request(
        "cache",
        &[with(
            span(1, 2, "GET", SERVER, [0.0, 1.0], http(503, json!({}))),
            "status",
            json!({"code": 2, "message": "no replica"}),
        )],
    );
    let theirs = format!(
        r#"{{"resource_spans":[{{"instrumentationLibrarySpans":[{{"spans":[{{"trace_id":"S/kvNXezTaajzpKdDg5HNg==","span_id":"AAAAAAAAAAE=","parent_span_id":"AAAAAAAAAAI=","name":"GET","kind":"SPAN_KIND_SERVER","start_time_unix_nano":{},"end_time_unix_nano":{},"status":{{"code":"STATUS_CODE_ERROR","message":"no replica"}},"attributes":[{{"key":"http.method","value":{{"stringValue":"GET"}}}},{{"key":"url.path","value":{{"stringValue":"{}"}}}},{{"key":"http.status_code","value":{{"intValue":503}}}},{{"key":"x","value":{{"arrayValue":{{"values":[]}}}}}}]}}]}}],"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"cache"}}}}]}}}}]}}"#,
        support::at(0.0),
        support::at(1.0),
        support::PATH,
    );
    let read = |test: &str, line: String| {
        let directory = directory(test, &[("traces.jsonl", line.as_bytes())]);
        let mut found = Vec::new();
        pass(&directory, Picks::default(), &mut |spans| found.extend_from_slice(spans));
        found
    };
    let ours = read("q_ours", ours);
    assert_eq!(ours.len(), 1);
    assert_eq!(read("q_theirs", theirs), ours);
}

#[test]
fn packed_files_and_many_blocks_are_read_whole_and_in_order() {
    let lines: Vec<String> = (0..6_000_u64)
        .map(|at| {
            let one = span(at + 1, 0, "GET", SERVER, [at as f64, at as f64 + 1.0], http(200, json!({})));
            request("cache", &of_trace(at + 1, vec![one]))
        })
        .collect();
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&file(&lines)).unwrap();
    let directory =
        directory("q_blocks", &[("a.jsonl", &file(&lines)), ("b.jsonl.gz", &packer.finish().unwrap())]);
    let mut stats = Stats::new(None);
    let counts = pass(&directory, Picks::default(), &mut |spans| stats.take(spans));
    assert_eq!(counts, Counts { spans: 6_000, repeats: 6_000, ..Counts::default() });
    let stats = stats.finish();
    let rows: Vec<_> = stats.rows().map(|(_, _, group)| group.durations.count()).collect();
    assert_eq!(rows, [6_000]);
}

#[test]
fn an_inner_span_of_a_trace_whose_beginning_is_missing_says_little() {
    let line = request("cache", &[span(5, 4, "inner", INTERNAL, [0.0, 1.0], json!({}))]);
    let (text, _) = answers("q_inner", &[line]);
    expect![[r#"
        start                     took ms  status  spans  errors  trace                             request              services
        2026-11-21T22:26:40.123Z     1.00              1       0  4bf92f3577b34da6a3ce929d0e0e4736  (beginning missing)  cache


    "#]].assert_eq(&text);
}

#[test]
fn what_is_beyond_the_bounds_is_told_together() {
    let lines: Vec<String> = (0..1_002_u64)
        .map(|at| {
            let name = format!("work {at:04}");
            let one = span(1, 0, &name, SERVER, [0.0, 1.0], json!({"error.type": "timeout"}));
            request("cache", &of_trace(at + 1, vec![with(one, "status", json!({"code": 2}))]))
        })
        .collect();
    let directory = directory("q_others", &[("traces.jsonl", &file(&lines))]);
    let (mut stats, mut errors) = (Stats::new(None), Errors::new(None, None));
    pass(&directory, Picks::default(), &mut |spans| {
        stats.take(spans);
        errors.take(spans);
    });
    let (stats, errors) = (stats.finish(), errors.finish());
    let (service, _, group) = stats.rows().last().unwrap();
    assert_eq!(
        (stats.rows().count(), service, group.durations.count(), group.errors),
        (1_001, "(others)", 2, 2)
    );
    let (key, group) = errors.rows().last().unwrap();
    assert_eq!((errors.rows().len(), &*key.error, group.count), (1_001, "(others)", 2));
}

#[test]
fn a_trace_that_comes_in_parts_is_one_row() {
    let mut spans = Vec::new();
    let directory = directory("q_parts", &[("traces.jsonl", &file(&written()))]);
    pass(&directory, Picks::default(), &mut |trace| {
        spans.extend(trace.iter().map(|span| vec![span.clone()]))
    });
    let listed = |parts: &mut dyn Iterator<Item = &Vec<Brief>>| {
        let mut list = Traces::new(Filter { limit: 10, ..Filter::default() });
        parts.for_each(|part| list.take(part));
        let found = list.finish();
        assert_eq!(found.matching, 3);
        traces::text(&found, 150)
    };
    let whole = answers("q_parts_whole", &written()).0;
    assert!(whole.starts_with(&listed(&mut spans.iter())), "{}", listed(&mut spans.iter()));
    assert_eq!(listed(&mut spans.iter()), listed(&mut spans.iter().rev()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_order_of_lines_gives_the_same_answers(lines in Just(written()).prop_shuffle(), twice in 0..10_usize) {
        let mut lines = lines;
        lines.push(lines[twice].clone());
        let (expected, _) = answers("q_ordered", &written());
        prop_assert_eq!(answers("q_shuffled", &lines).0, expected);
    }
}

#[test]
fn a_span_that_did_not_fail_between_two_that_did_ends_no_chain() {
    let failed = |id, parent| {
        let call = span(id, parent, "GET", CLIENT, [0.0, 9.0], json!({"error.type": "404"}));
        with(call, "status", json!({"code": 2}))
    };
    let answered = span(2, 1, "GET", SERVER, [1.0, 8.0], json!({"http.response.status_code": 404}));
    let lines = [request("edge", &[failed(1, 0)]), request("inner", &[answered, failed(3, 2)])];
    let directory = directory("q_chain", &[("traces.jsonl", &file(&lines))]);
    let mut errors = Errors::new(None, None);
    pass(&directory, Picks::default(), &mut |spans| errors.take(spans));
    let json = errors.finish().json();
    let firsts: Vec<(String, Value)> = json
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| (row["service"].as_str().unwrap().to_owned(), row["first"].clone()))
        .collect();
    assert!(firsts.contains(&("edge".to_owned(), json!(0))), "{json}");
    assert!(firsts.contains(&("inner".to_owned(), json!(1))), "{json}");
}
