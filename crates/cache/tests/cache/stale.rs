//! Stale answers: while the origin is asked again, and where it fails.

use std::time::{Duration, Instant};

use cache::Policy;
use http::StatusCode;
use telemetry::testing;

use crate::harness::{Gate, MEMORY, Origin, Running, Seen, reply, until};

const WHILE: (&str, &str) = ("cache-control", "max-age=10, stale-while-revalidate=20");
const IF_ERROR: (&str, &str) = ("cache-control", "max-age=10, stale-if-error=20");

fn told(seen: &Seen) -> String {
    format!("answer {}", seen.nth)
}

/// Waits until so many requests have reached the origin.
async fn reached(origin: &Origin, count: usize) {
    until(|| format!("{count} requests, not {}", origin.count()), || origin.count() >= count).await;
}

/// Waits until a hit says this.
async fn becomes(cache: &Running, target: &str, text: &str) {
    let begun = Instant::now();
    loop {
        let got = cache.get(target).await;
        if (got.text(), got.member()) == (text, "cache; hit; ttl=10") {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "`{text}` never came: {got:?}");
    }
}

#[tokio::test]
async fn a_stale_answer_is_given_at_once_and_asked_for_once_meanwhile() {
    let gate = Gate::shut();
    let held = gate.clone();
    let origin = Origin::start(move |seen| {
        let answer = reply(200, &[WHILE], told(seen));
        if seen.nth == 0 { answer } else { answer.after(&held) }
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(12));
    for _ in 0..5 {
        let stale = cache.ask("GET", "/a", &[("if-none-match", "\"mine\"")]).await;
        let member = "cache; hit; ttl=-2; detail=stale-while-revalidate";
        assert_eq!((stale.text(), stale.member(), stale.field("age")), ("answer 0", member, Some("12")));
    }
    reached(&origin, 2).await;
    gate.open();
    becomes(&cache, "/a", "answer 1").await;
    assert_eq!(origin.count(), 2, "one for all of them");
    assert_eq!(origin.seen()[1].field("if-none-match"), None, "what a client has is nobody else's condition");
}

#[tokio::test]
async fn what_is_confirmed_in_the_background_is_fresh_again() {
    let tag = [WHILE, ("etag", "\"a\"")];
    let origin = Origin::start(move |seen| {
        reply(if seen.nth == 0 { 200 } else { 304 }, &tag, if seen.nth == 0 { "kept" } else { "" })
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(12));
    assert_eq!(cache.get("/a").await.member(), "cache; hit; ttl=-2; detail=stale-while-revalidate");
    becomes(&cache, "/a", "kept").await;
    assert_eq!(origin.seen()[1].field("if-none-match"), Some("\"a\""));
}

#[tokio::test]
async fn a_revalidation_is_a_trace_of_its_own_linked_to_the_request_that_was_answered() {
    let origin = Origin::start(|seen| reply(200, &[WHILE], told(seen))).await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(12));
    let stale = cache.get("/a").await;
    becomes(&cache, "/a", "answer 1").await;
    let carried = origin.seen()[1].field("traceparent").expect("it is traced").to_owned();
    let trace = &carried[3..35];
    assert_ne!(trace, stale.trace_id);
    let find = || testing::spans(trace).into_iter().find(|span| span.name == "revalidate");
    until(|| format!("{:?}", testing::spans(trace)), || find().is_some()).await;
    let (root, spans) = (find().expect("just seen"), testing::spans(trace));
    assert_eq!((root.kind, root.parent_id.as_str()), ("INTERNAL", "0000000000000000"));
    assert_eq!(
        root.links.iter().map(|(trace, _)| trace.as_str()).collect::<Vec<_>>(),
        [stale.trace_id.as_str()]
    );
    assert_eq!(root.attributes["throughline.cache.result"], "miss");
    assert!(spans.iter().any(|span| span.kind == "CLIENT" && span.parent_id == root.span_id), "{spans:?}");
}

#[tokio::test]
async fn a_window_ends_and_what_forbids_stale_use_is_asked_for() {
    let check = async |control: &'static str, seconds: u64| {
        let origin = Origin::start(move |seen| reply(200, &[("cache-control", control)], told(seen))).await;
        let cache = Running::start(&origin).await;
        cache.get("/a").await;
        cache.clock.advance(Duration::from_secs(seconds));
        let got = cache.get("/a").await;
        assert_eq!(
            (got.text(), got.member()),
            ("answer 1", "cache; fwd=stale; fwd-status=200; stored"),
            "{control}"
        );
    };
    check("max-age=10, stale-while-revalidate=20", 30).await;
    check("max-age=10, stale-while-revalidate=20, must-revalidate", 12).await;
    check("s-maxage=10, stale-while-revalidate=20", 12).await;
    check("max-age=10", 12).await;
}

