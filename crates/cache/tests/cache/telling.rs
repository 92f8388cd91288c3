//! What the cache tells of each request: span, links, line.

use std::time::Duration;

use telemetry::testing::RecordedSpan;

use crate::harness::{Gate, Got, Origin, Running, reply, until};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn said<'a>(span: &'a RecordedSpan, name: &str) -> &'a str {
    span.attributes.get(&format!("throughline.cache.{name}")).map_or("-", String::as_str)
}

fn client_spans(got: &Got) -> usize {
    telemetry::testing::spans(&got.trace_id).iter().filter(|span| span.kind == "CLIENT").count()
}

#[tokio::test]
async fn a_hit_is_linked_to_the_span_that_filled_the_entry() {
    let origin = Origin::start(|_| reply(200, &[FRESH], "a")).await;
    let cache = Running::start(&origin).await;
    let (cold, hit) = (cache.get("/a").await, cache.get("/a").await);
    let (filled, answered) = (cold.span().await, hit.span().await);
    assert_eq!((said(&filled, "result"), said(&filled, "reason")), ("miss", "uri-miss"));
    assert_eq!((said(&answered, "result"), filled.links.len()), ("hit", 0));
    assert_eq!(answered.links, [(filled.trace_id.clone(), filled.span_id.clone())]);
    assert_eq!((client_spans(&cold), client_spans(&hit)), (1, 0));
    assert_eq!(filled.trace_id, cold.trace_id);

    let (cold, hit) = (cold.line().await, hit.line().await);
    for line in [&cold, &hit] {
        assert_eq!((&line["level"], line.get("error.type")), (&"INFO".into(), None));
    }
    assert_eq!((&cold["cache_hit"], &hit["cache_hit"]), (&false.into(), &true.into()));
    assert_eq!((&cold["attempts"], &hit["attempts"]), (&1.into(), &0.into()));
    assert_eq!((&hit["status"], &hit["path"]), (&200.into(), &"/a".into()));
    assert!(hit["upstream_ms"] == 0.0 && hit["queue_ms"] == 0.0);
}

#[tokio::test]
async fn the_attempt_is_a_child_of_the_leaders_span() {
    let origin = Origin::start(|_| reply(200, &[FRESH], "a")).await;
    let cache = Running::start(&origin).await;
    let cold = cache.get("/a").await;
    let server = cold.span().await;
    let attempts: Vec<_> =
        telemetry::testing::spans(&cold.trace_id).into_iter().filter(|span| span.kind == "CLIENT").collect();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].parent_id, server.span_id);
    let sent = origin.seen()[0].field("traceparent").expect("a trace").to_owned();
    assert_eq!(sent, format!("00-{}-{}-{}", cold.trace_id, attempts[0].span_id, &sent[53..]));
}

#[tokio::test]
async fn a_collapsed_request_is_linked_to_its_leaders_span() {
    let gate = Gate::shut();
    let slow = gate.clone();
    let origin = Origin::start(move |_| reply(200, &[FRESH], "a").after(&slow)).await;
    let cache = Running::start(&origin).await;
    let ask = || {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get("/a").await })
    };
    let leader = ask();
    until(|| "the leader is on its way".into(), || origin.count() == 1).await;
    let follower = ask();
    until(|| format!("{} asked", cache.asked()), || cache.asked() == 2).await;
    gate.open();
    let (leader, follower) = (leader.await.expect("an answer"), follower.await.expect("an answer"));
    let (leader, waited) = (leader.span().await, follower.span().await);
    assert_eq!((said(&waited, "result"), said(&waited, "reason")), ("collapsed", "uri-miss"));
    assert_eq!(waited.links, [(leader.trace_id, leader.span_id)]);
    assert_eq!(follower.line().await["cache_hit"], false);
}

#[tokio::test]
async fn every_result_is_told_with_its_reason() {
    let origin = Origin::start(|seen| match (seen.target.as_str(), seen.field("if-none-match")) {
        ("/private", _) => reply(200, &[("cache-control", "private")], ""),
        (_, Some(_)) => reply(304, &[FRESH], ""),
        _ => reply(200, &[FRESH, ("etag", "\"a\"")], "a"),
    })
    .await;
    let cache = Running::start(&origin).await;
    let check = async |method: &str, target: &str, fields: &[(&str, &str)], result: &str, reason: &str| {
        let got = cache.ask(method, target, fields).await;
        let span = got.span().await;
        assert_eq!(
            (said(&span, "result"), said(&span, "reason")),
            (result, reason),
            "{method} {target} {fields:?}"
        );
        assert!(
            got.field("server-timing")
                .is_some_and(|timing| timing.starts_with(&format!("cache;desc={result};")))
        );
        span
    };
    check("GET", "/a", &[], "miss", "uri-miss").await;
    check("GET", "/a", &[], "hit", "-").await;
    cache.clock.advance(Duration::from_secs(60));
    let revalidated = check("GET", "/a", &[], "revalidated", "stale").await;
    assert_eq!(revalidated.links.len(), 1);
    check("GET", "/private", &[], "miss", "private").await;
    check("GET", "/a", &[("range", "bytes=0-1")], "hit", "-").await;
    check("GET", "/c", &[("range", "bytes=0-1")], "bypass", "range").await;
    check("POST", "/a", &[], "bypass", "method").await;
    check("HEAD", "/b", &[], "miss", "uri-miss").await;
    check("GET", "/b", &[("cache-control", "only-if-cached")], "miss", "only-if-cached").await;
}

#[tokio::test]
async fn a_failed_fetch_is_an_error_of_its_request() {
    let origin = Origin::start(|_| reply(200, &[], "").cut()).await;
    let cache = Running::start(&origin).await;
    let got = cache.ask("POST", "/a", &[]).await;
    let line = got.line().await;
    assert_eq!((&line["level"], &line["status"]), (&"ERROR".into(), &502.into()));
    assert_eq!(line["error.type"], "connection_lost");
    let got = cache.get("/a").await;
    let line = got.line().await;
    assert_eq!((&line["level"], &line["error.type"]), (&"ERROR".into(), &"connection_lost".into()));
}

#[tokio::test]
async fn at_debug_the_lines_say_what_was_decided_and_why() {
    let origin = Origin::start(|_| reply(200, &[FRESH], "a")).await;
    let cache = Running::start(&origin).await;
    let (cold, hit) = (cache.get("/a").await, cache.get("/a").await);
    // Its last line: the others are there.
    tokio::join!(cold.line(), hit.line());
    let said = |got: &Got, message: &str| {
        let lines = telemetry::testing::lines(&got.trace_id);
        lines.into_iter().find(|line| line["message"] == message)
    };
    let decided = said(&cold, "decided").unwrap();
    assert_eq!((&decided["result"], &decided["reason"]), (&"miss".into(), &"uri-miss".into()), "{decided}");
    assert_eq!((&decided["level"], &decided["path"]), (&"DEBUG".into(), &"/a".into()), "{decided}");
    assert_eq!(said(&hit, "decided").unwrap()["result"], "hit");
    let picked = said(&cold, "replica picked").unwrap();
    assert_eq!(picked["spirit"], "Trust", "{picked}");
    assert!(said(&hit, "replica picked").is_none(), "nobody was asked");
}
