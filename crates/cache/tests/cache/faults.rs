//! A real Redis that fails in every way that one does: every answer stays right, and no request waits for it twice.

use std::time::{Duration, Instant};

use tests::Redis;

use crate::harness::{Origin, Reply, Running, Seen, reply, until};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// How late a request may be because of Redis.
const BUDGET: Duration = Duration::from_millis(300);

async fn sharing(origin: &Origin, redis: &Redis) -> Running {
    Running::sharing_within(BUDGET, origin, redis).await
}

fn numbered(seen: &Seen) -> Reply {
    reply(200, &[FRESH], seen.nth.to_string())
}

/// Asks for targets that nobody has asked for, one after the other: answers are right, and Redis is asked by the first
/// at most.
async fn does_not_spread(origin: &Origin, cache: &Running, name: &str) {
    let mut asked = 0;
    for nth in 0..20 {
        let before = origin.count();
        let started = Instant::now();
        let got = cache.get(&format!("/{name}/{nth}")).await;
        let took = started.elapsed();
        assert_eq!(
            (got.status.as_u16(), got.text()),
            (200, before.to_string().as_str()),
            "{name} {nth}: {got:?}"
        );
        assert!(took < BUDGET + Duration::from_secs(2), "{name} {nth}: {took:?}");
        got.span().await;
        asked +=
            telemetry::testing::spans(&got.trace_id).iter().filter(|span| span.name == "EVALSHA").count();
        assert!(cache.get(&format!("/{name}/{nth}")).await.is_hit(), "memory does not need it");
    }
    assert!(asked <= 2, "{name}: asked {asked} times");
}

/// A cache that has just used a Redis, which may fail now.
async fn used() -> (Redis, Origin, Running) {
    let (redis, origin) = (Redis::start().await, Origin::start(numbered).await);
    let cache = sharing(&origin, &redis).await;
    cache.uses_redis().await;
    let before = cache.get("/before").await;
    let key = "test:1:e:http://e/before";
    until(
        || "it is used".to_owned(),
        || redis.cli(&["--raw", "HKEYS", key]).lines().any(|field| field == "b"),
    )
    .await;
    assert_eq!(before.text(), "0");
    (redis, origin, cache)
}

/// Once Redis is well, it is used again.
async fn recovers(redis: &Redis, origin: &Origin, cache: &Running, name: &str) {
    cache.uses_redis().await;
    let target = format!("/after/{name}");
    cache.get(&target).await;
    let key = format!("test:1:e:http://e{target}");
    until(|| format!("{name}: it is used again"), || !redis.cli(&["--raw", "HKEYS", &key]).is_empty()).await;
    let other = sharing(origin, redis).await;
    other.uses_redis().await;
    let count = origin.count();
    until(|| "stored".to_owned(), || redis.cli(&["--raw", "HKEYS", &key]).lines().any(|field| field == "b"))
        .await;
    assert!(other.get(&target).await.member().ends_with("detail=second-level"));
    assert_eq!(origin.count(), count);
}

#[tokio::test]
async fn not_there_from_the_start_then_there() {
    let mut redis = Redis::away();
    let origin = Origin::start(numbered).await;
    let cache = sharing(&origin, &redis).await;
    does_not_spread(&origin, &cache, "away").await;
    redis.launch(&[]);
    redis.answers().await;
    recovers(&redis, &origin, &cache, "away").await;
}

#[tokio::test]
async fn down_then_up() {
    let (mut redis, origin, cache) = used().await;
    redis.kill();
    does_not_spread(&origin, &cache, "down").await;
    redis.launch(&[]);
    redis.answers().await;
    recovers(&redis, &origin, &cache, "down").await;
}

#[tokio::test]
async fn frozen_then_thawed() {
    let (redis, origin, cache) = used().await;
    redis.freeze();
    let late = cache.get("/late").await;
    assert_eq!(late.text(), "1");
    let spans = telemetry::testing::spans(&late.trace_id);
    let look = spans.iter().find(|span| span.name == "EVALSHA").expect("it was asked");
    assert_eq!(look.attributes["error.type"], "timeout");
    does_not_spread(&origin, &cache, "frozen").await;
    redis.thaw();
    recovers(&redis, &origin, &cache, "frozen").await;
}

#[tokio::test]
async fn slow_then_quick() {
    let (redis, origin, cache) = used().await;
    redis.cli(&["CLIENT", "PAUSE", "3000", "ALL"]);
    does_not_spread(&origin, &cache, "slow").await;
    redis.answers().await;
    recovers(&redis, &origin, &cache, "slow").await;
}