/// An origin whose first answer is this one, and which fails then: with a status, or by hanging up.
async fn failing(control: (&'static str, &'static str), status: Option<u16>) -> Origin {
    Origin::start(move |seen| match (seen.nth, status) {
        (0, _) => reply(200, &[control], told(seen)),
        (_, Some(status)) => reply(status, &[], "broken"),
        (_, None) => reply(200, &[], "").cut(),
    })
    .await
}

#[tokio::test]
async fn where_the_origin_fails_a_stale_answer_stands_in() {
    let check = async |status: Option<u16>, said: &str| {
        let origin = failing(IF_ERROR, status).await;
        let cache = Running::start(&origin).await;
        cache.get("/a").await;
        cache.clock.advance(Duration::from_secs(12));
        let got = cache.get("/a").await;
        let member = format!("cache; fwd=stale{said}; ttl=-2; detail=stale-if-error");
        assert_eq!((got.status, got.text(), got.member()), (StatusCode::OK, "answer 0", member.as_str()));
        assert_eq!(got.field("age"), Some("12"));
    };
    for status in [500, 502, 503, 504] {
        check(Some(status), &format!("; fwd-status={status}")).await;
    }
    check(None, "").await;
}

#[tokio::test]
async fn an_error_is_told_where_nothing_may_stand_in() {
    let check = async |control, status: Option<u16>, asked: &[(&str, &str)], seconds, expected: u16| {
        let origin = failing(("cache-control", control), status).await;
        let cache = Running::start(&origin).await;
        cache.get("/a").await;
        cache.clock.advance(Duration::from_secs(seconds));
        let got = cache.ask("GET", "/a", asked).await;
        assert_eq!(got.status.as_u16(), expected, "{control} {status:?} {asked:?}");
    };
    let usual = "max-age=10, stale-if-error=20";
    check(usual, Some(404), &[], 12, 404).await;
    check(usual, Some(501), &[], 12, 501).await;
    check(usual, Some(503), &[], 30, 503).await;
    check(usual, Some(503), &[("cache-control", "no-cache")], 12, 503).await;
    check("max-age=10", Some(503), &[], 12, 503).await;
    check("max-age=10", Some(503), &[("cache-control", "stale-if-error=5")], 12, 200).await;
    check("max-age=10, stale-if-error=20, must-revalidate", Some(503), &[], 12, 503).await;
    check("max-age=10, stale-if-error=20, proxy-revalidate", None, &[], 12, 502).await;
    check("s-maxage=10, stale-if-error=20", None, &[], 12, 502).await;
}

#[tokio::test]
async fn a_setting_lets_stale_answers_stand_in_where_there_is_no_answer_at_all() {
    let check = async |control, status: Option<u16>, expected: u16| {
        let origin = failing(("cache-control", control), status).await;
        let policy = Policy { stale_on_disconnect: Duration::from_secs(60), ..Policy::default() };
        let cache = Running::by(origin.address, MEMORY, policy).await;
        cache.get("/a").await;
        cache.clock.advance(Duration::from_secs(50));
        assert_eq!(cache.get("/a").await.status.as_u16(), expected, "{control} {status:?}");
        cache.clock.advance(Duration::from_secs(20));
        assert_eq!(cache.get("/a").await.status.as_u16(), status.unwrap_or(502), "its time is over");
    };
    check("max-age=10", None, 200).await;
    check("max-age=10", Some(503), 503).await;
    check("max-age=10, must-revalidate", None, 502).await;
}

#[tokio::test]
async fn those_who_wait_with_the_one_that_asks_get_what_stands_in() {
    let gate = Gate::shut();
    let held = gate.clone();
    let origin = Origin::start(move |seen| match seen.nth {
        0 => reply(200, &[IF_ERROR], told(seen)),
        // Not one that is tried again.
        _ => reply(500, &[], "broken").after(&held),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(12));
    let asking: Vec<_> = (0..5)
        .map(|_| {
            tokio::spawn({
                let cache = cache.clone();
                async move { cache.get("/a").await }
            })
        })
        .collect();
    until(|| format!("{} askers", cache.asked()), || cache.asked() == 6).await;
    gate.open();
    let mut waited = 0;
    for asker in asking {
        let got = asker.await.expect("an answer");
        assert_eq!((got.status, got.text()), (StatusCode::OK, "answer 0"));
        waited += usize::from(got.member() == "cache; fwd=stale; ttl=-2; detail=stale-if-error; collapsed");
    }
    assert_eq!((waited, origin.count()), (4, 2));
}
