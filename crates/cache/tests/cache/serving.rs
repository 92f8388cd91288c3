//! What is answered from the store, and what never is.

use std::time::Duration;

use crate::harness::{Origin, Running, Seen, reply};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Says which request it was, which target and which host.
fn told(seen: &Seen) -> String {
    format!("{} {}{}", seen.nth, seen.field("host").unwrap_or("-"), seen.target)
}

#[tokio::test]
async fn a_cold_read_is_stored_and_the_next_one_is_a_hit_with_its_age() {
    let origin = Origin::start(|_| reply(200, &[FRESH, ("x-a", "1"), ("x-a", "2")], "hello")).await;
    let cache = Running::start(&origin).await;
    let cold = cache.get("/a").await;
    assert_eq!((cold.text(), cold.member()), ("hello", "cache; fwd=uri-miss; fwd-status=200; stored"));
    cache.clock.advance(Duration::from_millis(3500));
    let hit = cache.get("/a").await;
    assert_eq!((hit.text(), hit.member(), hit.field("age")), ("hello", "cache; hit; ttl=56", Some("3")));
    assert_eq!(hit.lines("x-a"), ["1", "2"]);
    assert_eq!(hit.field("content-length"), Some("5"));
    assert_eq!(hit.field("date"), cold.field("date"));
    assert_eq!((cold.field("via"), hit.field("via")), (Some("1.1 cache"), Some("1.1 cache")));
    assert_eq!(origin.count(), 1);
    assert_eq!(origin.seen()[0].field("via"), Some("1.1 cache"));
}

#[tokio::test]
async fn a_lifetime_ends_to_the_millisecond() {
    let origin = Origin::start(|seen| reply(200, &[FRESH], told(seen))).await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_millis(59_999));
    assert!(cache.get("/a").await.is_hit());
    cache.clock.advance(Duration::from_millis(1));
    let stale = cache.get("/a").await;
    assert_eq!((stale.text(), stale.member()), ("1 e/a", "cache; fwd=stale; fwd-status=200; stored"));
}

