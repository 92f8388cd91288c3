//! What caches share in a real Redis.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tests::Redis;

use crate::harness::{Gate, Got, Origin, Reply, Running, Seen, Step, reply, until};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Numbers its answers, each of the group of its path.
fn numbered(seen: &Seen) -> Reply {
    let group = format!("\"{}\"", seen.target.trim_start_matches('/'));
    match seen.method.as_str() {
        "GET" => reply(200, &[FRESH, ("cache-groups", &group), ("etag", "\"1\"")], seen.nth.to_string()),
        _ => reply(200, &[("cache-group-invalidation", seen.field("invalidate").unwrap_or(""))], ""),
    }
}

/// Two caches in front of one origin, over one Redis.
async fn two(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Redis, Origin, Running, Running) {
    let (redis, origin) = (Redis::start().await, Origin::start(answer).await);
    let one = Running::sharing(&origin, &redis).await;
    let other = Running::sharing(&origin, &redis).await;
    one.uses_redis().await;
    other.uses_redis().await;
    (redis, origin, one, other)
}

/// Whether Redis holds an answer for a target of host `e`.
fn holds(redis: &Redis, target: &str) -> bool {
    let fields = redis.cli(&["--raw", "HKEYS", &format!("test:1:e:http://e{target}")]);
    fields.lines().any(|field| field.starts_with('b'))
}

/// Gets it from a cache, and waits until Redis holds it.
async fn stored(cache: &Running, redis: &Redis, target: &str) -> Got {
    let got = cache.get(target).await;
    until(|| format!("Redis holds {target}"), || holds(redis, target)).await;
    got
}

#[tokio::test]
async fn answers_are_shared_and_outlive_their_cache() {
    let redis = Redis::start().await;
    let body = "0123456789".repeat(20_000);
    let sent = body.clone();
    let origin = Origin::start(move |_| reply(200, &[FRESH, ("x-a", "1"), ("x-a", "2")], sent.clone())).await;
    let first = {
        let cache = Running::sharing(&origin, &redis).await;
        cache.uses_redis().await;
        let first = stored(&cache, &redis, "/a").await;
        assert!(first.member().starts_with("cache; fwd=uri-miss; fwd-status=200; stored"), "{first:?}");
        first
    };
    let cache = Running::sharing(&origin, &redis).await;
    cache.uses_redis().await;
    let second = cache.get("/a").await;
    assert_eq!(origin.count(), 1);
    assert!(second.member().starts_with("cache; hit; ttl="), "{second:?}");
    assert!(second.member().ends_with("; detail=second-level"), "{second:?}");
    assert_eq!((second.text(), second.lines("x-a")), (body.as_str(), vec!["1", "2"]));
    let age: u64 = second.field("age").expect("an Age").parse().expect("a number");
    assert!(age < 30, "{age}");
    let span = second.span().await;
    assert_eq!(span.attributes["throughline.cache.result"], "hit");
    assert_eq!(span.attributes["throughline.cache.reason"], "second-level");
    let filled = first.span().await;
    assert_eq!(span.links, [(filled.trace_id, filled.span_id)], "linked to the request that fetched it");
    assert_eq!(second.line().await["cache_hit"], true);
    // From now on it is in memory, too.
    let third = cache.get("/a").await;
    assert!(third.is_hit() && !third.member().contains("second-level"), "{third:?}");
    assert_eq!(third.text(), body);
}

#[tokio::test]
async fn redis_is_told_as_a_client_span() {
    let (redis, _origin, one, _other) = two(numbered).await;
    let got = stored(&one, &redis, "/a").await;
    let server = got.span().await;
    let look = || telemetry::testing::spans(&got.trace_id).into_iter().find(|span| span.name == "EVALSHA");
    until(|| "a span of Redis".to_owned(), || look().is_some()).await;
    let look = look().expect("just seen");
    assert_eq!((look.kind, &look.parent_id), ("CLIENT", &server.span_id));
    assert_eq!(look.attributes["db.system.name"], "redis");
    assert_eq!(look.attributes["db.operation.name"], "EVALSHA");
    assert_eq!(look.attributes["db.stored_procedure.name"], "look");
    assert_eq!(look.attributes["server.port"], "6379");
    assert!(!format!("{look:?}").contains("http://e/a"), "no key is told: {look:?}");
}

#[tokio::test]
async fn a_write_reaches_every_cache_and_redis() {
    let (redis, origin, one, other) = two(numbered).await;
    stored(&one, &redis, "/a").await;
    assert_eq!(other.get("/a").await.text(), "0");
    assert_eq!(other.get("/a").await.text(), "0");
    one.ask("PUT", "/a", &[]).await;
    assert!(!holds(&redis, "/a"), "dropped before the write was answered");
    until(|| "the other cache has dropped it".to_owned(), || other.store.is_empty()).await;
    assert_eq!(other.get("/a").await.text(), "2");
    assert_eq!(origin.count(), 3);
}

