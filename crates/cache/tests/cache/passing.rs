//! What passes through untouched, and what must not leave a trace in the store.

use std::time::Duration;

use crate::harness::{Got, MEMORY, Origin, Running, Seen, reply};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn told(seen: &Seen) -> String {
    format!("{} {}", seen.nth, seen.target)
}

#[tokio::test]
async fn a_range_goes_to_the_origin_and_is_not_stored() {
    let origin = Origin::start(|seen| match seen.field("range") {
        Some(_) => reply(206, &[FRESH, ("content-range", "bytes 0-1/5")], "he"),
        None => reply(200, &[FRESH], "hello"),
    })
    .await;
    let cache = Running::start(&origin).await;
    for _ in 0..2 {
        let part = cache.ask("GET", "/a", &[("range", "bytes=0-1")]).await;
        assert_eq!((part.text(), part.member()), ("he", "cache; fwd=bypass; fwd-status=206"));
    }
    assert_eq!(cache.get("/a").await.text(), "hello");
    assert_eq!(origin.seen()[0].field("range"), Some("bytes=0-1"));
}

#[tokio::test]
async fn a_206_nobody_asked_for_is_not_stored() {
    let origin = Origin::start(|_| reply(206, &[FRESH, ("content-range", "bytes 0-1/5")], "he")).await;
    let cache = Running::start(&origin).await;
    for _ in 0..2 {
        assert_eq!(cache.get("/a").await.member(), "cache; fwd=uri-miss; fwd-status=206");
    }
}

#[tokio::test]
async fn a_field_that_is_not_part_of_the_key_poisons_nothing() {
    let steering = ["x-forwarded-host", "x-original-url", "x-http-method-override", "x-rewrite-url"];
    let origin = Origin::start(move |seen| {
        let evil = steering.iter().find_map(|name| seen.field(name));
        reply(200, &[FRESH], evil.unwrap_or("good").to_owned())
    })
    .await;
    let cache = Running::start(&origin).await;
    for name in steering {
        let evil = cache.ask("GET", "/a", &[(name, "evil")]).await;
        assert_eq!((evil.text(), evil.member()), ("evil", "cache; fwd=bypass; fwd-status=200"), "{name}");
    }
    assert_eq!(cache.get("/a").await.text(), "good");
    assert!(cache.ask("GET", "/a", &[("x-forwarded-host", "e")]).await.is_hit());
}

#[tokio::test]
async fn a_get_with_a_body_is_passed_through() {
    let origin = Origin::start(|seen| reply(200, &[FRESH], told(seen))).await;
    let cache = Running::start(&origin).await;
    let fat = cache.send("GET", "/a", &[], "body").await;
    assert_eq!(fat.member(), "cache; fwd=bypass; fwd-status=200");
    assert!(!cache.get("/a").await.is_hit());
    assert_eq!(cache.send("GET", "/a", &[], "body").await.text(), "2 /a");
}

#[tokio::test]
async fn other_methods_are_written_through_with_their_bodies() {
    let origin = Origin::start(|seen| reply(201, &[("location", "/b")], seen.body.clone())).await;
    let cache = Running::start(&origin).await;
    let large = "x".repeat(200 << 10);
    let got = cache.send("POST", "/a", &[("x-own", "1")], &large).await;
    assert_eq!((got.status.as_u16(), got.text() == large), (201, true));
    assert_eq!((got.member(), got.field("location")), ("cache; fwd=method; fwd-status=201", Some("/b")));
    assert_eq!(origin.seen()[0].field("x-own"), Some("1"));
    assert_eq!(cache.ask("OPTIONS", "/a", &[]).await.member(), "cache; fwd=method; fwd-status=201");
}

