//! Many askers, one fetch.

use std::time::Duration;

use futures_util::future::join_all;

use crate::harness::{Gate, Got, Origin, Reply, Running, Seen, Step, reply, until};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Asks `count` times at once; once all have reached the cache, opens `gate`.
async fn together(
    cache: &Running,
    count: usize,
    gate: &Gate,
    fields: &'static [(&'static str, &'static str)],
) -> Vec<Got> {
    let before = cache.asked();
    let askers: Vec<_> = (0..count)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.ask("GET", "/a", fields).await })
        })
        .collect();
    until(|| format!("{} asked", cache.asked() - before), || cache.asked() - before == count).await;
    gate.open();
    join_all(askers).await.into_iter().map(|got| got.expect("an answer")).collect()
}

fn collapsed(got: &[Got]) -> usize {
    got.iter().filter(|got| got.member().ends_with("; collapsed")).count()
}

/// An origin whose first answer waits for a gate.
async fn slow_first(first: Reply, later: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Origin, Gate) {
    let gate = Gate::shut();
    let first = first.after(&gate);
    let origin = Origin::start(move |seen| if seen.nth == 0 { first.clone() } else { later(seen) }).await;
    (origin, gate)
}

#[tokio::test]
async fn a_thousand_askers_of_one_cold_key_make_one_fetch() {
    let body = "x".repeat(100_000);
    let (origin, gate) = slow_first(reply(200, &[FRESH], body.clone()), |_| reply(500, &[], "")).await;
    let cache = Running::start(&origin).await;
    let got = together(&cache, 1000, &gate, &[]).await;
    assert!(got.iter().all(|got| got.text() == body && got.status.as_u16() == 200));
    assert_eq!((origin.count(), collapsed(&got)), (1, 999));
    assert!(cache.get("/a").await.is_hit());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn askers_on_several_threads_make_one_fetch() {
    for _ in 0..20 {
        let (origin, gate) = slow_first(reply(200, &[FRESH], "hello"), |_| reply(500, &[], "")).await;
        let cache = Running::start(&origin).await;
        let got = together(&cache, 50, &gate, &[]).await;
        assert!(got.iter().all(|got| got.text() == "hello"));
        let hits = got.iter().filter(|got| got.is_hit()).count();
        assert_eq!((origin.count(), collapsed(&got) + hits), (1, 49));
    }
}

#[tokio::test]
async fn followers_read_along_while_the_body_arrives() {
    let rest = Gate::shut();
    let waiting = rest.clone();
    let body = reply(200, &[FRESH], "he").then(Step::Wait(waiting)).then(Step::Send("llo".into()));
    let (origin, gate) = slow_first(body, |_| reply(500, &[], "")).await;
    let cache = Running::start(&origin).await;
    gate.open();
    let leader = cache.open("GET", "/a", &[]).await;
    let follower = cache.open("GET", "/a", &[]).await;
    assert_eq!(follower.member(), "cache; fwd=uri-miss; fwd-status=200; collapsed");
    rest.open();
    assert_eq!((leader.whole().await.text(), follower.whole().await.text()), ("hello", "hello"));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn followers_wait_for_the_end_of_a_body_of_unknown_length() {
    let first = reply(200, &[FRESH], "hello").chunked();
    let (origin, gate) = slow_first(first, |_| reply(500, &[], "")).await;
    let cache = Running::start(&origin).await;
    let got = together(&cache, 10, &gate, &[]).await;
    assert!(got.iter().all(|got| got.text() == "hello"));
    assert_eq!((origin.count(), collapsed(&got)), (1, 9));
}

#[tokio::test]
async fn an_answer_that_is_not_to_be_shared_is_not() {
    for fields in [
        &[("cache-control", "private, max-age=60")][..],
        &[("cache-control", "no-store")],
        &[FRESH, ("set-cookie", "a=b")],
        &[FRESH, ("vary", "*")],
        &[("cache-control", "no-cache"), ("etag", "\"a\"")],
        &[],
    ] {
        let answer = move |seen: &Seen| reply(200, fields, seen.nth.to_string());
        let (origin, gate) = slow_first(reply(200, fields, "0"), answer).await;
        let cache = Running::start(&origin).await;
        let got = together(&cache, 20, &gate, &[]).await;
        let mut bodies: Vec<usize> = got.iter().map(|got| got.text().parse().expect("a number")).collect();
        bodies.sort_unstable();
        assert_eq!(bodies, (0..20).collect::<Vec<_>>(), "{fields:?}");
        assert_eq!(collapsed(&got), 0);
        let waited = got.iter().filter(|got| got.member().ends_with("; collapsed=?0")).count();
        assert_eq!(waited, 19, "{fields:?}");
    }
}

#[tokio::test]
async fn requests_for_what_could_not_be_shared_do_not_wait_for_each_other_again() {
    let gate = Gate::shut();
    let slow = gate.clone();
    let origin = Origin::start(move |seen| match seen.nth {
        1 => reply(200, &[("cache-control", "private")], "slow").after(&slow),
        _ => reply(200, &[("cache-control", "private")], "quick"),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    let slow = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("/a").await }
    });
    until(|| "the slow one is on its way".into(), || origin.count() == 2).await;
    assert_eq!(cache.get("/a").await.text(), "quick");
    gate.open();
    assert_eq!(slow.await.expect("an answer").text(), "slow");
}

#[tokio::test]
async fn requests_for_what_must_be_validated_do_not_wait_for_each_other() {
    let gate = Gate::shut();
    let slow = gate.clone();
    let origin = Origin::start(move |seen| match seen.nth {
        0 => reply(200, &[("cache-control", "no-cache"), ("etag", "\"a\"")], "hello"),
        1 => reply(304, &[], "").after(&slow),
        _ => reply(304, &[], ""),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    let slow = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("/a").await }
    });
    until(|| "the slow one is on its way".into(), || origin.count() == 2).await;
    assert_eq!(cache.get("/a").await.member(), "cache; fwd=stale; fwd-status=304; stored");
    assert_eq!(origin.count(), 3);
    gate.open();
    assert_eq!(slow.await.expect("an answer").text(), "hello");
}