#[tokio::test]
async fn a_group_falls_everywhere() {
    let (redis, origin, one, other) = two(numbered).await;
    for target in ["/a", "/b"] {
        stored(&one, &redis, target).await;
        other.get(target).await;
    }
    assert_eq!(origin.count(), 2);
    one.ask("POST", "/x", &[("invalidate", "\"a\"")]).await;
    until(|| format!("the other cache drops one, has {}", other.store.len()), || other.store.len() == 1)
        .await;
    assert!(other.get("/b").await.is_hit());
    // What Redis still holds of the group is no longer given, also to one that has just started.
    let late = Running::sharing(&origin, &redis).await;
    late.uses_redis().await;
    assert_eq!(late.get("/b").await.text(), "1");
    assert_eq!(late.get("/a").await.text(), "3");
    // And what is fetched now is stored, and given.
    until(|| "stored again".to_owned(), || holds(&redis, "/a")).await;
    let later = Running::sharing(&origin, &redis).await;
    later.uses_redis().await;
    assert_eq!(later.get("/a").await.text(), "3");
}

/// What is fetched before a write, and arrives after it, is stored nowhere.
async fn fetched_before(write: &[(&str, &str)], target: &str) {
    let gate = Gate::shut();
    let held = gate.clone();
    let answer = move |seen: &Seen| if seen.nth == 0 { numbered(seen).after(&held) } else { numbered(seen) };
    let (redis, origin, one, other) = two(answer).await;
    let fetching = tokio::spawn({
        let one = one.clone();
        async move { one.get("/a").await }
    });
    until(|| "the origin is asked".to_owned(), || origin.count() == 1).await;
    other.ask("POST", target, write).await;
    // A write of its own is heard after that one: the first cache knows of it now.
    one.ask("POST", "/y", &[("invalidate", "\"y\"")]).await;
    let number = || redis.cli(&["GET", "test:1:n"]);
    assert!(!number().is_empty());
    gate.open();
    let late = fetching.await.expect("an answer");
    assert_eq!(late.text(), "0", "whoever asked before may have it");
    until(
        || format!("no lease is left: {:?}", redis.keys("test:1:e:*")),
        || redis.cli(&["--raw", "HKEYS", "test:1:e:http://e/a"]).is_empty(),
    )
    .await;
    assert!(!holds(&redis, "/a"));
    let third = Running::sharing(&origin, &redis).await;
    third.uses_redis().await;
    assert_ne!(third.get("/a").await.text(), "0");
    assert_ne!(other.get("/a").await.text(), "0");
}

#[tokio::test]
async fn an_older_answer_does_not_come_back_after_a_write() {
    fetched_before(&[], "/a").await;
}

#[tokio::test]
async fn an_older_answer_does_not_come_back_after_its_group_fell() {
    fetched_before(&[("invalidate", "\"a\"")], "/x").await;
}

#[tokio::test]
async fn many_askers_of_two_caches_are_one_fetch() {
    let gate = Gate::shut();
    let held = gate.clone();
    let (_redis, origin, one, other) = two(move |seen| numbered(seen).after(&held)).await;
    let askers: Vec<_> = (0..50)
        .flat_map(|_| [one.clone(), other.clone()])
        .map(|cache| tokio::spawn(async move { cache.get("/a").await }))
        .collect();
    until(|| "all have asked".to_owned(), || one.asked() == 50 && other.asked() == 50).await;
    until(|| "the origin is asked".to_owned(), || origin.count() > 0).await;
    gate.open();
    let mut waits = 0;
    for asker in askers {
        let got = asker.await.expect("an answer");
        assert_eq!(got.text(), "0");
        waits +=
            telemetry::testing::spans(&got.trace_id).iter().filter(|span| span.name == "cache.wait").count();
    }
    assert_eq!((origin.count(), waits), (1, 1), "one of the other cache's waits for them all");
}

#[tokio::test]
async fn a_leader_that_leaves_fails_nobody() {
    let gate = Gate::shut();
    let held = gate.clone();
    let answer = move |seen: &Seen| if seen.nth == 0 { numbered(seen).after(&held) } else { numbered(seen) };
    let (_redis, origin, one, other) = two(answer).await;
    let leader = tokio::spawn({
        let one = one.clone();
        async move { one.get("/a").await }
    });
    until(|| "the origin is asked".to_owned(), || origin.count() == 1).await;
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.get("/a").await }
    });
    until(|| "the other has asked".to_owned(), || other.asked() == 1).await;
    leader.abort();
    assert_eq!(waiting.await.expect("an answer").text(), "1");
}