#[tokio::test]
async fn loading_then_loaded() {
    let (mut redis, origin, cache) = used().await;
    redis.cli(&["DEBUG", "POPULATE", "30000", "ballast", "100"]);
    redis.cli(&["SAVE"]);
    redis.kill();
    // Each key takes a tenth of a millisecond: three seconds in which it listens, and answers LOADING.
    redis.launch(&["--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024"]);
    does_not_spread(&origin, &cache, "loading").await;
    redis.answers().await;
    recovers(&redis, &origin, &cache, "loading").await;
}

#[tokio::test]
async fn full_it_stores_nothing_and_still_drops() {
    let (redis, origin, cache) = used().await;
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    for nth in 0..5 {
        let count = origin.count().to_string();
        assert_eq!(cache.get(&format!("/full/{nth}")).await.text(), count);
    }
    assert!(redis.keys("test:1:e:http://e/full/*").is_empty());
    // What it holds is given, and what a write makes wrong is dropped.
    let other = sharing(&origin, &redis).await;
    other.uses_redis().await;
    assert_eq!(other.get("/before").await.text(), "0");
    cache.ask("PUT", "/before", &[]).await;
    assert!(redis.keys("test:1:e:http://e/before").is_empty());
    until(|| "the other has heard of it".to_owned(), || other.store.is_empty()).await;
    assert_ne!(other.get("/before").await.text(), "0");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    recovers(&redis, &origin, &cache, "full").await;
}

#[tokio::test]
async fn holding_garbage() {
    let (redis, origin, cache) = used().await;
    let entry = |target: &str| format!("test:1:e:http://e{target}");
    // Kinds that are not ours.
    redis.cli(&["SET", &entry("/text"), "garbage"]);
    redis.cli(&["LPUSH", &entry("/list"), "garbage"]);
    redis.cli(&[
        "HSET",
        &entry("/hash"),
        "v",
        "",
        "b",
        "garbage",
        "m",
        "1 1 9999999999999 all",
        "l",
        "x y z",
    ]);
    redis.cli(&["HSET", &entry("/names"), "v", "a b,\r\n", "b", "garbage"]);
    // What another target or selection stands under.
    let damaged = |target: &str, change: &str| {
        let copy = "local h = redis.call('HGETALL', KEYS[1]); redis.call('HSET', KEYS[2], unpack(h)); \
                    local b = redis.call('HGET', KEYS[2], 'b');";
        let code = format!("{copy} redis.call('HSET', KEYS[2], 'b', {change})");
        redis.cli(&["EVAL", &code, "2", &entry("/before"), &entry(target)]);
    };
    damaged("/other", "b");
    damaged("/cut", "string.sub(b, 1, -2)");
    damaged("/changed", "string.sub(b, 1, -2) .. 'x'");
    damaged("/version", "'TLC' .. string.char(2) .. string.sub(b, 5)");
    for target in ["/text", "/list", "/hash", "/names", "/other", "/cut", "/changed", "/version"] {
        let count = origin.count().to_string();
        let got = cache.get(target).await;
        assert_eq!(got.text(), count, "{target}: {got:?}");
        assert!(
            cache.second.as_ref().is_some_and(|second| second.is_used()),
            "{target}: it is used all the same"
        );
        if target != "/names" {
            let key = entry(target);
            let right = || redis.cli(&["--raw", "HGET", &key, "b"]).starts_with("TLC\u{1}");
            until(|| format!("{target}: stored in place of the garbage"), right).await;
        }
    }
    // Numbers and stream.
    for (key, kind) in
        [("test:1:n", "list"), ("test:1:i", "text"), ("test:1:g:all", "list"), ("test:1:n", "text")]
    {
        match kind {
            "list" => {
                redis.cli(&["DEL", key]);
                redis.cli(&["LPUSH", key, "garbage"])
            }
            _ => redis.cli(&["SET", key, "garbage"]),
        };
        let count = origin.count();
        cache.ask("PUT", "/before", &[]).await;
        let got = cache.get("/before").await;
        assert_eq!(got.text(), (count + 1).to_string(), "{key} {kind}: {got:?}");
    }
    recovers(&redis, &origin, &cache, "garbage").await;
}

#[tokio::test]
async fn what_was_written_while_it_was_away_is_dropped_before_it_is_used() {
    let (mut redis, origin, cache) = used().await;
    redis.cli(&["SAVE"]);
    redis.kill();
    cache.ask("PUT", "/before", &[]).await;
    cache.leaves_redis_alone().await;
    redis.launch(&[]);
    redis.answers().await;
    cache.uses_redis().await;
    assert!(redis.keys("test:1:e:http://e/before").is_empty());
    let other = sharing(&origin, &redis).await;
    other.uses_redis().await;
    assert_ne!(other.get("/before").await.text(), "0");
}

