//! Who calls whom: which calls are on which edge, as a table, as JSON, and as drawings that nothing in a name breaks.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use expect_test::expect;
use journey::Input;
use journey::brief::{Brief, Picks};
use journey::map::{Drawn, Filter, Map};
use serde_json::{Value, json};

/// Telemetry in a few words.
mod support;

use support::{CLIENT, SERVER, TRACE, at, directory, file, request, span, with};

const PRODUCER: u8 = 4;
const CONSUMER: u8 = 5;

/// What is drawn of `lines`.
fn drawn(test: &str, lines: &[String], filter: Filter) -> Drawn {
    let directory = directory(test, &[("traces.jsonl", &file(lines))]);
    let mut map = Map::new(filter);
    let mut take = |spans: &[Brief]| map.take(spans);
    let picks = Picks { peers: true, ..Picks::default() };
    journey::Pass::new(Input::new(vec![directory]), picks).run(&mut take, &mut |_| {}).unwrap();
    map.finish()
}

/// A request that asks a replica that is down, another one, a database, a queue and a webhook.
fn system() -> Vec<String> {
    let replica = |port: u16| json!({"server.address": "10.0.0.1", "server.port": port});
    let failed = json!({"code": 2});
    let queue = json!({"messaging.system": "throughline", "messaging.destination.name": "deliver"});
    let edge = request(
        "edge",
        &[
            span(1, 0, "GET", SERVER, [0.0, 20.0], json!({"http.response.status_code": 500})),
            with(span(2, 1, "GET", CLIENT, [1.0, 2.0], replica(8001)), "status", failed.clone()),
            span(3, 1, "GET", CLIENT, [2.0, 19.0], replica(8002)),
        ],
    );
    let api = request(
        "api",
        &[
            span(4, 3, "GET /x", SERVER, [3.0, 18.0], json!({})),
            span(
                5,
                4,
                "SELECT x",
                CLIENT,
                [4.0, 6.0],
                json!({"db.system": "postgresql", "server.address": "db", "server.port": 5432}),
            ),
            span(6, 4, "send deliver", PRODUCER, [6.0, 7.0], queue.clone()),
            span(7, 4, "send others", PRODUCER, [7.0, 8.0], json!({"messaging.destination.name": "others"})),
        ],
    );
    let worker = request(
        "worker",
        &[
            span(8, 6, "process deliver", CONSUMER, [30.0, 50.0], queue.clone()),
            span(9, 8, "POST", CLIENT, [31.0, 49.0], json!({"server.address": "hooks.example"})),
        ],
    );
    // The replica that was down answers another trace, and a run begins one of its own.
    let later = "5bf92f3577b34da6a3ce929d0e0e4736";
    let again = request(
        "edge",
        &[
            span(1, 0, "GET", SERVER, [1000.0, 1010.0], json!({})),
            span(2, 1, "GET", CLIENT, [1001.0, 1009.0], replica(8001)),
        ],
    );
    let answer = request("api", &[span(3, 2, "GET /x", SERVER, [1002.0, 1008.0], json!({}))]);
    let run = request("worker", &[span(11, 0, "process deliver", CONSUMER, [2000.0, 2001.0], queue)]);
    let other = |line: String, trace: &str| line.replace(TRACE, trace);
    vec![
        edge,
        api,
        worker,
        other(again, later),
        other(answer, later),
        other(run, "6bf92f3577b34da6a3ce929d0e0e4736"),
    ]
}