#[tokio::test]
async fn an_answer_for_one_user_is_shared_with_nobody() {
    let answer = |seen: &Seen| reply(200, &[("cache-control", "private, max-age=60")], seen.nth.to_string());
    let (redis, origin, one, other) = two(answer).await;
    for (nth, cache) in [&one, &other, &one, &other].into_iter().enumerate() {
        assert_eq!(cache.get("/a").await.text(), nth.to_string());
    }
    assert_eq!(origin.count(), 4);
    assert!(!holds(&redis, "/a"));
    let user = [("authorization", "Basic x")];
    let (redis, _origin, one, other) = two(numbered).await;
    assert_eq!(one.ask("GET", "/a", &user).await.text(), "0");
    assert_eq!(other.get("/a").await.text(), "1", "made for a user");
    until(|| "stored".to_owned(), || holds(&redis, "/a")).await;
    assert_eq!(one.ask("GET", "/a", &user).await.text(), "2", "made for others, and not said to be for all");
}

#[tokio::test]
async fn each_variant_is_shared_for_itself() {
    let answer = |seen: &Seen| {
        let language = seen.field("accept-language").unwrap_or("none").to_owned();
        reply(200, &[FRESH, ("vary", "Accept-Language")], format!("{} {language}", seen.nth))
    };
    let (redis, origin, one, other) = two(answer).await;
    let languages = ["de", "en"].map(|language| [("accept-language", language)]);
    for (nth, language) in languages.iter().enumerate() {
        one.ask("GET", "/a", language).await;
        until(
            || "both are stored".to_owned(),
            || {
                let fields = redis.cli(&["--raw", "HKEYS", "test:1:e:http://e/a"]);
                fields.lines().filter(|field| field.starts_with('b')).count() == nth + 1
            },
        )
        .await;
    }
    for (language, expected) in languages.iter().zip(["0 de", "1 en"]) {
        let got = other.ask("GET", "/a", language).await;
        assert_eq!(got.text(), expected, "{got:?}");
        assert!(got.is_hit(), "{got:?}");
    }
    assert_eq!(other.get("/a").await.text(), "2 none");
    assert_eq!(origin.count(), 3);
}

