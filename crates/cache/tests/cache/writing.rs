//! What writes do to what is stored.

use crate::harness::{Gate, Origin, Running, Seen, Step, reply, until};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn told(seen: &Seen) -> String {
    format!("{} {}", seen.nth, seen.target)
}

#[tokio::test]
async fn a_write_that_succeeds_drops_its_target() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "LOCK"] {
        let origin = Origin::start(|seen| match seen.method.as_str() {
            "GET" => reply(200, &[FRESH], told(seen)),
            _ => reply(204, &[], ""),
        })
        .await;
        let cache = Running::start(&origin).await;
        cache.get("/a").await;
        cache.get("/b").await;
        cache.ask(method, "/a", &[]).await;
        assert_eq!(cache.get("/a").await.text(), "3 /a", "{method}");
        assert!(cache.get("/b").await.is_hit(), "{method}");
    }
}

#[tokio::test]
async fn a_write_that_is_refused_drops_nothing() {
    for status in [400, 403, 409, 500] {
        let origin = Origin::start(move |seen| match seen.method.as_str() {
            "GET" => reply(200, &[FRESH], told(seen)),
            _ => reply(status, &[("location", "/b")], ""),
        })
        .await;
        let cache = Running::start(&origin).await;
        cache.get("/a").await;
        cache.get("/b").await;
        cache.ask("POST", "/a", &[]).await;
        assert!(cache.get("/a").await.is_hit() && cache.get("/b").await.is_hit(), "{status}");
    }
}

#[tokio::test]
async fn a_write_drops_what_it_names_on_the_same_host_only() {
    let named = [("location", "/b"), ("content-location", "http://other/c")];
    let origin = Origin::start(move |seen| match seen.method.as_str() {
        "GET" => reply(200, &[FRESH], told(seen)),
        _ => reply(201, &named, ""),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/b").await;
    cache.get("/c").await;
    cache.ask("GET", "/c", &[("host", "other")]).await;
    cache.ask("POST", "/a", &[]).await;
    assert!(!cache.get("/b").await.is_hit());
    assert!(cache.get("/c").await.is_hit());
    assert!(cache.ask("GET", "/c", &[("host", "other")]).await.is_hit());
}

#[tokio::test]
async fn all_variants_are_dropped() {
    let origin = Origin::start(|seen| match seen.method.as_str() {
        "GET" => reply(200, &[FRESH, ("vary", "accept")], told(seen)),
        _ => reply(200, &[], ""),
    })
    .await;
    let cache = Running::start(&origin).await;
    for accept in ["a", "b"] {
        cache.ask("GET", "/a", &[("accept", accept)]).await;
    }
    cache.ask("DELETE", "/a", &[]).await;
    for accept in ["a", "b"] {
        assert!(!cache.ask("GET", "/a", &[("accept", accept)]).await.is_hit());
    }
}

#[tokio::test]
async fn an_answer_fetched_before_a_write_does_not_come_back_after_it() {
    let head = Gate::shut();
    let slow = head.clone();
    let origin = Origin::start(move |seen| match (seen.method.as_str(), seen.nth) {
        ("GET", 0) => reply(200, &[FRESH], "old").after(&slow),
        ("GET", _) => reply(200, &[FRESH], "new"),
        _ => reply(204, &[], ""),
    })
    .await;
    let cache = Running::start(&origin).await;
    let old = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("/a").await }
    });
    until(|| "the first GET is on its way".into(), || origin.count() == 1).await;
    cache.ask("PUT", "/a", &[]).await;
    // Asked after the write: must not wait for the fetch from before it.
    assert_eq!(cache.get("/a").await.text(), "new");
    head.open();
    let old = old.await.expect("an answer");
    assert_eq!(
        (old.text(), old.member()),
        ("old", "cache; fwd=uri-miss; fwd-status=200"),
        "not stored, and says so"
    );
    let after = cache.get("/a").await;
    assert_eq!((after.text(), after.is_hit()), ("new", true));
}

#[tokio::test]
async fn of_two_fetches_at_once_the_later_ones_answer_stays() {
    let head = Gate::shut();
    let slow = head.clone();
    let origin = Origin::start(move |seen| match seen.nth {
        0 => reply(200, &[FRESH], "old").after(&slow),
        _ => reply(200, &[FRESH], "new"),
    })
    .await;
    let cache = Running::start(&origin).await;
    let reload = [("cache-control", "no-cache")];
    let old = tokio::spawn({
        let cache = cache.clone();
        async move { cache.ask("GET", "/a", &reload).await }
    });
    until(|| "the first GET is on its way".into(), || origin.count() == 1).await;
    assert_eq!(cache.ask("GET", "/a", &reload).await.text(), "new");
    head.open();
    assert_eq!(old.await.expect("an answer").text(), "old");
    let after = cache.get("/a").await;
    assert_eq!((after.text(), after.is_hit()), ("new", true));
}

#[tokio::test]
async fn a_body_still_arriving_during_a_write_is_not_stored() {
    let rest = Gate::shut();
    let slow = rest.clone();
    let origin = Origin::start(move |seen| match (seen.method.as_str(), seen.nth) {
        ("GET", 0) => reply(200, &[FRESH], "ol").then(Step::Wait(slow.clone())).then(Step::Send("d".into())),
        ("GET", _) => reply(200, &[FRESH], "new"),
        _ => reply(204, &[], ""),
    })
    .await;
    let cache = Running::start(&origin).await;
    let old = cache.open("GET", "/a", &[]).await;
    cache.ask("PUT", "/a", &[]).await;
    rest.open();
    assert_eq!(old.whole().await.text(), "old");
    let after = cache.get("/a").await;
    assert_eq!((after.text(), after.is_hit()), ("new", false));
}

#[tokio::test]
async fn a_write_whose_client_left_counts_as_done() {
    let done = Gate::shut();
    let slow = done.clone();
    let origin = Origin::start(move |seen| match seen.method.as_str() {
        "GET" => reply(200, &[FRESH], told(seen)),
        _ => reply(204, &[], "").after(&slow),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    let write = tokio::spawn({
        let cache = cache.clone();
        async move { cache.ask("PUT", "/a", &[]).await }
    });
    until(|| "the PUT is on its way".into(), || origin.count() == 2).await;
    write.abort();
    until(|| format!("{} stored", cache.store.len()), || cache.store.is_empty()).await;
    assert!(!cache.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_write_that_was_not_answered_counts_as_done() {
    let origin = Origin::start(|seen| match seen.method.as_str() {
        "GET" => reply(200, &[FRESH], told(seen)),
        _ => reply(200, &[], "").cut(),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    assert_eq!(cache.ask("POST", "/a", &[]).await.status.as_u16(), 502);
    assert!(!cache.get("/a").await.is_hit());
}