#[tokio::test]
async fn each_variant_is_stored_and_found_by_all_its_fields() {
    let vary = [FRESH, ("vary", "accept"), ("vary", "accept-language")];
    let origin = Origin::start(move |seen| {
        let fields = (seen.field("accept").unwrap_or("-"), seen.field("accept-language").unwrap_or("-"));
        reply(200, &vary, format!("{fields:?}"))
    })
    .await;
    let cache = Running::start(&origin).await;
    let asks = [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")];
    for (accept, language) in asks {
        let fields = [("accept", accept), ("accept-language", language)];
        let got = cache.ask("GET", "/a", &fields).await;
        assert!(!got.is_hit(), "{fields:?} {}", got.member());
    }
    assert_eq!(cache.get("/a").await.member(), "cache; fwd=vary-miss; fwd-status=200; stored");
    for (accept, language) in asks {
        let got = cache.ask("GET", "/a", &[("accept", accept), ("accept-language", language)]).await;
        assert!(got.is_hit(), "{accept} {language} {}", got.member());
        assert_eq!(got.text(), format!("{:?}", (accept, language)));
    }
    assert_eq!(origin.count(), 5);
}

#[tokio::test]
async fn a_stale_entry_is_confirmed_and_updated_by_a_304() {
    let origin = Origin::start(|seen| match seen.field("if-none-match") {
        Some("\"v1\"") => reply(304, &[("etag", "\"v1\""), FRESH, ("x-new", "1"), ("x-old", "2")], ""),
        _ => reply(200, &[("etag", "\"v1\""), FRESH, ("x-old", "1")], "hello"),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(60));
    let confirmed = cache.get("/a").await;
    assert_eq!((confirmed.status.as_u16(), confirmed.text()), (200, "hello"));
    assert_eq!(confirmed.member(), "cache; fwd=stale; fwd-status=304; stored");
    assert_eq!((confirmed.field("x-new"), confirmed.field("x-old")), (Some("1"), Some("2")));
    let hit = cache.get("/a").await;
    assert_eq!((hit.text(), hit.field("x-new"), hit.is_hit()), ("hello", Some("1"), true));
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn a_304_about_something_else_confirms_nothing() {
    let origin = Origin::start(|seen| match seen.field("if-none-match") {
        Some(_) => reply(304, &[("etag", "\"other\""), FRESH], ""),
        None => reply(200, &[("etag", "\"v1\""), FRESH], told(seen)),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(60));
    assert_eq!(cache.get("/a").await.text(), "2 e/a");
}

#[tokio::test]
async fn a_304_that_makes_the_entry_private_ends_its_being_stored() {
    let origin = Origin::start(|seen| match seen.field("if-none-match") {
        Some(_) => reply(304, &[("etag", "\"v1\""), ("cache-control", "private")], ""),
        None => reply(200, &[("etag", "\"v1\""), FRESH], told(seen)),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(60));
    let confirmed = cache.get("/a").await;
    assert_eq!((confirmed.text(), confirmed.member()), ("0 e/a", "cache; fwd=stale; fwd-status=304"));
    let next = cache.get("/a").await;
    assert_eq!((next.text(), next.member()), ("2 e/a", "cache; fwd=uri-miss; fwd-status=200; stored"));
}

#[tokio::test]
async fn a_clients_condition_is_answered_from_the_store() {
    let fields = [FRESH, ("etag", "\"v1\""), ("content-type", "text/plain"), ("last-modified", LONG_AGO)];
    let origin = Origin::start(move |_| reply(200, &fields, "hello")).await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    let same = cache.ask("GET", "/a", &[("if-none-match", "W/\"v1\"")]).await;
    assert_eq!((same.status.as_u16(), same.text(), same.member()), (304, "", "cache; hit; ttl=60"));
    assert_eq!((same.field("etag"), same.field("age")), (Some("\"v1\""), Some("0")));
    assert_eq!((same.field("content-type"), same.field("content-length")), (None, None));
    assert_eq!(cache.ask("GET", "/a", &[("if-modified-since", LONG_AGO)]).await.status, 304);
    let both = [("if-none-match", "\"v2\""), ("if-modified-since", LONG_AGO)];
    assert_eq!(cache.ask("GET", "/a", &both).await.status, 200);
    assert_eq!(origin.count(), 1);
}

const LONG_AGO: &str = "Thu, 01 Jan 2015 00:00:00 GMT";

#[tokio::test]
async fn a_clients_condition_goes_to_the_origin_when_nothing_is_stored() {
    let origin = Origin::start(|seen| match seen.field("if-none-match") {
        Some("\"v1\"") => reply(304, &[("etag", "\"v1\"")], ""),
        _ => reply(200, &[("etag", "\"v1\""), FRESH], "hello"),
    })
    .await;
    let cache = Running::start(&origin).await;
    let got = cache.ask("GET", "/a", &[("if-none-match", "\"v1\"")]).await;
    assert_eq!((got.status.as_u16(), got.member()), (304, "cache; fwd=uri-miss; fwd-status=304"));
    let got = cache.ask("GET", "/a", &[("if-none-match", "\"v0\"")]).await;
    assert_eq!((got.text(), got.member()), ("hello", "cache; fwd=uri-miss; fwd-status=200; stored"));
    assert!(cache.ask("GET", "/a", &[("if-none-match", "\"v1\"")]).await.is_hit());
}

#[tokio::test]
async fn a_clients_condition_does_not_replace_the_validation_of_a_stale_entry() {
    let origin = Origin::start(|seen| match seen.field("if-none-match") {
        Some("\"v1\"") => reply(304, &[FRESH], ""),
        _ => reply(200, &[("etag", "\"v1\""), FRESH], "hello"),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(60));
    let got = cache.ask("GET", "/a", &[("if-none-match", "\"v0\"")]).await;
    assert_eq!((got.status.as_u16(), got.text()), (200, "hello"));
    assert!(cache.get("/a").await.is_hit());
}

#[tokio::test]
async fn head_is_answered_from_what_get_stored_and_stores_nothing() {
    let origin = Origin::start(|_| reply(200, &[FRESH], "hello")).await;
    let cache = Running::start(&origin).await;
    let cold = cache.ask("HEAD", "/a", &[]).await;
    assert_eq!((cold.text(), cold.member()), ("", "cache; fwd=uri-miss; fwd-status=200"));
    cache.get("/a").await;
    let hit = cache.ask("HEAD", "/a", &[]).await;
    assert_eq!((hit.text(), hit.field("content-length"), hit.is_hit()), ("", Some("5"), true));
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn answers_of_one_host_are_never_anothers() {
    let origin = Origin::start(|seen| reply(200, &[FRESH], told(seen))).await;
    let cache = Running::start(&origin).await;
    for (nth, host) in ["one", "two", "one:81", "ONE:80"].into_iter().enumerate() {
        let got = cache.ask("GET", "/a", &[("host", host)]).await;
        let expected = if nth == 3 { "0 one/a".to_owned() } else { format!("{nth} {host}/a") };
        assert_eq!((got.text(), got.is_hit()), (expected.as_str(), nth == 3), "{host}");
    }
    assert_eq!(cache.get("/a?b").await.text(), "3 e/a?b");
}

#[tokio::test]
async fn answers_to_one_user_are_never_anothers() {
    let origin =
        Origin::start(|seen| reply(200, &[FRESH], seen.field("authorization").unwrap_or("-").to_owned()))
            .await;
    let cache = Running::start(&origin).await;
    for _ in 0..2 {
        for user in ["Basic one", "Basic two"] {
            let got = cache.ask("GET", "/a", &[("authorization", user)]).await;
            assert_eq!((got.text(), got.is_hit()), (user, false));
        }
    }
    assert_eq!(cache.get("/a").await.text(), "-");
    assert!(cache.get("/a").await.is_hit());
    let got = cache.ask("GET", "/a", &[("authorization", "Basic one")]).await;
    assert_eq!((got.text(), got.member()), ("Basic one", "cache; fwd=request; fwd-status=200"));
}

#[tokio::test]
async fn what_is_meant_for_one_user_is_never_stored() {
    for fields in [
        &[("cache-control", "max-age=60, No-Store")][..],
        &[("cache-control", "max-age=60,PRIVATE=\"x-user\"")],
        &[("cache-control", "max-age=60"), ("cache-control", "foo=\"bar\" , private")],
        &[("cache-control", "private;max-age=60")],
        &[FRESH, ("set-cookie", "a=b")],
        &[FRESH, ("vary", "accept"), ("vary", "*")],
        &[("etag", "\"v1\"")],
    ] {
        let own = fields.to_vec();
        let origin = Origin::start(move |seen| reply(200, &own, told(seen))).await;
        let cache = Running::start(&origin).await;
        for nth in 0..3 {
            let got = cache.get("/a").await;
            assert_eq!(got.text(), format!("{nth} e/a"), "{fields:?}");
            assert_eq!(got.member(), "cache; fwd=uri-miss; fwd-status=200", "{fields:?}");
        }
    }
}

#[tokio::test]
async fn what_must_be_validated_is_asked_about_every_time() {
    let origin = Origin::start(|seen| match seen.field("if-none-match") {
        Some(_) => reply(304, &[], ""),
        None => reply(200, &[("cache-control", "no-cache"), ("etag", "\"v1\"")], "hello"),
    })
    .await;
    let cache = Running::start(&origin).await;
    assert_eq!(cache.get("/a").await.member(), "cache; fwd=uri-miss; fwd-status=200; stored");
    for nth in 1..4 {
        let got = cache.get("/a").await;
        assert_eq!((got.text(), got.member()), ("hello", "cache; fwd=stale; fwd-status=304; stored"));
        assert_eq!(origin.count(), nth + 1);
    }
}

#[tokio::test]
async fn a_client_may_ask_for_something_fresher_or_for_nothing_new() {
    let origin = Origin::start(|seen| reply(200, &[FRESH], told(seen))).await;
    let cache = Running::start(&origin).await;
    let refused = cache.ask("GET", "/a", &[("cache-control", "only-if-cached")]).await;
    assert_eq!((refused.status.as_u16(), refused.member()), (504, "cache; fwd=uri-miss"));
    assert_eq!(origin.count(), 0);
    cache.get("/a").await;
    assert!(cache.ask("GET", "/a", &[("cache-control", "only-if-cached")]).await.is_hit());
    let reload = cache.ask("GET", "/a", &[("cache-control", "no-cache")]).await;
    assert_eq!((reload.text(), reload.member()), ("1 e/a", "cache; fwd=request; fwd-status=200; stored"));
    assert_eq!(cache.get("/a").await.text(), "1 e/a");
    let secret = cache.ask("GET", "/b", &[("cache-control", "no-store")]).await;
    assert_eq!(secret.member(), "cache; fwd=uri-miss; fwd-status=200");
    assert!(!cache.get("/b").await.is_hit());
}
