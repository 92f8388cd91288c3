//! Work that was done again later, under traces of its own: found from the request, and the request from it.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use expect_test::expect;
use std::path::PathBuf;

use journey::text::{Look, render_all};
use journey::{Input, MOST_RUNS, Runs, Search, Story, TraceId};
use serde_json::{Value, json};

mod support;
use support::{CLIENT, INTERNAL, SERVER, TRACE, directory, linked, request, span, with};

const PRODUCER: u8 = 4;
const CONSUMER: u8 = 5;

fn trace(number: u64) -> String {
    format!("{number:032x}")
}

fn of(trace: &str, span: Value) -> Value {
    with(span, "traceId", json!(trace))
}

/// A run that begins its trace, linked to a span of another.
fn run(number: u64, ms: f64, to: &str, linked_to: u64) -> Value {
    let name = "process deliver";
    let run = span(100 + number, 0, name, CONSUMER, [ms, ms + 5.0], json!({"throughline.task.run": number}));
    linked(of(&trace(number), run), to, linked_to)
}

/// A request whose message fails in its first run and is delivered by the third.
fn three_runs() -> Vec<String> {
    vec![
        request(
            "api",
            &[
                span(1, 0, "POST", SERVER, [0.0, 10.0], json!({"http.request.method": "POST"})),
                span(2, 1, "send deliver", PRODUCER, [5.0, 6.0], json!({})),
            ],
        ),
        request("worker", &[span(3, 2, "process deliver", CONSUMER, [12.0, 20.0], json!({}))]),
        request(
            "worker",
            &[
                run(2, 10_020.0, TRACE, 3),
                of(&trace(2), span(50, 102, "POST", CLIENT, [10_021.0, 10_024.0], json!({}))),
            ],
        ),
        request("worker", &[run(3, 400_000.0, TRACE, 3)]),
        // What has to do with the request, and does not go on from it.
        request(
            "cache",
            &[linked(of(&trace(9), span(90, 0, "GET", SERVER, [20.0, 21.0], json!({}))), TRACE, 1)],
        ),
        request(
            "batch",
            &[linked(of(&trace(8), span(80, 7, "inner", CONSUMER, [1.0, 2.0], json!({}))), TRACE, 1)],
        ),
        request(
            "timer",
            &[linked(of(&trace(7), span(70, 0, "tick", INTERNAL, [1.0, 2.0], json!({}))), TRACE, 1)],
        ),
    ]
}

/// The story of `asked` and those it goes on in or from.
fn stories(test: &str, lines: &[String], asked: &str) -> (Story, Vec<Story>) {
    let directory = directory(test, &[("traces.jsonl", lines.join("\n").as_bytes())]);
    let (story, runs) = with_runs(directory, asked);
    (story, runs.stories)
}

fn with_runs(directory: PathBuf, asked: &str) -> (Story, Runs) {
    let mut search = Search::new(asked.parse().unwrap(), Input::new(vec![directory]));
    search.read().unwrap();
    let asked = TraceId::read(asked).unwrap();
    let mut runs = search.runs(asked).unwrap();
    runs.stories.insert(0, search.story(asked));
    search.follow_links(&mut runs.stories).unwrap();
    (runs.stories.remove(0), runs)
}

fn ids(stories: &[Story]) -> Vec<String> {
    stories.iter().map(|story| story.trace.to_string()).collect()
}

#[test]
fn the_runs_of_a_request_and_nothing_else_are_found_from_it() {
    let (_, runs) = stories("from_request", &three_runs(), TRACE);
    assert_eq!(ids(&runs), [trace(2), trace(3)]);
    assert_eq!(runs[0].spans().count(), 2, "whole");
}

#[test]
fn the_request_and_the_other_runs_are_found_from_a_run() {
    for (name, asked, others) in
        [("from_second", 2, [TRACE.to_owned(), trace(3)]), ("from_third", 3, [TRACE.to_owned(), trace(2)])]
    {
        let (story, runs) = stories(name, &three_runs(), &trace(asked));
        assert_eq!(ids(&runs), others);
        assert!(story.spans().count() >= 1);
        assert_eq!(runs[0].spans().count(), 3, "whole");
    }
}

