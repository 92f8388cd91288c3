//! The cache as its clients see it.

mod harness;

use std::time::Duration;

use harness::{Origin, Running, reply};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

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
    assert_eq!(origin.count(), 1);
}
