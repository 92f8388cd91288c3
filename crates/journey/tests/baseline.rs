//! One request beside the others of its route, read from files.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use expect_test::expect;
use journey::baseline::{Baseline, Usual};
use journey::text::{Look, render_verdict};
use journey::verdict::Spent;
use journey::{Input, Pass, Search, Story, TraceId, Verdict};
use serde_json::{Value, json};

mod support;
use support::{CLIENT, INTERNAL, SERVER, directory, file, request, span, with};

fn trace(number: u64) -> String {
    format!("{number:032x}")
}

/// A read through two services, with a wait for a connection and a statement of so many milliseconds.
fn read(number: u64, route: &str, [pool, statement]: [f64; 2]) -> Vec<String> {
    let of = |span: Value| with(span, "traceId", json!(trace(number)));
    let end = 3.0 + pool + statement;
    let http = |more: Value| {
        let mut all = json!({"http.request.method": "GET"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    vec![
        request(
            "load_balancer",
            &[
                of(span(1, 0, "GET", SERVER, [0.0, end + 2.0], http(json!({"url.path": "/x"})))),
                of(span(2, 1, "GET", CLIENT, [0.5, end + 1.5], http(json!({})))),
            ],
        ),
        request(
            "http_server",
            &[
                of(span(3, 2, "GET", SERVER, [1.0, end + 1.0], http(json!({"http.route": route})))),
                of(span(4, 3, "pool.acquire", INTERNAL, [1.5, 1.5 + pool], json!({}))),
                of(span(
                    5,
                    3,
                    "SELECT bookings",
                    CLIENT,
                    [2.0 + pool, 2.0 + pool + statement],
                    json!({"db.system.name": "sqlite"}),
                )),
            ],
        ),
    ]
}

/// Trace 1 beside all of `lines`.
fn compared(test: &str, lines: &[String]) -> (Story, Usual) {
    let directory = directory(test, &[("traces.jsonl", &file(lines))]);
    let places = || Input::new(vec![directory.clone()]);
    let mut search = Search::new(trace(1).parse().unwrap(), places());
    search.read().unwrap();
    let mut story = search.story(TraceId::read(&trace(1)).unwrap());
    let mut baseline = Baseline::new(&story).unwrap();
    Pass::new(places(), Baseline::picks()).run(&mut |spans| baseline.take(spans), &mut |_| {}).unwrap();
    let usual = baseline.finish();
    story.usual = Some(usual.clone());
    (story, usual)
}

/// The slow one, `others` of its route, and as many slower ones of another.
fn lines(others: u64) -> Vec<String> {
    let mut lines = read(1, "/api/bookings", [60.0, 3.0]);
    for number in 2..2 + others {
        lines.extend(read(number, "/api/bookings", [0.0, number as f64 / 10.0]));
        lines.extend(read(1000 + number, "/api/webhooks", [500.0, 500.0]));
    }
    lines
}

#[test]
fn a_request_is_compared_with_others_of_its_route_and_not_with_itself() {
    let (story, usual) = compared("usual", &lines(100));
    assert_eq!((usual.requests, usual.took, usual.are_few()), (100, 68_000_000, false));
    let within = |told: u64, exact: f64| (told as f64 / 1e6 - exact).abs() < exact / 50.0;
    assert!(within(usual.p50, 5.0 + 5.1) && within(usual.p95, 5.0 + 9.6), "{usual:?}");
    let most = usual.most.as_ref().unwrap();
    assert_eq!((&*most.service, most.spent, most.took), ("http_server", Spent::Pool, 60_000_000));
    assert_eq!((most.p50, most.p95), (0, 0), "nobody else waited");
    expect![[r#"
        GET /x → no answer in 68.00 ms
        verdict  88 % waiting for a connection (http_server), 4 % own work (http_server),
                 4 % database (http_server: SELECT bookings), 4 % other; how sure: high
        usual    4.6 times the p95 of 100 like it, GET (/api/bookings) of load_balancer:
                 p50 10.11 ms, p95 14.73 ms
                 (most above it: waiting for a connection of http_server 60.00 ms, p50 0.00 ms, p95 0.00 ms)
    "#]]
    .assert_eq(&render_verdict(&story, &Verdict::of(&story), Look::default()));
    let told: Value =
        serde_json::from_str(&journey::json::render_verdict(&story, &Verdict::of(&story))).unwrap();
    assert_eq!(told["verdict"]["usual"]["requests"], 100);
    assert_eq!(told["verdict"]["usual"]["most"]["spent"], "pool");
    assert_eq!(told["verdict"]["usual"]["route"], "/api/bookings");
}

#[test]
fn too_few_others_are_said_to_be_too_few_and_none_to_be_none() {
    let foot = |test, others| {
        let (story, _) = compared(test, &lines(others));
        let text = render_verdict(&story, &Verdict::of(&story), Look::default());
        text[text.find("usual").unwrap()..].to_owned()
    };
    expect![[r#"
        usual    only 19 like it, GET (/api/bookings) of load_balancer: too few to tell;
                 p50 6.04 ms, p95 6.94 ms
                 (most above it: waiting for a connection of http_server 60.00 ms, p50 0.00 ms, p95 0.00 ms)
    "#]]
    .assert_eq(&foot("usual_few", 19));
    expect![[r#"
        usual    no other request like it is in the files: GET (/api/bookings) of load_balancer
    "#]]
    .assert_eq(&foot("usual_none", 0));
}

#[test]
fn the_order_of_lines_does_not_matter() {
    let mut lines = lines(30);
    let (_, usual) = compared("usual_in_order", &lines);
    lines.reverse();
    assert_eq!(compared("usual_reversed", &lines).1, usual);
}

#[test]
fn what_is_usual_is_said_to_be() {
    let mut lines = lines(30);
    lines.splice(..2, read(1, "/api/bookings", [0.0, 1.0]));
    let (story, usual) = compared("usual_fast", &lines);
    assert_eq!(usual.most, None, "nothing is above half of the others");
    let text = render_verdict(&story, &Verdict::of(&story), Look::default());
    assert!(text.contains("no slower than half of 30 like it"), "{text}");
}

#[test]
fn times_of_all_that_a_number_holds_are_no_trouble() {
    let endless = |id: u64, parent: u64, kind: u8| {
        let span = span(id, parent, "GET", kind, [0.0, 1.0], json!({"http.request.method": "GET"}));
        let span = with(span, "startTimeUnixNano", json!("0"));
        let span = with(span, "endTimeUnixNano", json!(u64::MAX.to_string()));
        with(span, "traceId", json!(trace(1)))
    };
    let spans = [endless(1, 0, SERVER), endless(2, 1, INTERNAL), endless(3, 1, INTERNAL)];
    let (_, usual) = compared("endless", &[request("load_balancer", &spans)]);
    assert_eq!(usual.requests, 0);
}