#[tokio::test]
async fn nothing_is_tunnelled() {
    let origin = Origin::start(|_| reply(200, &[], "")).await;
    let cache = Running::start(&origin).await;
    assert_eq!(cache.ask("CONNECT", "e:443", &[]).await.status, 405);
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn what_an_origin_could_read_in_another_way_does_not_reach_it() {
    let origin = Origin::start(|_| reply(200, &[FRESH], "a")).await;
    let cache = Running::start(&origin).await;
    let ambiguous: [(&str, &[(&str, &str)]); 5] = [
        ("/a", &[("host", "e"), ("host", "f")]),
        ("/a", &[("host", "me@e")]),
        ("/a", &[("host", "")]),
        ("http://f/a", &[("host", "e")]),
        ("*", &[("host", "e")]),
    ];
    for (target, fields) in ambiguous {
        let refused = cache.ask("POST", target, fields).await;
        assert_eq!(refused.status, 400, "{target} {fields:?}");
        assert_eq!(refused.field("proxy-status"), Some("cache; error=http_request_error"));
        assert_eq!(refused.field("connection"), Some("close"), "what follows such a head is not read");
    }
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn members_of_inner_caches_stay_before_ours() {
    let origin = Origin::start(|_| reply(200, &[FRESH, ("cache-status", "inner; hit")], "a")).await;
    let cache = Running::start(&origin).await;
    let cold = cache.get("/a").await;
    assert_eq!(cold.lines("cache-status"), ["inner; hit", "cache; fwd=uri-miss; fwd-status=200; stored"]);
    assert_eq!(cache.get("/a").await.lines("cache-status"), ["inner; hit", "cache; hit; ttl=60"]);
}

#[tokio::test]
async fn an_origin_that_is_away_is_said_and_an_error_of_its_own_is_passed_on() {
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let cache = Running::with(nobody, MEMORY).await;
    for method in ["GET", "HEAD", "POST"] {
        let got = cache.ask(method, "/a", &[]).await;
        let why = if method == "POST" { "method" } else { "uri-miss" };
        assert_eq!((got.status.as_u16(), got.member()), (503, format!("cache; fwd={why}").as_str()));
        assert!(got.field("proxy-status").is_some_and(|status| status.starts_with("cache; error=")));
        assert_eq!(got.field("cache-control"), Some("no-store"));
    }

    let origin =
        Origin::start(|seen| if seen.nth == 1 { reply(500, &[], "no") } else { reply(200, &[FRESH], "a") })
            .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(60));
    let failed = cache.get("/a").await;
    assert_eq!((failed.status.as_u16(), failed.member()), (500, "cache; fwd=stale; fwd-status=500"));
    assert_eq!(cache.get("/a").await.text(), "a");
}

#[tokio::test]
async fn a_gateways_error_is_signed_so_that_the_next_proxy_out_does_not_try_again() {
    let origin = Origin::start(|_| reply(503, &[FRESH], "")).await;
    let cache = Running::start(&origin).await;
    for method in ["POST", "GET"] {
        let refused = cache.ask(method, "/a", &[]).await;
        assert_eq!(refused.lines("proxy-status"), ["cache; received-status=503"], "{method}");
    }
    let hit = cache.get("/a").await;
    assert_eq!((hit.is_hit(), hit.lines("proxy-status")), (true, vec!["cache; received-status=503"]));
}

#[tokio::test]
async fn what_belongs_to_one_exchange_is_made_anew_on_a_hit() {
    let own = [FRESH, ("traceresponse", "00-x"), ("x-trace-id", "x"), ("server-timing", "http_server;dur=1")];
    let origin = Origin::start(move |_| reply(200, &own, "a")).await;
    let cache = Running::start(&origin).await;
    let cold = cache.get("/a").await;
    let hit = cache.get("/a").await;
    let timing = |got: &Got| got.field("server-timing").expect("a field").to_owned();
    assert!(
        timing(&cold).starts_with("cache;desc=miss;dur=") && timing(&cold).ends_with(", http_server;dur=1")
    );
    assert!(timing(&hit).starts_with("cache;desc=hit;dur=") && !timing(&hit).contains("http_server"));
    assert_eq!(hit.field("x-trace-id"), Some(hit.trace_id.as_str()));
    assert!(hit.lines("traceresponse").len() == 1 && hit.field("traceresponse") != Some("00-x"));
}

#[tokio::test]
async fn trace_fields_are_no_part_of_the_key() {
    let origin = Origin::start(|_| reply(200, &[FRESH], "a")).await;
    let cache = Running::start(&origin).await;
    for nth in 0..3 {
        let got = cache.ask("GET", "/a", &[("baggage", "a=b"), ("tracestate", "x=y")]).await;
        assert_eq!(got.is_hit(), nth > 0);
    }
    let parents: Vec<String> =
        origin.seen().iter().filter_map(|seen| seen.field("traceparent").map(str::to_owned)).collect();
    assert_eq!(parents.len(), 1);
}