#[tokio::test]
async fn heads_parts_and_the_undemanding_are_answered_from_redis() {
    let (redis, origin, one, _other) = two(|_| reply(200, &[FRESH], "0123456789")).await;
    stored(&one, &redis, "/a").await;
    let fresh = async || {
        let cache = Running::sharing(&origin, &redis).await;
        cache.uses_redis().await;
        cache
    };
    let head = fresh().await.ask("HEAD", "/a", &[]).await;
    assert!(head.is_hit() && head.field("content-length") == Some("10"), "{head:?}");
    let part = fresh().await.ask("GET", "/a", &[("range", "bytes=2-3")]).await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "23"), "{part:?}");
    let only = [("cache-control", "only-if-cached")];
    let stored = fresh().await.ask("GET", "/a", &only).await;
    assert_eq!(stored.text(), "0123456789");
    let cache = fresh().await;
    assert_eq!(cache.ask("GET", "/b", &only).await.status, 504);
    assert_eq!(cache.ask("GET", "/b", &[only[0], ("range", "bytes=0-1")]).await.status, 504);
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_stale_answer_of_another_cache_is_confirmed() {
    let answer = |seen: &Seen| match seen.field("if-none-match") {
        Some("\"1\"") => reply(304, &[FRESH, ("etag", "\"1\"")], ""),
        _ => reply(200, &[("cache-control", "max-age=60"), ("age", "60"), ("etag", "\"1\"")], "body"),
    };
    let (redis, origin, one, other) = two(answer).await;
    stored(&one, &redis, "/a").await;
    let confirmed = other.get("/a").await;
    assert_eq!(confirmed.text(), "body");
    assert!(confirmed.member().contains("fwd-status=304; stored"), "{confirmed:?}");
    assert_eq!(confirmed.span().await.attributes["throughline.cache.result"], "revalidated");
    assert_eq!(origin.count(), 2);
    // It is fresh in Redis, too.
    until(
        || "it is stored anew".to_owned(),
        || {
            redis
                .cli(&["HGET", "test:1:e:http://e/a", "m"])
                .split(' ')
                .nth(2)
                .is_some_and(|fresh| fresh != "0")
        },
    )
    .await;
    assert!(one.get("/a").await.is_hit());
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn what_may_be_given_stale_is_given_from_redis_and_revalidated_once() {
    let stale = ("cache-control", "max-age=60, stale-while-revalidate=600");
    let answer = move |seen: &Seen| {
        let age = if seen.nth == 0 { "60" } else { "0" };
        reply(200, &[stale, ("age", age), ("etag", "\"1\"")], seen.nth.to_string())
    };
    let (redis, origin, one, other) = two(answer).await;
    stored(&one, &redis, "/a").await;
    let given = other.get("/a").await;
    assert_eq!(given.text(), "0");
    assert!(given.member().ends_with("detail=stale-while-revalidate"), "{given:?}");
    until(|| format!("asked again: {}", origin.count()), || origin.count() == 2).await;
    until(|| "fresh".to_owned(), || holds(&redis, "/a")).await;
}

#[tokio::test]
async fn large_answers_stay_in_memory_and_nobody_waits_for_them() {
    let answer = |_: &Seen| reply(200, &[FRESH], vec![b'x'; 2 << 20]);
    let (redis, origin, one, other) = two(answer).await;
    assert_eq!(one.get("/a").await.body.len(), 2 << 20);
    assert!(one.get("/a").await.is_hit());
    assert_eq!(other.get("/a").await.body.len(), 2 << 20);
    assert_eq!(origin.count(), 2);
    assert!(!holds(&redis, "/a"));
}

#[tokio::test]
async fn an_answer_that_arrives_in_pieces_is_shared_whole_or_not_at_all() {
    let gate = Gate::shut();
    let held = gate.clone();
    let answer = move |seen: &Seen| match seen.target.as_str() {
        "/whole" => reply(200, &[FRESH], "ab").chunked().then(Step::Send("cd".into())),
        _ => reply(200, &[FRESH], "ab").chunked().then(Step::Wait(held.clone())).then(Step::Break),
    };
    let (redis, origin, one, other) = two(answer).await;
    stored(&one, &redis, "/whole").await;
    assert_eq!(other.get("/whole").await.text(), "abcd");
    assert_eq!(origin.count(), 1);
    let begun = one.open("GET", "/broken", &[]).await;
    gate.open();
    assert!(begun.whole().await.broken);
    assert_eq!(origin.count(), 2);
    other.open("GET", "/broken", &[]).await.leave().await;
    assert!(origin.count() > 2, "asked for anew");
    assert!(!holds(&redis, "/broken"));
}

#[tokio::test]
async fn where_an_invalidation_may_have_been_missed_memory_is_asked_to_be_confirmed() {
    let (redis, origin, one, other) = two(numbered).await;
    stored(&one, &redis, "/a").await;
    assert!(other.get("/a").await.is_hit());
    redis.cli(&["FLUSHALL"]);
    let mut count = 1;
    let start = std::time::Instant::now();
    while origin.count() == count {
        assert!(start.elapsed() < Duration::from_secs(30), "memory is trusted although nobody knows");
        other.get("/a").await;
    }
    count = origin.count();
    assert_eq!(count, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_among_readers_leaves_nothing_old() {
    let version = Arc::new(AtomicUsize::new(0));
    let (_redis, _origin, one, other) = two(move |seen| match seen.method.as_str() {
        "GET" => reply(200, &[FRESH], version.load(Ordering::SeqCst).to_string()),
        _ => reply(200, &[], version.fetch_add(1, Ordering::SeqCst).to_string()),
    })
    .await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [&one, &one, &one, &other]
        .map(|cache| {
            let (cache, done) = (cache.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    cache.get("/a").await;
                }
            })
        })
        .into();
    for write in 1..=100 {
        one.ask("PUT", "/a", &[]).await;
        let got = one.get("/a").await;
        assert_eq!(got.text(), write.to_string(), "{got:?}");
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.expect("a reader reads");
    }
}

#[tokio::test]
async fn what_a_cache_has_seen_is_not_replaced_by_what_is_older_in_redis() {
    // What a request for something fresh brings: stale at once, or not to be stored.
    for second in ["max-age=60", "no-store"] {
        let answer = move |seen: &Seen| match seen.nth {
            0 => reply(200, &[FRESH, ("etag", "\"0\"")], "0"),
            nth => {
                let tag = format!("\"{nth}\"");
                reply(200, &[("cache-control", second), ("age", "60"), ("etag", &tag)], nth.to_string())
            }
        };
        let (redis, _origin, one, other) = two(answer).await;
        stored(&one, &redis, "/a").await;
        let asked = one.ask("GET", "/a", &[("cache-control", "no-cache")]).await;
        assert_eq!(asked.text(), "1");
        let got = one.get("/a").await;
        assert_eq!(got.text(), "2", "{second}: {got:?}");
        let right = || redis.cli(&["HGET", "test:1:e:http://e/a", "m"]).split(' ').nth(2) != Some("60000");
        until(|| format!("{second}: what is older is gone"), right).await;
        assert_ne!(other.get("/a").await.text(), "0", "{second}");
    }
}
