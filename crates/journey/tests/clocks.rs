//! One clock for all hosts: what is moved, by how much, what is left as it was written, and that it is said.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use expect_test::expect;
use journey::span::Kind;
use journey::story::TOLERATED;
use journey::text::{Look, render};
use journey::{SpanId, Story, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

mod made;
mod support;
use made::culprits::usual;
use made::{Trace, any_spans, plain};
use support::{CLIENT, SERVER, TRACE, ZERO, line, request, span};

/// When each span of `story` begins, in milliseconds, by its id; and what is said about clocks.
fn told(story: &Story) -> (Vec<(u64, f64)>, Vec<String>) {
    let mut starts: Vec<(u64, f64)> = story
        .spans()
        .map(|span| {
            let id = u64::from_str_radix(&span.id.to_string(), 16).unwrap();
            (id, ((span.start as f64 - ZERO as f64) / 1e3).round() / 1e3)
        })
        .collect();
    starts.sort_by_key(|(id, _)| *id);
    (starts, story.clocks.iter().map(|clock| clock.words()).collect())
}

fn check(happened: &str, trace: &Trace, starts: &[(u64, f64)], clocks: &[&str]) {
    let (all, said) = told(&trace.story());
    let wanted: Vec<u64> = starts.iter().map(|(id, _)| *id).collect();
    let found: Vec<(u64, f64)> = all.into_iter().filter(|(id, _)| wanted.contains(id)).collect();
    assert_eq!(
        (&*found, said),
        (starts, clocks.iter().map(|text| (*text).to_owned()).collect()),
        "{happened}"
    );
}

/// Two calls, one after the other, of `shop` to `stock`.
fn two_calls() -> Trace {
    Trace::new()
        .server(1, 0, "shop", [0.0, 100.0])
        .client(2, 1, "shop", [10.0, 20.0])
        .server(3, 2, "stock", [12.0, 18.0])
        .client(4, 1, "shop", [50.0, 54.0])
        .server(5, 4, "stock", [51.0, 53.0])
}

#[test]
fn a_process_is_moved_by_what_all_its_visits_leave() {
    check("all fits", &usual(), &[(3, 1.0), (5, 2.0)], &[]);
    check(
        "what the network may have done is no clock",
        &two_calls().later(2.9, &[3]),
        &[(3, 14.9), (5, 51.0)],
        &[],
    );
    // Its first visit leaves ±2 ms, its second ±1 ms: together they tell more than either.
    check(
        "one correction for both visits",
        &two_calls().later(-5000.0, &[3, 5]).on("s1", &[3, 5]),
        &[(3, 12.0), (5, 51.0)],
        &["the clock of stock@s1 is 5000.0 ms behind shop's (± 1.0): corrected"],
    );
    check(
        "another process of the same service has another clock",
        &two_calls().later(-5000.0, &[3]).later(12.4, &[5]).on("s1", &[3]).on("s2", &[5]),
        &[(3, 12.0), (5, 51.0)],
        &[
            "the clock of stock@s1 is 5000.0 ms behind shop's (± 2.0): corrected",
            "the clock of stock@s2 is 12.4 ms ahead of shop's (± 1.0): corrected",
        ],
    );
    check(
        "whoever shares a wrong clock is moved with it, and one wrong clock is told",
        &usual().later(-5000.0, &[3, 4, 5, 6, 7, 8]),
        &[(3, 1.0), (5, 2.0)],
        &["the clock of cache is 5000.0 ms behind load_balancer's (± 0.5): corrected"],
    );
    check(
        "a right clock behind a wrong one is left alone",
        &usual().later(-5000.0, &[3, 4]),
        &[(3, 1.0), (5, 2.0)],
        &["the clock of cache is 5000.0 ms behind load_balancer's (± 0.5): corrected"],
    );
}

#[test]
fn what_cannot_be_known_is_left_as_it_was_written() {
    let sends = |taken: [f64; 2]| {
        usual().named(9, 5, "http_server", "send mail", Kind::Producer, [4.0, 4.2]).named(
            10,
            9,
            "worker",
            "process mail",
            Kind::Consumer,
            taken,
        )
    };
    check("a message is taken late", &sends([9000.0, 9900.0]), &[(10, 9000.0)], &[]);
    check(
        "nobody takes a message before it is sent: so much is known",
        &sends([-500.0, -400.0]),
        &[(10, 4.0)],
        &["the clock of worker is at least 504.0 ms behind http_server's: corrected"],
    );
    check(
        "work that outlives the request within one process",
        &usual().named(9, 5, "http_server", "background", Kind::Internal, [17.0, 9000.0]),
        &[(9, 17.0)],
        &[],
    );
    check(
        "who gave up waiting does not tell when the other one was done",
        &usual().failed(4, "timeout").times(5, [2.0, 900.0]),
        &[(5, 2.0)],
        &[],
    );
    check(
        "an answer that is a failure is an answer",
        &usual()
            .failed(4, "503")
            .with(4, "http.response.status_code", json!("503"))
            .later(900.0, &[5, 6, 7, 8]),
        &[(5, 2.0)],
        &["the clock of http_server is 900.0 ms ahead of cache's (± 0.5): corrected"],
    );
    check(
        "an answer that is still being sent when its caller has gone on",
        &usual().times(5, [9.0, 40.0]),
        &[(5, 9.0)],
        &[],
    );
    check("no name, no process", &usual().later(-900.0, &[3]).service(3, ""), &[(3, -899.0)], &[]);
    check(
        "nobody called it as far as is known",
        &usual().without(&[4]).later(-900.0, &[5]),
        &[(5, -898.0)],
        &[],
    );
}

#[test]
fn several_hosts_under_one_name_are_moved_each_by_itself_and_that_is_said() {
    check(
        "no instances",
        &two_calls().later(-5000.0, &[3]).later(7000.0, &[5]),
        &[(3, 12.0), (5, 51.0)],
        &[
            "the clock of stock contradicts itself: up to 7000.0 ms ahead of shop's; each visit was corrected by itself",
        ],
    );
    check(
        "a clock that was set between two visits",
        &two_calls().later(300.0, &[5]).on("s1", &[3, 5]),
        &[(3, 12.0), (5, 51.0)],
        &[
            "the clock of stock@s1 contradicts itself: up to 300.0 ms ahead of shop's; each visit was corrected by itself",
        ],
    );
}

#[test]
fn rows_bars_lines_and_json_are_on_one_clock_and_say_so() {
    let stock = |[start, end]: [f64; 2]| span(3, 2, "GET", SERVER, [start + 12.4, end + 12.4], json!({}));
    let traces = [
        request(
            "shop",
            &[
                span(1, 0, "GET", SERVER, [0.0, 20.0], json!({})),
                span(2, 1, "GET", CLIENT, [1.0, 19.0], json!({})),
            ],
        ),
        request("stock", &[stock([4.0, 17.0])]),
    ];
    let logs = [line("stock", 1, 3, 5.0 + 12.4, "WARN", "slow shelf", json!({}))];
    let story = support::story("clock_rows", &traces, &logs);
    expect![[r#"
        GET in 20.00 ms
        trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
        shop, stock: 3 spans, 1 log line, complete

        start ms                                                           took ms  own ms  █ own  ░ waiting
            0.00  shop GET                                                   20.00    2.00  █░░░░░░░░░░░░░░█
            1.00  └─ GET                                                     18.00    5.00  ███░░░░░░░░░░███
            1.00     ├┄ network → stock                                       2.50          ░░░
            3.50     ├─ stock GET                                            13.00   13.00    ████████████
                     │     · the clock of stock@i1 is 12.9 ms ahead of shop's (± 2.5): corrected
            4.50     │     · WARN stock slow shelf
           16.50     └┄ network ← stock                                       2.50                       ░░░

        verdict  65 % own work (stock), 25 % network (shop → stock), 10 % own work (shop); how sure: medium
        doubt    the clock of stock@i1 is 12.9 ms ahead of shop's (± 2.5): corrected
    "#]]
    .assert_eq(&render(&story, Look::default()));
    let told: Value = serde_json::from_str(&journey::json::render(&story)).unwrap();
    expect![[r#"
        {
          "clocks": [
            {
              "ahead_ms": 12.899999,
              "contradictory": false,
              "give_or_take_ms": 2.499999,
              "instance": "i1",
              "service": "stock",
              "span_id": "0000000000000003",
              "than_instance": "i1",
              "than_service": "shop"
            }
          ],
          "waits": [
            {
              "duration_ms": 2.5,
              "span_id": "0000000000000002",
              "start_offset_ms": 1.0,
              "to_span_id": "0000000000000003",
              "waited": "request"
            },
            {
              "duration_ms": 2.499999,
              "span_id": "0000000000000002",
              "start_offset_ms": 16.500001,
              "to_span_id": "0000000000000003",
              "waited": "answer"
            }
          ]
        }"#]]
    .assert_eq(
        &serde_json::to_string_pretty(&json!({"clocks": told["clocks"], "waits": told["waits"]})).unwrap(),
    );
    let moved = &told["spans"][2];
    assert_eq!((&moved["start_offset_ms"], &moved["clock_correction_ms"]), (&json!(3.5), &json!(-12.899999)));
    assert_eq!(moved["written_start_unix_ns"], json!(support::at(4.0 + 12.4)));
}

#[test]
fn times_at_the_ends_of_their_range_are_left_alone() {
    let client = |id| journey::span::Span { kind: Kind::Client, ..plain(id, None, 5, 50) };
    let server = journey::span::Span { kind: Kind::Server, ..plain(2, Some(1), u64::MAX - 10, u64::MAX) };
    let story = Story::new(TraceId::read(TRACE).unwrap(), vec![client(1), server], Vec::new());
    assert_eq!((story.clocks.len(), story.nodes[1].moved), (0, 0));
}

/// A tree of calls, each within its caller and 3 ms shorter, whose processes' clocks are off by some milliseconds.
fn any_calls() -> impl Strategy<Value = Trace> {
    let skews = vec(-100_000..100_000_i32, 6);
    (skews, vec((0..100_usize, 0..6_usize), 1..12)).prop_map(|(skews, calls)| {
        let mut spans: Vec<(u64, usize, [f64; 2])> = vec![(1, 0, [0.0, 1000.0])];
        let mut trace = Trace::new().server(1, 0, "p0", [0.0, 1000.0]);
        for (number, (caller, callee)) in calls.into_iter().enumerate() {
            let (caller, process, [start, end]) = spans[caller % spans.len()];
            let (client, server) = (10 + 2 * number as u64, 11 + 2 * number as u64);
            let outer = [start + 1.5, end - 1.5];
            let inner = [start + 3.0, end - 3.0];
            let name = |process: usize| format!("p{process}");
            trace = trace.client(client, caller, &name(process), outer).server(
                server,
                client,
                &name(callee),
                inner,
            );
            spans.push((server, callee, inner));
        }
        let skewed = |trace: Trace, process: usize| {
            let of_process: Vec<u64> = trace
                .spans()
                .iter()
                .filter(|span| span.service == format!("p{process}"))
                .map(|span| u64::from_str_radix(&span.id.to_string(), 16).unwrap())
                .collect();
            trace.later(f64::from(skews[process]), &of_process)
        };
        (1..6).fold(trace, skewed)
    })
}

proptest! {
    #[test]
    fn whatever_the_clocks_every_server_answers_while_its_client_waits(trace in any_calls()) {
        let story = trace.story();
        for node in &story.nodes {
            let parent = node.parent.map(|parent| &story.nodes[parent]);
            let (Some(span), Some(parent)) = (&node.span, parent.and_then(|parent| parent.span.as_ref())) else { continue };
            prop_assert!(parent.start <= span.start + TOLERATED && span.end <= parent.end + TOLERATED, "{:#?}", told(&story));
        }
        prop_assert!(story.clocks.iter().all(|clock| !clock.is_contradictory), "{:?}", told(&story).1);
    }

    #[test]
    fn any_order_of_spans_gives_the_same_times(spans in any_spans(), again in any::<u64>()) {
        let trace = TraceId::read(TRACE).unwrap();
        let mut shuffled = spans.clone();
        shuffled.sort_by_key(|span| (u64::from_str_radix(&span.id.to_string(), 16).unwrap() ^ again, span.start));
        let [one, other] = [spans, shuffled].map(|spans| Story::new(trace, spans, Vec::new()));
        prop_assert_eq!(&one.clocks, &other.clocks);
        prop_assert_eq!(journey::json::render(&one), journey::json::render(&other));
        for (index, node) in one.nodes.iter().enumerate() {
            let duration = node.span.as_ref().map_or(0, journey::span::Span::duration);
            let covered: u64 = one.cover(index).stretches.iter().map(|(start, end)| end - start).sum();
            prop_assert_eq!(node.own + covered, duration, "what is not own time is covered by children");
        }
        // A process is moved as one, unless it says that it was not.
        let ids: Vec<SpanId> = one.clocks.iter().filter(|clock| clock.is_contradictory).map(|clock| clock.span).collect();
        let apart: Vec<&str> = ids.iter().map(|id| &*one.span(*id).unwrap().service).collect();
        for (a, b) in one.nodes.iter().zip(one.nodes.iter().skip(1)) {
            if let (Some(span), Some(next)) = (&a.span, &b.span) {
                let is_one = span.service == next.service && !apart.contains(&&*span.service);
                prop_assert!(!is_one || a.moved == b.moved, "{:?}", told(&one));
            }
        }
    }
}
