//! Stories as a stranger reads them: what is printed for what was written.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use expect_test::{Expect, expect};
use journey::text::{Look, render};
use serde_json::{Value, json};

mod support;
use support::{CLIENT, INTERNAL, SERVER, cold_read, http, line, linked, pairs, request, span, story, with};

fn check(test: &str, traces: &[String], logs: &[String], expected: Expect) {
    expected.assert_eq(&render(&story(test, traces, logs), Look::default()));
}

#[test]
fn a_cold_read_with_a_second_attempt() {
    let (traces, logs) = cold_read();
    check(
        "cold_read",
        &traces,
        &logs,
        expect![[r#"
            GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200 in 12.41 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
            load_balancer, cache, http_server: 8 spans, 4 log lines, complete

            start ms                                                           took ms  own ms  █ own  ░ waiting
                0.00  load_balancer GET 200                                      12.41    0.41  ░░░░░░░░░░░░░░░░
                0.10  └─ GET → 127.0.0.1:41001 200                               12.00    0.50  █░░░░░░░░░░░░░░█
                0.40     └─ cache GET 200 miss                                   11.50    0.50  █░░░░░░░░░░░░░░█
                0.60        ├─ GET → 127.0.0.1:41003 attempt 1/2                  0.20    0.20  ██
                            │     failed: connect
                0.80        │  · WARN cache attempt failed error.type=connect
                            │    exception.message="client error (Connect): tcp connect error: Connection
                            │    refused (os error 111)" exception.type=hyper_util::client::legacy::Error
                            │    replica=127.0.0.1:41003
                0.80        └─ GET → 127.0.0.1:41002 200                         10.80    0.30   ░░░░░░░░░░░░░░
                               │  attempt 2/2 after connect
                0.90           └─ http_server GET /api/bookings/{id} 200         10.50    1.50   ░░░░░░░░░░░░██
                1.10              ├─ pool.acquire                                 2.10    2.10   ████
                3.30              └─ SELECT bookings sqlite                       6.90    6.90      ██████████
               11.40                 · INFO http_server request db_ms=6.9 pool_wait_ms=2.1
               11.90           · INFO cache request cache_hit=false queue_ms=0.0 routing_ms=0.3 upstream_ms=11.0
               12.41     · INFO load_balancer request cache_hit=false queue_ms=0.0 routing_ms=0.4
                           upstream_ms=12.0

            verdict  56 % database (http_server: SELECT bookings), 17 % waiting for a connection (http_server),
                     12 % own work (http_server), 15 % other; how sure: high
            failed   first cache GET → 127.0.0.1:41003 failed: connect (the answer did not fail)
        "#]],
    );
}

#[test]
fn a_recorded_story_of_the_whole_system_reads_well() {
    let recorded = include_bytes!("data/second_attempt.jsonl");
    let directory = support::directory("recorded", &[("recorded.jsonl", recorded)]);
    let places = journey::Input::new(vec![directory]);
    let mut search = journey::Search::new("e3c2c41cedf47075c0037df7bd8343bd".parse().unwrap(), places);
    search.read().unwrap();
    let story = search.story(search.traces()[0]);
    expect![[r#"
        GET /api/bookings → 200 in 5.82 ms
        trace e3c2c41cedf47075c0037df7bd8343bd at 2026-11-23 08:07:31.768 UTC
        load_balancer, cache, http_server: 8 spans, 4 log lines, complete

        start ms                                                           took ms  own ms  █ own  ░ waiting
            0.00  load_balancer GET 200                                       5.82    0.27  █░░░░░░░░░░░░░░░
            0.24  └─ GET → 127.0.0.1:41895 200                                5.55    0.86  ██░░░░░░░░░░░░░█
            0.67     └─ cache GET 200 miss (uri-miss)                         4.69    0.79   ███░░░░░░░░░░█
            0.94        ├─ GET → 127.0.0.1:45445 attempt 1/2                  0.17    0.17    ██
                        │     failed: connect: the replica refuses connections
            1.25        │  · WARN cache attempt failed, trying again error.type=connect
                        │    exception.message="the replica refuses connections: cannot connect: Connection
                        │    refused (os error 111)" exception.type=AttemptError
            1.41        └─ GET → 127.0.0.1:38245 200                          3.73    1.28     ███░░░░░░███
                           │  attempt 2/2 after connect
            2.05           └─ http_server GET /api/bookings 200               2.44    2.14       ██████░█
            2.28              ├─ pool.acquire                                 0.03    0.03        █
            3.98              └─ SELECT bookings sqlite                       0.28    0.28            ██
            4.57                 · INFO http_server request db_ms=0.228 pool_wait_ms=0.003
            5.40           · INFO cache request cache_hit=false routing_ms=0.786 upstream_ms=3.902
            5.87     · INFO load_balancer request cache_hit=false routing_ms=0.269 upstream_ms=5.551

        verdict  37 % own work (http_server), 22 % network (cache → http_server),
                 15 % network (load_balancer → cache), 26 % other; how sure: high
        failed   first cache GET → 127.0.0.1:45445 failed: connect: the replica refuses connections
                 (the answer did not fail)
    "#]]
    .assert_eq(&render(&story, Look::default()));
    assert!(story.is_answered());
}

#[test]
fn the_order_of_lines_in_the_files_does_not_matter() {
    let (mut traces, mut logs) = cold_read();
    let told = render(&story("in_order", &traces, &logs), Look::default());
    traces.reverse();
    logs.reverse();
    assert_eq!(render(&story("reversed", &traces, &logs), Look::default()), told);
}

#[test]
fn every_line_fits_the_width_and_colours_add_nothing_else() {
    let (traces, logs) = cold_read();
    let story = story("widths", &traces, &logs);
    for width in [60, 70, 80, 100, 120, 200] {
        let plain = render(&story, Look { width, ..Look::default() });
        let widest = plain.lines().map(|line| line.chars().count()).max();
        assert!(widest.unwrap() <= width, "{width} columns:\n{plain}");
        let mut coloured = render(&story, Look { width, is_coloured: true, ..Look::default() });
        assert!(coloured.contains("\x1b[1;31mfailed: connect\x1b[0m"), "{coloured}");
        while let Some((start, length)) =
            coloured.find('\x1b').and_then(|at| Some((at, coloured[at..].find('m')?)))
        {
            coloured.replace_range(start..=start + length, "");
        }
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trimmed(&coloured), trimmed(&plain));
    }
}

#[test]
fn a_hit_names_the_trace_that_stored_the_entry() {
    let other = "0af7651916cd43dd8448eb211c80319c";
    let stored =
        with(span(9, 0, "GET", CLIENT, [-3200.0, -3190.0], http(200, json!({}))), "traceId", json!(other));
    let hit = span(3, 2, "GET", SERVER, [0.2, 0.4], http(200, json!({"throughline.cache.result": "hit"})));
    let traces = [
        request("cache", &[stored]),
        request("cache", &[linked(hit, other, 9)]),
        request(
            "load_balancer",
            &[
                span(2, 1, "GET", CLIENT, [0.1, 0.5], http(200, json!({}))),
                span(1, 0, "GET", SERVER, [0.0, 0.6], http(200, json!({}))),
            ],
        ),
    ];
    check(
        "hit",
        &traces,
        &[],
        expect![[r#"
            GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200 in 0.600 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
            load_balancer, cache: 3 spans, 0 log lines, complete

            start ms                                                           took ms  own ms  █ own  ░ waiting
               0.000  load_balancer GET 200                                      0.600   0.200  ███░░░░░░░░░░███
               0.100  └─ GET 200                                                 0.400   0.200    ███░░░░░░███
               0.200     └─ cache GET 200 hit                                    0.200   0.200       ██████
                               · answered from an entry stored by trace 0af7651916cd43dd8448eb211c80319c
                                 3.2 s earlier (cache GET)

            verdict  34 % own work (cache), 33 % own work (load_balancer), 33 % network (load_balancer → cache);
                     how sure: high
        "#]],
    );
}

#[test]
fn a_failure_stands_behind_what_the_cache_decided() {
    let lost = json!({"throughline.cache.result": "miss", "throughline.cache.reason": "uri-miss", "error.type": "connect"});
    let failed = with(
        span(1, 0, "GET", SERVER, [0.0, 1.0], http(503, lost)),
        "status",
        json!({"code": 2, "message": "refused"}),
    );
    check(
        "failure",
        &[request("cache", &[failed])],
        &[],
        expect![[r#"
            GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 503 (connect) in 1.00 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
            cache: 1 span, 0 log lines, complete

            start ms                                                           took ms  own ms  █ own  ░ waiting
                0.00  cache GET 503 miss (uri-miss) failed: connect: refused      1.00    1.00  ████████████████

            verdict  100 % own work (cache); how sure: high
            failed   first cache GET 503 failed: connect: refused
        "#]],
    );
}

#[test]
fn a_link_that_leads_out_of_the_files_is_said_to() {
    let caller = linked(
        span(1, 0, "GET", SERVER, [0.0, 0.6], http(404, json!({}))),
        "0af7651916cd43dd8448eb211c80319c",
        9,
    );
    check(
        "link_out",
        &[request("load_balancer", &[caller])],
        &[],
        expect![[r#"
            GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 404 in 0.600 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
            load_balancer: 1 span, 0 log lines, complete

            start ms                                                           took ms  own ms  █ own  ░ waiting
               0.000  load_balancer GET 404                                      0.600   0.600  ████████████████
                         · linked to trace 0af7651916cd43dd8448eb211c80319c
                           span 0000000000000009, which is not in these files

            verdict  100 % own work (load_balancer); how sure: high
        "#]],
    );
}

#[test]
fn a_parent_that_was_never_written_is_named_with_what_hangs_on_it() {
    let traces = [
        request(
            "http_server",
            &[span(6, 5, "GET /api/bookings", SERVER, [1.0, 2.0], http(500, json!({"error.type": "500"})))],
        ),
        request(
            "load_balancer",
            &[span(1, 0, "GET", SERVER, [0.0, 2.5], http(502, json!({"error.type": "broken_response"})))],
        ),
    ];
    let logs = [line(
        "cache",
        1,
        3,
        0.9,
        "ERROR",
        "panic",
        json!({"exception.message": "index out of bounds", "exception.stacktrace": "0: main\n1: start"}),
    )];
    check(
        "never_written",
        &traces,
        &logs,
        expect![[r#"
            GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 502 (broken_response) in 2.50 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
            load_balancer, cache, http_server: 2 spans, 1 log line, incomplete
            the span of cache was never written, though lines in it were (0000000000000003)
            the span, presumably of cache, that should stand above http_server was never written
            (0000000000000005)

            start ms                                                           took ms  own ms  █ own  ░ waiting
                0.00  load_balancer GET 502 failed: broken_response               2.50    2.50  ████████████████
                      (the span of cache was never written, though lines in it were (0000000000000003))
                0.90     · ERROR cache panic exception.message="index out of bounds"
                      (the span, presumably of cache, that should stand above http_server was never written
                      │  (0000000000000005))
                1.00  └─ http_server GET /api/bookings 500                        1.00    1.00        ███████

            verdict  100 % own work (load_balancer); how sure: low
            failed   first load_balancer GET 502 failed: broken_response
            doubt    the span of cache was never written, though lines in it were (0000000000000003)
            doubt    the span, presumably of cache, that should stand above http_server was never written
                     (0000000000000005)
        "#]],
    );
}

#[test]
fn a_caller_of_ours_may_well_be_nowhere() {
    let traces = [request("load_balancer", &[span(1, 9, "GET", SERVER, [0.0, 0.6], http(200, json!({})))])];
    check(
        "caller",
        &traces,
        &[],
        expect![[r#"
            GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200 in 0.600 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
            load_balancer: 1 span, 0 log lines, complete but for its caller
            span 0000000000000009 is not in these files: the caller's own, or never written

            start ms                                                           took ms  own ms  █ own  ░ waiting
                      (span 0000000000000009 is not in these files: the caller's own, or never written)
               0.000  └─ load_balancer GET 200                                   0.600   0.600  ████████████████

            verdict  100 % own work (load_balancer); how sure: high
        "#]],
    );
}

#[test]
fn lines_alone_are_a_story_too() {
    let logs = [line(
        "load_balancer",
        1,
        1,
        0.0,
        "INFO",
        "request",
        json!({"method": "GET", "path": "/", "status": 200, "response_time_ms": 0.5}),
    )];
    check(
        "lines_alone",
        &[],
        &logs,
        expect![[r#"
            GET / → 200 in 0.5 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
            load_balancer: 0 spans, 1 log line, incomplete
            no span of this trace was written: not sampled, or lost

            start µs                                                           took µs  own µs  █ own  ░ waiting
                      (the span of load_balancer was never written, though lines in it were (0000000000000001))
                0.00     · INFO load_balancer request method=GET path=/ response_time_ms=0.5 status=200
        "#]],
    );
}

#[test]
fn events_and_other_systems_older_names_are_told() {
    let attributes = json!({"http.method": "POST", "http.target": "/cart", "http.status_code": 500, "net.peer.name": "10.0.0.7"});
    let events = json!([{
        "timeUnixNano": support::at(2.0).to_string(), "name": "exception",
        "attributes": pairs(&json!({"exception.type": "KeyError", "exception.message": "'user'", "exception.stacktrace": "Traceback\n…"})),
    }]);
    let failed = with(
        span(1, 0, "POST /cart", SERVER, [0.0, 5.0], attributes),
        "status",
        json!({"code": "STATUS_CODE_ERROR", "message": "KeyError"}),
    );
    check(
        "older_names",
        &[request("shop", &[with(failed, "events", events)])],
        &[],
        expect![[r#"
            POST /cart → 500 in 5.00 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
            shop: 1 span, 0 log lines, complete

            start ms                                                           took ms  own ms  █ own  ░ waiting
                0.00  shop POST /cart 500 failed: KeyError                        5.00    5.00  ████████████████
                2.00     · exception message='user' type=KeyError

            verdict  100 % own work (shop); how sure: high
            failed   first shop POST /cart 500 failed: KeyError
        "#]],
    );
}

#[test]
fn circles_self_parents_and_clocks_that_jump_are_shown_and_said() {
    let traces = [request(
        "odd",
        &[
            span(1, 2, "a", INTERNAL, [0.0, 4.0], json!({})),
            span(2, 1, "b", INTERNAL, [1.0, 3.0], json!({})),
            span(3, 3, "own parent", INTERNAL, [1.0, 2.0], json!({})),
            span(4, 2, "backwards", INTERNAL, [2.0, 1.0], json!({})),
            span(4, 2, "backwards", INTERNAL, [2.0, 1.0], json!({})),
            span(1, 2, "another a", INTERNAL, [0.0, 9.0], json!({})),
        ],
    )];
    check(
        "circles",
        &traces,
        &[],
        expect![[r#"
            a in 4.00 ms
            trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
            odd: 4 spans, 0 log lines, incomplete (2 repeats of spans left out, 1 of them different)
            span 0000000000000001 is its own ancestor; the circle is cut there
            span 0000000000000003 is its own ancestor; the circle is cut there

            start ms                                                           took ms  own ms  █ own  ░ waiting
                0.00  odd a                                                       4.00    2.00  ████░░░░░░░░████
                1.00  └─ b                                                        2.00    2.00      ████████
                2.00     └─ backwards ends before it starts                       0.00    0.00          █
                1.00  odd own parent                                              1.00    1.00      ████

            verdict  100 % own work (odd); how sure: medium
            doubt    span 0000000000000001 is its own ancestor
            doubt    span 0000000000000003 is its own ancestor
            doubt    span 0000000000000004 ends before it starts
        "#]],
    );
}

#[test]
fn the_json_form_is_flat_and_says_its_units() {
    let (traces, logs) = cold_read();
    let told: Value =
        serde_json::from_str(&journey::json::render(&story("json", &traces, &logs[..1]))).unwrap();
    let mut told = told;
    // Its members have a test beside the verdict's own.
    assert!(told.as_object_mut().unwrap().remove("verdict").is_some());
    let spans = told["spans"].as_array_mut().unwrap();
    let outline: Vec<String> = spans
        .iter()
        .map(|s| {
            format!(
                "{} {} {} {} own {} of {}",
                s["depth"], s["service"], s["name"], s["start_offset_ms"], s["own_ms"], s["duration_ms"]
            )
        })
        .collect();
    expect![[r#"
        0 "load_balancer" "GET" 0.0 own 0.41 of 12.41
        1 "load_balancer" "GET" 0.1 own 0.5 of 12.0
        2 "cache" "GET" 0.4 own 0.5 of 11.5
        3 "cache" "GET" 0.6 own 0.2 of 0.2
        3 "cache" "GET" 0.8 own 0.3 of 10.8
        4 "http_server" "GET /api/bookings/{id}" 0.9 own 1.5 of 10.5
        5 "http_server" "pool.acquire" 1.1 own 2.1 of 2.1
        5 "http_server" "SELECT bookings" 3.3 own 6.9 of 6.9
    "#]]
    .assert_eq(&(outline.join("\n") + "\n"));
    spans.truncate(1);
    expect![[r#"
        {
          "clocks": [],
          "complete": true,
          "duplicate_spans": 0,
          "duration_ms": 12.41,
          "error_type": null,
          "extent_ms": 12.41,
          "gaps": [],
          "lines": [
            {
              "line": {
                "error.type": "connect",
                "exception.message": "client error (Connect): tcp connect error: Connection refused (os error 111)",
                "exception.type": "hyper_util::client::legacy::Error",
                "instance": "i1",
                "level": "WARN",
                "logger": "cache",
                "message": "attempt failed",
                "method": "GET",
                "path": "/api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e",
                "replica": "127.0.0.1:41003",
                "service": "cache",
                "span_id": "0000000000000003",
                "timestamp": "2026-11-21T22:26:40.124256Z",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                "uid": "9f3c2a71d04be856-1"
              },
              "offset_ms": 0.799211
            }
          ],
          "method": "GET",
          "path": "/api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e",
          "runs": [],
          "runs_left_out": [],
          "services": [
            "load_balancer",
            "cache",
            "http_server"
          ],
          "spans": [
            {
              "attempt": null,
              "attempts": null,
              "attributes": {
                "client.address": "127.0.0.1",
                "http.request.method": "GET",
                "http.response.status_code": 200,
                "url.path": "/api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e"
              },
              "clock_correction_ms": 0.0,
              "depth": 0,
              "duration_ms": 12.41,
              "events": [],
              "failed": false,
              "instance": "i1",
              "kind": "server",
              "links": [],
              "name": "GET",
              "own_ms": 0.41,
              "parent_span_id": null,
              "service": "load_balancer",
              "span_id": "0000000000000001",
              "start_offset_ms": 0.0,
              "status_message": "",
              "written_end_unix_ns": 1795300000135866789,
              "written_start_unix_ns": 1795300000123456789
            }
          ],
          "started_at_unix_ns": 1795300000123456789,
          "status": 200,
          "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
          "waits": []
        }
    "#]].assert_eq(&(serde_json::to_string_pretty(&told).unwrap() + "\n"));
}