#[test]
fn what_has_only_to_do_with_a_request_does_not_go_on_from_it() {
    for (name, asked) in [("a_hit", 9), ("an_inner_span", 8), ("a_timer", 7)] {
        assert_eq!(ids(&stories(name, &three_runs(), &trace(asked)).1), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn runs_that_are_linked_each_to_the_one_before_are_found_as_well() {
    let mut lines = three_runs()[..2].to_vec();
    lines.push(request("worker", &[run(2, 100.0, TRACE, 3)]));
    lines.push(request("worker", &[run(3, 200.0, &trace(2), 102)]));
    lines.push(request("worker", &[run(4, 300.0, &trace(3), 103)]));
    for (name, asked) in [("chain_from_request", TRACE.to_owned()), ("chain_from_last", trace(4))] {
        let all = [TRACE.to_owned(), trace(2), trace(3), trace(4)];
        let others: Vec<_> = all.into_iter().filter(|one| *one != asked).collect();
        assert_eq!(ids(&stories(name, &lines, &asked).1), others);
    }
}

#[test]
fn more_runs_than_anybody_reads_are_left_out_and_named() {
    let mut lines = three_runs()[..2].to_vec();
    lines.extend((10..200).map(|number| request("worker", &[run(number, 100.0, TRACE, 3)])));
    let directory = directory("many", &[("traces.jsonl", lines.join("\n").as_bytes())]);
    let (story, runs) = with_runs(directory, TRACE);
    assert_eq!((runs.stories.len(), runs.left_out.len()), (MOST_RUNS, 190 - MOST_RUNS));
    let text = render_all(&story, &runs, Look::default());
    let next = runs.left_out.first().unwrap();
    let said = format!("158 more traces of it are left out; one of them: throughline trace {next}\n");
    assert!(text.ends_with(&said), "{text}");
    let json: serde_json::Value = serde_json::from_str(&journey::json::render_all(&story, &runs)).unwrap();
    assert_eq!(json["runs_left_out"].as_array().unwrap().len(), 158);
    assert_eq!(json["runs_left_out"][0], next.to_string());
}

#[test]
fn all_of_it_reads_as_one_story() {
    let directory = directory("text", &[("traces.jsonl", three_runs().join("\n").as_bytes())]);
    let (story, runs) = with_runs(directory, TRACE);
    expect![[r#"
        POST  → no answer in 10.00 ms (all of it: 20.00 ms)
        trace 4bf92f3577b34da6a3ce929d0e0e4736 at 2026-11-21 22:26:40.123 UTC
        api, worker: 3 spans, 0 log lines, complete

        start ms                                                           took ms  own ms  █ own  ░ waiting
            0.00  api POST                                                   10.00    9.00  ████░███
            5.00  └─ send deliver                                             1.00    1.00      █
            6.00     ├┄ task queue                                            6.00              ░░░░░░
           12.00     └─ worker process deliver                                8.00    8.00           ███████

        verdict  90 % own work (api), 10 % outgoing call (api); how sure: high
        later    worker process deliver in 14.00 ms: 57 % own work (worker), 43 % task queue (worker)

        goes on 10.0 s later, in a trace of its own

        process deliver in 5.00 ms
        trace 00000000000000000000000000000002 at 2026-11-21 22:26:50.143 UTC
        worker: 2 spans, 0 log lines, complete

        start ms                                                           took ms  own ms  █ own  ░ waiting
            0.00  worker process deliver run 2                                5.00    2.00  ███░░░░░░░░░░███
                  │  · linked to trace 4bf92f3577b34da6a3ce929d0e0e4736 10.0 s earlier
                  │    (worker process deliver)
            1.00  └─ POST                                                     3.00    3.00     ██████████

        verdict  60 % outgoing call (worker), 40 % own work (worker); how sure: medium
        doubt    60 % in calls whose other end tells nothing

        goes on 7 min later, in a trace of its own

        process deliver in 5.00 ms
        trace 00000000000000000000000000000003 at 2026-11-21 22:33:20.123 UTC
        worker: 1 span, 0 log lines, complete

        start ms                                                           took ms  own ms  █ own  ░ waiting
            0.00  worker process deliver run 3                                5.00    5.00  ████████████████
                     · linked to trace 4bf92f3577b34da6a3ce929d0e0e4736 7 min earlier
                       (worker process deliver)

        verdict  100 % own work (worker); how sure: high
    "#]]
    .assert_eq(&render_all(&story, &runs, Look::default()));
}