#[test]
fn calls_are_on_the_edge_of_who_made_them_and_who_answered() {
    let map = drawn("map_system", &system(), Filter::default());
    expect![[r#"
        from             to                             calls  per s  errors %  p50 ms  p95 ms  p99 ms
        (outside)        edge                               2   1.00      50.0   10.00   19.83   19.83
        edge             api                                3   1.50      33.3    6.04   15.00   15.00
        api              worker (async)                     1   0.50       0.0   20.00   20.00   20.00
        api              others (queue, async)              1   0.50       0.0    1.00    1.00    1.00
        api              postgresql db:5432 (database)      1   0.50       0.0    2.00    2.00    2.00
        worker           hooks.example (tells nothing)      1   0.50       0.0   18.00   18.00   18.00
        deliver (queue)  worker (async)                     1   0.50       0.0    1.00    1.00    1.00
    "#]]
    .assert_eq(&map.text(110));
    expect![[r#"{"from":"edge","from_kind":"service","to":"api","to_kind":"service","async":false,"calls":3,"per_second":1.5,"errors":1,"error_percent":33.333333333333336,"p50_ms":6.042465,"p95_ms":15.0,"p99_ms":15.0,"max_ms":15.0}"#]].assert_eq(map.json().lines().nth(1).unwrap());
    expect![[r##"
        digraph calls {
          rankdir=LR;
          node [shape=box, style=rounded, fontname="sans-serif"];
          edge [fontname="sans-serif", fontsize=10];
          n0 [label="(outside)", style="rounded,dashed"];
          n1 [label="api"];
          n2 [label="edge"];
          n3 [label="worker"];
          n4 [label="deliver", shape=cds, style=solid];
          n5 [label="others", shape=cds, style=solid];
          n6 [label="postgresql db:5432", shape=cylinder, style=solid];
          n7 [label="hooks.example", style="rounded,dashed"];
          n0 -> n2 [label="2×, 1.00/s, 50.0 % errors\np50 10.00, p95 19.83 ms", color="#c02f1d"];
          n2 -> n1 [label="3×, 1.50/s, 33.3 % errors\np50 6.04, p95 15.00 ms", color="#c02f1d"];
          n1 -> n3 [label="1×, 0.50/s\np50 20.00, p95 20.00 ms", style=dashed];
          n1 -> n5 [label="1×, 0.50/s\np50 1.00, p95 1.00 ms", style=dashed];
          n1 -> n6 [label="1×, 0.50/s\np50 2.00, p95 2.00 ms"];
          n3 -> n7 [label="1×, 0.50/s\np50 18.00, p95 18.00 ms"];
          n4 -> n3 [label="1×, 0.50/s\np50 1.00, p95 1.00 ms", style=dashed];
        }
    "##]]
    .assert_eq(&map.dot());
    expect![[r#"
        flowchart LR
          n0(["(outside)"])
          n1["api"]
          n2["edge"]
          n3["worker"]
          n4[["deliver"]]
          n5[["others"]]
          n6[("postgresql db:5432")]
          n7(["hooks.example"])
          n0 -->|"2×, 1.00/s, 50.0 % errors<br/>p50 10.00, p95 19.83 ms"| n2
          n2 -->|"3×, 1.50/s, 33.3 % errors<br/>p50 6.04, p95 15.00 ms"| n1
          n1 -.->|"1×, 0.50/s<br/>p50 20.00, p95 20.00 ms"| n3
          n1 -.->|"1×, 0.50/s<br/>p50 1.00, p95 1.00 ms"| n5
          n1 -->|"1×, 0.50/s<br/>p50 2.00, p95 2.00 ms"| n6
          n3 -->|"1×, 0.50/s<br/>p50 18.00, p95 18.00 ms"| n7
          n4 -.->|"1×, 0.50/s<br/>p50 1.00, p95 1.00 ms"| n3
    "#]]
    .assert_eq(&map.mermaid());
}

#[test]
fn the_order_of_the_lines_changes_nothing_and_repeats_count_once() {
    let mut lines = system();
    let forward = drawn("map_forward", &lines, Filter::default()).json();
    lines.reverse();
    lines.push(lines[0].clone());
    assert_eq!(drawn("map_backward", &lines, Filter::default()).json(), forward);
}

#[test]
fn a_map_is_of_a_service_and_a_time_where_they_are_asked_for() {
    let of_worker = Filter { services: vec!["worker".to_owned()], ..Filter::default() };
    let edges = |filter: Filter| -> Vec<String> {
        let map = drawn("map_filtered", &system(), filter);
        let name = |node: &journey::map::Node| node.name().to_owned();
        map.edges.iter().map(|(edge, _)| format!("{} → {}", name(&edge.from), name(&edge.to))).collect()
    };
    assert_eq!(edges(of_worker), ["api → worker", "worker → hooks.example", "deliver → worker"]);
    let late = Filter { since: Some(at(1500.0)), ..Filter::default() };
    assert_eq!(edges(late), ["deliver → worker"]);
    let half = Filter { since: Some(at(500.0)), until: Some(at(1500.0)), ..Filter::default() };
    assert_eq!(drawn("map_half", &system(), half.clone()).seconds, 1.0);
    assert_eq!(edges(half), ["(outside) → edge", "edge → api"]);
    assert_eq!(edges(Filter { until: Some(0), ..Filter::default() }), Vec::<String>::new());
    assert_eq!(drawn("map_none", &[], Filter::default()).mermaid(), "");
}

#[test]
fn more_edges_than_are_kept_apart_are_told_as_others() {
    let spans: Vec<Value> = (1..=1200_u64)
        .map(|id| span(id, 0, "POST", CLIENT, [0.0, 1.0], json!({"server.address": format!("h{id}")})))
        .collect();
    let map = drawn("map_many", &[request("edge", &spans)], Filter::default());
    assert_eq!((map.edges.len(), map.edges[1000].1.durations.count()), (1001, 200));
    let text = map.text(80);
    let last: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(last, ["(others)", "(others)", "200", "0.0", "1.00", "1.00", "1.00"]);
}

/// Names with which somebody may try to end a label.
const EVIL: [&str; 7] = [
    "a\"b",
    "a\\",
    "a\"]; n0 --> n1",
    "<script>alert(1)</script>",
    "x\n}\u{1b}[2J",
    "`md` **b** #quot;",
    "end|subgraph{",
];

fn evil(test: &str) -> Drawn {
    let lines: Vec<String> = EVIL
        .iter()
        .zip(1..)
        .map(|(name, id)| {
            request(name, &[span(id, 0, "POST", CLIENT, [0.0, 1.0], json!({"server.address": name}))])
        })
        .collect();
    drawn(test, &lines, Filter::default())
}

/// A quoted text of DOT from its opening quote on: what is in it, and what comes after.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut letters = text.strip_prefix('"')?.char_indices();
    let mut told = String::new();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => told.push(letters.next()?.1),
            '"' => return Some((told, &text[at + 2..])),
            _ => told.push(letter),
        }
    }
    None
}

#[test]
fn dot_is_a_graph_whatever_the_names_are() {
    let text = evil("map_evil_dot").dot();
    let body = text.strip_prefix("digraph calls {\n").unwrap().strip_suffix("}\n").unwrap();
    let mut labels = Vec::new();
    for line in body.lines().skip(3) {
        // `n0 [label="…", style=…];` or `n0 -> n1 [label="…"];`
        let (ids, rest) = line.trim_start().split_once(" [label=").unwrap();
        assert!(ids.split(" -> ").all(|id| id[1..].parse::<u32>().is_ok() && id.starts_with('n')), "{line}");
        let (label, rest) = quoted(rest).unwrap();
        let mut rest = rest;
        while let Some(value) = rest.strip_prefix(", ") {
            let (name, value) = value.split_once('=').unwrap();
            assert!(["shape", "style", "color"].contains(&name), "{line}");
            rest = quoted(value).map_or_else(
                || value.trim_start_matches(|letter: char| letter.is_ascii_lowercase()),
                |(_, rest)| rest,
            );
        }
        assert_eq!(rest, "];", "{line}");
        labels.push(label);
    }
    for name in EVIL.iter().filter(|name| !name.chars().any(char::is_control)) {
        assert!(labels.contains(&(*name).to_owned()), "{name}: {labels:?}");
    }
}

#[test]
fn mermaid_is_a_flowchart_whatever_the_names_are() {
    let text = evil("map_evil_mermaid").mermaid();
    let body = text.strip_prefix("flowchart LR\n").unwrap();
    for line in body.lines() {
        let parts: Vec<&str> = line.split('"').collect();
        let [before, label, after] = parts.as_slice() else { panic!("one label: {line}") };
        let id = |text: &str| text.strip_prefix('n').is_some_and(|number| number.parse::<u32>().is_ok());
        let before = before.trim();
        match before.strip_suffix("-->|") {
            Some(from) => assert!(id(from.trim()) && id(after.strip_prefix("| ").unwrap()), "{line}"),
            None => {
                let name = before.trim_end_matches(['[', '(']);
                let close: String = before[name.len()..]
                    .chars()
                    .rev()
                    .map(|open| if open == '[' { ']' } else { ')' })
                    .collect();
                assert!(id(name) && close == **after, "{line}");
            }
        }
        let plain = label.replace("<br/>", "");
        let entity = |text: &str| {
            text.split('#')
                .skip(1)
                .all(|part| part.split_once(';').is_some_and(|(number, _)| number.parse::<u32>().is_ok()))
        };
        assert!(entity(&plain) && !plain.contains(['<', '>', '&', '`', '|', '[', '{', '\\']), "{line}");
    }
    assert!(body.contains("#60;script#62;alert(1)#60;/script#62;"), "{body}");
}
