//! The verdict names the culprit: made-up traces whose culprit is known, and what must hold for any trace.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use expect_test::{Expect, expect};
use journey::span::{Attributes, Kind, Span};
use journey::text::{Look, render_verdict};
use journey::verdict::{Doubt, Share, Sure};
use journey::{SpanId, Story, TraceId, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

mod made;
mod support;
use made::culprits::{Named, table, usual};
use made::{Trace, any_spans, plain};
use support::TRACE;

/// What the verdict names where it is asked to.
fn names(story: &Story, verdict: &Verdict, culprit: &Named) -> bool {
    match culprit {
        Named::Request(service, to, spent) => verdict.shares.first().is_some_and(|share| {
            (&*share.service, share.to.as_deref(), share.spent) == (service, *to, *spent)
        }),
        Named::Later(service, spent) => verdict
            .later
            .iter()
            .filter_map(|later| later.shares.first())
            .any(|share| (&*share.service, share.spent) == (service, *spent)),
        Named::Failure(service, name, others) => verdict.failure.as_ref().is_some_and(|failure| {
            let span = story.spans().find(|span| span.id == failure.first).unwrap();
            (&*span.service, &*span.name, failure.because.len()) == (service, name, *others)
        }),
    }
}

#[test]
fn the_verdict_names_every_culprit() {
    let rows = table();
    let mut missed = Vec::new();
    for (happened, trace, culprit, sure) in &rows {
        let story = trace.story();
        let verdict = Verdict::of(&story);
        println!("{happened}\n{}", render_verdict(&story, &verdict, Look::default()));
        if !names(&story, &verdict, culprit) || verdict.sure != *sure {
            missed.push(format!("{happened}: {verdict:#?}"));
        }
    }
    println!("{} of {} culprits named, and how sure", rows.len() - missed.len(), rows.len());
    assert_eq!(rows.len() - missed.len(), rows.len(), "{}", missed.join("\n"));
}

fn check(trace: &Trace, expected: &Expect) {
    let story = trace.story();
    expected.assert_eq(&render_verdict(&story, &Verdict::of(&story), Look::default()));
}

fn row(wanted: &str) -> Trace {
    table().into_iter().find(|(happened, ..)| *happened == wanted).unwrap().1
}

#[test]
fn the_foot_tells_shares_failures_what_was_left_and_doubts() {
    check(
        &row("a failure that caused others"),
        &expect![[r#"
            GET /x → 500 in 20.00 ms
            verdict  64 % own work (http_server), 16 % database (http_server: mostly SELECT bookings),
                     5 % own work (cache), 15 % other; how sure: high
            failed   first http_server COMMIT failed: disk full
                     (because of it 5 spans of http_server, cache, load_balancer)
        "#]],
    );
    check(
        &row("killed in the middle of a request: its own span is missing"),
        &expect![[r#"
            GET /x → 502 in 20.00 ms
            verdict  69 % unaccounted for (cache → http_server),
                     16 % database (http_server: mostly SELECT bookings), 5 % own work (cache), 10 % other;
                     how sure: low
            failed   first cache GET failed: connection closed (because of it 3 spans of cache, load_balancer)
            doubt    69 % in hops that were never written
            doubt    the span, presumably of http_server, that should stand beneath cache was never written
                     (0000000000000005)
        "#]],
    );
    check(
        &row("slow first attempt, given up"),
        &expect![[r#"
            GET /x → 200 in 120.0 ms
            verdict  83 % failed attempt (cache → 10.0.0.1:80 (timeout)), 10 % own work (http_server),
                     3 % database (http_server: mostly SELECT bookings), 4 % other; how sure: high
            failed   first cache GET → 10.0.0.1:80 failed: timeout (the answer did not fail)
        "#]],
    );
    check(
        &row("late worker"),
        &expect![[r#"
            GET /x → 200 in 20.0 ms (all of it: 905.0 ms)
            verdict  64 % own work (http_server), 16 % database (http_server: mostly SELECT bookings),
                     5 % own work (cache), 15 % other; how sure: high
            later    worker process confirm_booking in 900.8 ms: 99 % task queue (worker), 1 % own work (worker)
        "#]],
    );
    check(
        &row("network gap behind a wrong clock"),
        &expect![[r#"
            GET /x → 200 in 80.00 ms
            verdict  77 % network (load_balancer → cache), 16 % own work (http_server),
                     4 % database (http_server: mostly SELECT bookings), 3 % other; how sure: medium
            doubt    the clock of cache is 5000.0 ms behind load_balancer's (± 30.5): corrected
            doubt    the clock of http_server is 12000.0 ms ahead of cache's (± 0.5): corrected
        "#]],
    );
    check(
        &row("many small statements"),
        &expect![[r#"
            GET /x → 200 in 20.00 ms
            verdict  66 % database (http_server: mostly SELECT one ×100), 14 % own work (http_server),
                     5 % own work (cache), 15 % other; how sure: high
        "#]],
    );
}

#[test]
fn a_failure_that_was_coped_with_is_told_as_such() {
    let trace = row("slow second attempt");
    let failure = Verdict::of(&trace.story()).failure.unwrap();
    assert_eq!(
        (failure.first.to_string(), failure.because.len(), failure.is_coped_with),
        ("0000000000000009".to_owned(), 0, true)
    );
}

#[test]
fn json_has_the_verdict_as_a_member_and_alone() {
    let story = row("starved pool").story();
    let whole: Value = serde_json::from_str(&journey::json::render(&story)).unwrap();
    let alone: Value =
        serde_json::from_str(&journey::json::render_verdict(&story, &Verdict::of(&story))).unwrap();
    assert_eq!(whole["verdict"], alone["verdict"]);
    assert_eq!(alone["trace_id"], TRACE);
    let first = &alone["verdict"]["shares"][0];
    assert_eq!(
        (&first["spent"], &first["waiting"], &first["service"], &first["percent"]),
        (&json!("pool"), &json!(true), &json!("http_server"), &json!(63))
    );
}

#[test]
fn nothing_but_lines_gives_no_verdict() {
    let story = Story::new(TraceId::read(TRACE).unwrap(), Vec::new(), Vec::new());
    let verdict = Verdict::of(&story);
    assert_eq!((verdict.took, verdict.sure, verdict.doubts), (None, Sure::Low, vec![Doubt::NoRoot]));
}

/// The parent of each span.
type Parent = fn(u64) -> Option<u64>;

/// It ends at all: quadratic work would take minutes, recursion would have no stack left. How fast it is, `benches/large.rs` tells.
#[test]
fn a_hundred_thousand_spans_of_any_shape_are_judged() {
    const MANY: u64 = 100_000;
    let shapes: [(&str, Kind, Parent); 7] = [
        ("a chain", Kind::Client, |id| Some(id - 1).filter(|id| *id > 0)),
        ("a chain of messages", Kind::Consumer, |id| Some(id - 1).filter(|id| *id > 0)),
        ("a chain of servers", Kind::Server, |id| Some(id - 1).filter(|id| *id > 0)),
        ("a chain upwards", Kind::Client, |id| Some(id + 1).filter(|id| *id <= MANY)),
        ("one parent", Kind::Client, |id| Some(1).filter(|_| id > 1)),
        ("all orphans", Kind::Server, |id| Some(id + MANY)),
        ("one circle", Kind::Client, |id| Some(id % MANY + 1)),
    ];
    let again = |id: u64| {
        Attributes::from_iter([
            ("http.request.method".to_owned(), json!("GET")),
            ("http.request.resend_count".to_owned(), json!(id)),
        ])
    };
    for (shape, kind, parent) in shapes {
        let spans = (1..=MANY).map(|id| Span {
            kind,
            failed: id % 2 == 0,
            attributes: again(id),
            ..plain(id, parent(id), 10 * id, 10 * (2 * MANY - id) + 5)
        });
        let story = Story::new(TraceId::read(TRACE).unwrap(), spans.collect(), Vec::new());
        assert_eq!(sum(&Verdict::of(&story).shares), 100, "{shape}");
    }
}

fn sum(shares: &[Share]) -> u64 {
    shares.iter().map(|share| share.percent).sum()
}

/// What must hold for the shares of `took` nanoseconds.
fn add_up(shares: &[Share], took: u64) -> bool {
    let time: u128 = shares.iter().map(|share| u128::from(share.time)).sum();
    time == u128::from(took)
        && sum(shares) == if took == 0 { 0 } else { 100 }
        && shares.iter().all(|share| share.time > 0)
        && shares.windows(2).all(|two| two[0].time >= two[1].time)
}

proptest! {
    #[test]
    fn any_set_of_spans_is_judged_and_adds_up(spans in any_spans()) {
        let trace = TraceId::read(TRACE).unwrap();
        let mut reversed = spans.clone();
        reversed.reverse();
        let story = Story::new(trace, spans, Vec::new());
        let verdict = Verdict::of(&story);
        prop_assert_eq!(&verdict, &Verdict::of(&Story::new(trace, reversed, Vec::new())), "any order");
        prop_assert!(add_up(&verdict.shares, verdict.took.unwrap_or(0)), "{:#?}", verdict);
        for later in &verdict.later {
            prop_assert!(add_up(&later.shares, later.took), "{:#?}", later);
        }
        let ids: Vec<SpanId> = story.spans().map(|span| span.id).collect();
        if let Some(failure) = &verdict.failure {
            prop_assert!(!failure.because.contains(&failure.first), "{:?}", failure);
            prop_assert!(failure.because.iter().all(|id| ids.contains(id)), "{:?}", failure);
        }
        let text = render_verdict(&story, &verdict, Look::default());
        prop_assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{}", text);
    }

    #[test]
    fn any_order_of_a_whole_request_gives_the_same_verdict(
        order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(), _again in vec(any::<u8>(), 0..2),
    ) {
        let spans = usual().spans();
        let shuffled = order.iter().map(|index| spans[*index].clone()).collect();
        let trace = TraceId::read(TRACE).unwrap();
        let judged = |spans| Verdict::of(&Story::new(trace, spans, Vec::new()));
        prop_assert_eq!(judged(shuffled), judged(spans));
    }
}
