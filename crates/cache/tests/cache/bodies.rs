//! Bodies: streamed and whole, or not stored; and the bound of memory.

use bytes::Bytes;
use cache::Memory;
use http_body_util::BodyExt;

use crate::harness::{Gate, MEMORY, Origin, Running, Step, reply, until};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Bytes that do not repeat soon, so that a piece in the wrong place shows.
fn pattern(length: usize) -> Bytes {
    (0..length as u64).map(|nth| (nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

#[tokio::test]
async fn ten_mebibytes_are_streamed_and_whole() {
    let body = pattern(10 << 20);
    for (object, kept, chunked) in [(16 << 20, true, false), (8 << 20, false, false), (8 << 20, false, true)]
    {
        let rest = Gate::shut();
        let (first, second) = (body.slice(..1000), body.slice(1000..));
        let mut answer = reply(200, &[FRESH], first).then(Step::Wait(rest.clone())).then(Step::Send(second));
        answer.chunked = chunked;
        let origin = Origin::start(move |_| answer.clone()).await;
        let cache = Running::with(origin.address, Memory { total: 128 << 20, object }).await;
        let mut opened = cache.open("GET", "/a", &[]).await;
        let start = opened.response.body_mut().frame().await.expect("a frame").expect("data");
        assert_eq!(start.into_data().expect("data"), body.slice(..1000), "it is there before the rest is");
        rest.open();
        let rest = opened.whole().await;
        assert!(rest.body == body.slice(1000..) && !rest.broken);
        let again = cache.get("/a").await;
        assert!(again.body == body);
        assert_eq!((again.is_hit(), origin.count()), (kept, if kept { 1 } else { 2 }), "{object} {chunked}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_stored() {
    let length = ("content-length", "10");
    for broken in [reply(200, &[FRESH, length], "hello"), reply(200, &[FRESH], "hello").chunked()] {
        let begun = Gate::shut();
        let broken = broken.then(Step::Wait(begun.clone())).then(Step::Break);
        let origin = Origin::start(move |seen| match seen.nth {
            0 => broken.clone(),
            _ => reply(200, &[FRESH], "whole"),
        })
        .await;
        let cache = Running::start(&origin).await;
        let opened = cache.open("GET", "/a", &[]).await;
        begun.open();
        assert!(opened.whole().await.broken);
        assert!(cache.store.is_empty());
        let next = cache.get("/a").await;
        assert_eq!((next.text(), next.is_hit()), ("whole", false));
    }
}

#[tokio::test]
async fn a_body_that_only_the_connections_end_delimits_is_never_stored() {
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n\r\nhello";
    let (address, count) = crate::harness::raw_origin(head).await;
    let cache = Running::with(address, MEMORY).await;
    for nth in 1..3 {
        let got = cache.get("/a").await;
        assert_eq!((got.text(), got.member()), ("hello", "cache; fwd=uri-miss; fwd-status=200"));
        assert_eq!(count(), nth);
    }
}

#[tokio::test]
async fn bodies_without_bytes_are_stored_too() {
    for answer in [
        reply(200, &[FRESH], ""),
        reply(200, &[FRESH], "").chunked(),
        reply(204, &[FRESH], ""),
        reply(404, &[FRESH], ""),
    ] {
        let own = answer.clone();
        let origin = Origin::start(move |_| own.clone()).await;
        let cache = Running::start(&origin).await;
        let cold = cache.get("/a").await;
        let hit = cache.get("/a").await;
        assert_eq!((cold.status, hit.text(), hit.is_hit()), (hit.status, "", true), "{answer:?}");
    }
}

#[tokio::test]
async fn a_small_answer_whose_client_left_is_still_stored() {
    let rest = Gate::shut();
    let answer = reply(200, &[FRESH], "he").then(Step::Wait(rest.clone())).then(Step::Send("llo".into()));
    let origin = Origin::start(move |_| answer.clone()).await;
    let cache = Running::start(&origin).await;
    cache.open("GET", "/a", &[]).await.leave().await;
    rest.open();
    until(|| format!("{} stored", cache.store.len()), || cache.store.len() == 1).await;
    let hit = cache.get("/a").await;
    assert_eq!((hit.text(), hit.is_hit()), ("hello", true));
}

#[tokio::test]
async fn a_large_answer_whose_client_left_is_given_up() {
    let (never, gone) = (Gate::shut(), Gate::shut());
    let answer = reply(200, &[FRESH], "he")
        .then(Step::Wait(never.clone()))
        .then(Step::Send(pattern(1 << 20)))
        .told_when_dropped(&gone);
    let origin = Origin::start(move |_| answer.clone()).await;
    let cache = Running::start(&origin).await;
    drop(cache.open("GET", "/a", &[]).await);
    gone.opened("the origin is rid of its answer").await;
    assert!(cache.store.is_empty());
}

#[tokio::test]
async fn an_answer_too_large_for_the_store_is_given_up_with_its_client() {
    let (never, gone) = (Gate::shut(), Gate::shut());
    let mut answer = reply(200, &[FRESH], "").chunked().told_when_dropped(&gone);
    for _ in 0..24 {
        answer = answer.then(Step::Send(pattern(1 << 20)));
    }
    let answer = answer.then(Step::Wait(never));
    let origin = Origin::start(move |_| answer.clone()).await;
    let cache = Running::with(origin.address, Memory { total: 16 << 20, object: 1 << 20 }).await;
    let mut opened = cache.open("GET", "/a", &[]).await;
    opened.response.body_mut().frame().await.expect("a frame").expect("data");
    drop(opened);
    gone.opened("the origin is rid of its answer").await;
    assert!(cache.store.is_empty());
}

#[tokio::test]
async fn memory_stays_within_its_bound() {
    let memory = Memory { total: 4 << 20, object: 1 << 20 };
    let large_field = "x".repeat(2000);
    let origin = Origin::start(move |seen| {
        let length = 1 + (seen.nth * 7919) % (200 << 10);
        reply(200, &[FRESH, ("x-large", &large_field)], pattern(length))
    })
    .await;
    let cache = Running::with(origin.address, memory).await;
    for nth in 0..300 {
        cache.get(&format!("/{nth}")).await;
        assert!(cache.store.weight() <= memory.total / 4 * 3, "{} bytes", cache.store.weight());
    }
    assert!(cache.store.evicted() > 0 && cache.store.len() > 5);
    assert!(cache.store.weight() > memory.total / 4, "{} bytes", cache.store.weight());
}

#[tokio::test]
async fn variants_of_one_key_are_bounded() {
    let origin = Origin::start(|_| reply(200, &[FRESH, ("vary", "accept")], "a")).await;
    let cache = Running::start(&origin).await;
    for nth in 0..40 {
        cache.ask("GET", "/a", &[("accept", &nth.to_string())]).await;
    }
    assert!(!cache.ask("GET", "/a", &[("accept", "0")]).await.is_hit());
    assert!(cache.ask("GET", "/a", &[("accept", "39")]).await.is_hit());
}

#[tokio::test]
async fn when_too_much_is_arriving_answers_pass_by_unstored() {
    let rest = Gate::shut();
    let waiting = rest.clone();
    let origin = Origin::start(move |_| {
        reply(200, &[FRESH], "x").then(Step::Wait(waiting.clone())).then(Step::Send(pattern(700 << 10)))
    })
    .await;
    let cache = Running::with(origin.address, Memory { total: 4 << 20, object: 1 << 20 }).await;
    let first = cache.open("GET", "/a", &[]).await;
    let second = cache.open("GET", "/b", &[]).await;
    assert_eq!(first.member(), "cache; fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(second.member(), "cache; fwd=uri-miss; fwd-status=200");
    rest.open();
    assert_eq!((first.whole().await.body.len(), second.whole().await.body.len()), (716_801, 716_801));
    let third = cache.get("/b").await;
    assert_eq!(third.member(), "cache; fwd=uri-miss; fwd-status=200; stored");
}