#[tokio::test]
async fn a_request_with_a_condition_of_its_own_is_followed_by_nobody() {
    let (conditional, gate) = (Gate::shut(), Gate::shut());
    let slow = (conditional.clone(), gate.clone());
    let origin = Origin::start(move |seen| match seen.field("if-none-match") {
        Some(_) => reply(304, &[("etag", "\"a\"")], "").after(&slow.0),
        None => reply(200, &[FRESH, ("etag", "\"a\"")], "hello").after(&slow.1),
    })
    .await;
    let cache = Running::start(&origin).await;
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.ask("GET", "/a", &[("if-none-match", "\"a\"")]).await }
    });
    until(|| "the first is on its way".into(), || origin.count() == 1).await;
    let got = together(&cache, 10, &gate, &[]).await;
    assert!(got.iter().all(|got| got.text() == "hello"));
    assert_eq!((origin.count(), collapsed(&got)), (2, 9));
    conditional.open();
    assert_eq!(first.await.expect("an answer").status, 304);
}

#[tokio::test]
async fn an_answer_for_another_variant_is_not_shared() {
    let vary = [FRESH, ("vary", "accept")];
    let answer = move |seen: &Seen| reply(200, &vary, seen.field("accept").unwrap_or("-").to_owned());
    let (origin, gate) = slow_first(reply(200, &vary, "-"), answer).await;
    let cache = Running::start(&origin).await;
    let leader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("/a").await }
    });
    until(|| "the leader is on its way".into(), || origin.count() == 1).await;
    let others = together(&cache, 5, &gate, &[("accept", "json")]).await;
    assert_eq!(leader.await.expect("an answer").text(), "-");
    assert!(others.iter().all(|got| got.text() == "json"));
}

#[tokio::test]
async fn a_leader_that_fails_does_not_fail_the_others() {
    for first in
        [reply(200, &[FRESH], "").cut(), reply(503, &[], "busy"), reply(500, &[("set-cookie", "a")], "")]
    {
        let (origin, gate) = slow_first(first, |_| reply(200, &[FRESH], "good")).await;
        let cache = Running::start(&origin).await;
        let got = together(&cache, 20, &gate, &[]).await;
        let good = got.iter().filter(|got| got.text() == "good").count();
        assert!(good >= 19, "{good}");
    }
}

#[tokio::test]
async fn a_leader_whose_client_leaves_does_not_fail_the_others() {
    let (origin, gate) = slow_first(reply(200, &[FRESH], "hello"), |_| reply(500, &[], "")).await;
    let cache = Running::start(&origin).await;
    let leader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("/a").await }
    });
    until(|| "the leader is on its way".into(), || origin.count() == 1).await;
    let follower = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("/a").await }
    });
    until(|| format!("{} asked", cache.asked()), || cache.asked() == 2).await;
    leader.abort();
    assert!(leader.await.is_err());
    gate.open();
    assert_eq!(follower.await.expect("an answer").text(), "hello");
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_all_that_read_it() {
    let rest = Gate::shut();
    let body = reply(200, &[FRESH, ("content-length", "10")], "hello")
        .then(Step::Wait(rest.clone()))
        .then(Step::Break);
    let (origin, gate) = slow_first(body, |_| reply(200, &[FRESH], "good")).await;
    let cache = Running::start(&origin).await;
    gate.open();
    let leader = cache.open("GET", "/a", &[]).await;
    let follower = cache.open("GET", "/a", &[]).await;
    rest.open();
    let (leader, follower) = (leader.whole().await, follower.whole().await);
    assert!(leader.broken && follower.broken, "{leader:?} {follower:?}");
    let next = cache.get("/a").await;
    assert_eq!((next.text(), next.is_hit()), ("good", false));
}

#[tokio::test]
async fn one_validation_serves_all_that_found_it_stale() {
    let gate = Gate::shut();
    let slow = gate.clone();
    let origin = Origin::start(move |seen| match seen.field("if-none-match") {
        Some(_) => reply(304, &[FRESH], "").after(&slow),
        None => reply(200, &[FRESH, ("etag", "\"v1\"")], "hello"),
    })
    .await;
    let cache = Running::start(&origin).await;
    cache.get("/a").await;
    cache.clock.advance(Duration::from_secs(60));
    let got = together(&cache, 20, &gate, &[]).await;
    assert!(got.iter().all(|got| got.text() == "hello"));
    assert_eq!((origin.count(), collapsed(&got)), (2, 19));
}

#[tokio::test]
async fn requests_with_authorization_fetch_for_themselves() {
    let answer = |seen: &Seen| reply(200, &[FRESH], seen.field("authorization").unwrap_or("-").to_owned());
    let (origin, gate) = slow_first(reply(200, &[FRESH], "-"), answer).await;
    let cache = Running::start(&origin).await;
    let leader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get("/a").await }
    });
    until(|| "the leader is on its way".into(), || origin.count() == 1).await;
    let user = cache.ask("GET", "/a", &[("authorization", "Basic x")]).await;
    assert_eq!(user.text(), "Basic x");
    gate.open();
    assert_eq!(leader.await.expect("an answer").text(), "-");
}