#[tokio::test]
async fn a_write_while_it_is_frozen_is_late_by_the_budget() {
    let (redis, _origin, cache) = used().await;
    redis.freeze();
    let started = Instant::now();
    cache.ask("PUT", "/before", &[]).await;
    assert!(started.elapsed() < BUDGET + Duration::from_secs(1), "{:?}", started.elapsed());
    cache.leaves_redis_alone().await;
    redis.thaw();
    cache.uses_redis().await;
    until(|| "dropped".to_owned(), || redis.keys("test:1:e:http://e/before").is_empty()).await;
}

#[tokio::test]
async fn back_at_an_older_state_nothing_of_it_is_given() {
    let (mut redis, origin, cache) = used().await;
    redis.cli(&["SAVE"]);
    cache.ask("PUT", "/before", &[]).await;
    assert!(redis.keys("test:1:e:http://e/before").is_empty());
    redis.kill();
    redis.launch(&[]);
    redis.answers().await;
    assert_eq!(redis.keys("test:1:e:http://e/before").len(), 1, "it is back");
    let got = cache.get("/before").await;
    assert_ne!(got.text(), "0", "{got:?}");
    // It is dropped for those, too, that know nothing of it.
    let number = || redis.cli(&["GET", "test:1:g:all"]);
    let before = number();
    until(|| format!("everything is dropped, {before}"), || number() != before).await;
    let other = sharing(&origin, &redis).await;
    other.uses_redis().await;
    assert_ne!(other.get("/before").await.text(), "0");
}

#[tokio::test]
async fn a_cache_that_is_killed_holds_nobody_up_for_long() {
    let (redis, origin, cache) = used().await;
    // As it would be left behind: nobody renews it.
    let soon = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000); \
                redis.call('HSET', KEYS[1], 'l', 'dead 1 ' .. string.format('%.0f', now + 1200))";
    redis.cli(&["EVAL", soon, "1", "test:1:e:http://e/a"]);
    let count = origin.count().to_string();
    assert_eq!(cache.get("/a").await.text(), count);
}

#[tokio::test]
async fn back_at_an_older_state_while_something_was_still_to_be_dropped() {
    let (mut redis, origin, cache) = used().await;
    redis.cli(&["SAVE"]);
    cache.ask("PUT", "/before", &[]).await;
    redis.kill();
    // Delivered to the older state, this one has the number that the one before had.
    cache.ask("PUT", "/other", &[]).await;
    redis.launch(&[]);
    redis.answers().await;
    cache.uses_redis().await;
    let other = sharing(&origin, &redis).await;
    other.uses_redis().await;
    for cache in [&cache, &other] {
        let got = cache.get("/before").await;
        assert_ne!(got.text(), "0", "{got:?}");
    }
}

#[tokio::test]
async fn a_cache_that_may_not_hear_does_not_look() {
    let (redis, origin, cache) = used().await;
    redis.cli(&["ACL", "SETUSER", "default", "-xread"]);
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    cache.leaves_redis_alone().await;
    does_not_spread(&origin, &cache, "deaf").await;
    redis.cli(&["ACL", "SETUSER", "default", "+@all"]);
    recovers(&redis, &origin, &cache, "deaf").await;
}

#[tokio::test]
async fn numbers_that_nobody_can_count_on() {
    let (redis, origin, cache) = used().await;
    let other = sharing(&origin, &redis).await;
    other.uses_redis().await;
    let numbers = ["9007199254740993", "1e300", "nan", "inf", "0x10", "-1", "1", "8999999999999999"];
    for (nth, number) in numbers.into_iter().enumerate() {
        let target = format!("/number/{nth}");
        cache.get(&target).await;
        other.get(&target).await;
        redis.cli(&["SET", "test:1:n", number]);
        let count = origin.count();
        cache.ask("PUT", &target, &[]).await;
        let got = cache.get(&target).await;
        assert_eq!(got.text(), (count + 1).to_string(), "{number}: {got:?}");
        eventually_not(&other, &target, count).await;
    }
}

/// Waits until a cache gives nothing of before so many requests at the origin.
async fn eventually_not(cache: &Running, target: &str, count: usize) {
    let started = Instant::now();
    loop {
        let got = cache.get(target).await;
        if got.text().parse::<usize>().expect("a number") > count {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{target}: {got:?}");
    }
}
