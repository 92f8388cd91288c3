//! Leases, numbers and scripts, with a real Redis and a memory that hears of nothing in time.

use std::{sync::Arc, time::Duration};

use ::tests::{Redis, eventually};
use http::Method;

use super::*;
use crate::{
    asked::Asked, clock::Clock, entry::Entry, policy::Policy, purge::Selector, second::Message,
    store::Memory, tests::asked,
};

async fn second(redis: &Redis) -> Arc<Second> {
    let settings = Settings {
        url: redis.url(),
        namespace: "test".to_owned(),
        budget: Duration::from_secs(10),
        object: 1 << 20,
        longest: Duration::from_secs(3600),
    };
    let memory = Store::new(Memory { total: 1 << 20, object: 1 << 16 });
    let second = Second::start(settings, &memory, Clock::system()).expect("a URL");
    eventually("Redis is used", async || if second.is_used() { Ok(()) } else { Err("not yet") }).await;
    second
}

fn get(target: &str) -> Asked {
    asked(Method::GET, target, &[])
}

async fn look(second: &Arc<Second>, asked: &Asked, wants: Wants) -> (Option<Entry>, Right) {
    let (policy, suits) = (Policy::default(), |_: &Entry| true);
    let looked = second.look(Question { asked, wants, policy, fetch: 1, suits }).await;
    (looked.entry, looked.right)
}

async fn lease(second: &Arc<Second>, asked: &Asked) -> Arc<Lease> {
    match look(second, asked, Wants::Lease).await {
        (None, Right::Own(lease)) => lease,
        other => panic!("no lease: {other:?}"),
    }
}

/// An answer of these groups.
fn answer(asked: &Asked, groups: &str) -> Arc<Entry> {
    let head = crate::tests::head(
        asked,
        &[("cache-control", "max-age=60"), ("cache-groups", groups)],
        Clock::system().now(),
    );
    Arc::new(Entry::new(head, Vec::new().into(), 1))
}

/// Whether an answer is there that was fetched under this lease.
async fn stores(second: &Arc<Second>, lease: &Arc<Lease>, asked: &Asked, groups: &str) -> bool {
    let fill = fill::Fill { lease: Arc::clone(lease), entry: answer(asked, groups) };
    let filled = second.store(&fill).await;
    let found = look(second, asked, Wants::Answer).await.0.is_some();
    assert_eq!(found, filled == observe::Filled::Stored, "{filled:?}");
    found
}

fn dropping(selector: &Selector) -> Message {
    Message::of_purge(selector, false)
}

fn group(asked: &Asked, name: &str) -> Selector {
    Selector::Group(Group::of(&asked.key, name))
}

#[tokio::test]
async fn what_was_dropped_since_its_lease_is_not_stored() {
    let redis = Redis::start().await;
    let (one, other) = (second(&redis).await, second(&redis).await);
    let prefix = |target: &str| Selector::Prefix(get(target).key);
    let check = async |target: &str, groups: &str, dropped: Option<Selector>, expected: bool| {
        let asked = get(target);
        let lease = lease(&one, &asked).await;
        if let Some(dropped) = &dropped {
            assert!(other.tell_patiently(dropping(dropped)).await);
        }
        let stored = stores(&one, &lease, &asked, groups).await;
        assert_eq!(stored, expected, "{target} {groups} {dropped:?}");
    };
    check("/none", "", None, true).await;
    check("/itself", "", Some(Selector::Url(get("/itself").key)), false).await;
    check("/another", "", Some(Selector::Url(get("/x").key)), true).await;
    check("/prefix/a", "", Some(prefix("/prefix")), false).await;
    check("/other/a", "", Some(prefix("/prefix")), true).await;
    check("/all", "", Some(Selector::All), false).await;
    // A group that nobody knows of may have fallen.
    let x = get("/x");
    check("/first", "\"a\"", Some(group(&x, "b")), false).await;
    check("/second", "\"a\"", Some(group(&x, "b")), true).await;
    check("/third", "\"a\"", Some(group(&x, "a")), false).await;
    check("/fourth", "\"a\"", None, true).await;
}

#[tokio::test]
async fn what_is_stored_falls_with_what_it_is_of() {
    let redis = Redis::start().await;
    let one = second(&redis).await;
    let x = get("/x");
    let check = async |target: &str, dropped: &str, left: bool| {
        let asked = get(target);
        let lease = lease(&one, &asked).await;
        assert!(stores(&one, &lease, &asked, "\"a\", \"b\"").await);
        match dropped {
            "evicted" => drop(redis.cli(&["DEL", &format!("test:1:g:{}", Group::of(&x.key, "a").hex())])),
            "future" => drop(redis.cli(&["SET", "test:1:n", "5"])),
            name => assert!(one.tell(dropping(&group(&x, name))).await),
        }
        let found = look(&one, &asked, Wants::Answer).await.0.is_some();
        assert_eq!(found, left, "{dropped}");
    };
    check("/1", "a", false).await;
    check("/2", "b", false).await;
    check("/3", "c", true).await;
    check("/4", "evicted", false).await;
    check("/5", "future", false).await;
}

#[tokio::test]
async fn a_lease_is_one_caches_until_it_lets_go() {
    let redis = Redis::start().await;
    let (one, other) = (second(&redis).await, second(&redis).await);
    let asked = get("/a");
    let mine = lease(&one, &asked).await;
    assert!(matches!(look(&other, &asked, Wants::Lease).await, (None, Right::Others)));
    drop(mine);
    eventually("it is let go of", async || match look(&other, &asked, Wants::Lease).await {
        (None, Right::Own(lease)) => {
            lease.alone();
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
    eventually("others need not wait", async || match look(&one, &asked, Wants::Lease).await {
        (None, Right::Nobodys) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn numbers_go_on_above_what_was_seen() {
    let redis = Redis::start().await;
    let one = second(&redis).await;
    assert!(one.tell(dropping(&Selector::Url(get("/x").key))).await);
    let seen = one.seen.load(Ordering::SeqCst);
    let number = || redis.cli(&["GET", "test:1:n"]).parse::<u64>().expect("a number");
    assert_eq!(number(), seen);
    let asked = get("/a");
    let held = lease(&one, &asked).await;
    assert!(stores(&one, &held, &asked, "").await);
    // As if it were back at an older state, and nobody had noticed yet.
    redis.cli(&["SET", "test:1:n", &(seen - 1).to_string()]);
    assert!(one.drop_there(&dropping(&Selector::Url(get("/x").key))).await.is_ok());
    assert_eq!(number(), seen + 1);
    let all: u64 = redis.cli(&["GET", "test:1:g:all"]).parse().expect("a number");
    assert_eq!(all, seen + 1, "everything has fallen");
}

#[tokio::test]
async fn leases_that_nobody_holds_do_not_pile_up() {
    let redis = Redis::start().await;
    let one = second(&redis).await;
    let key = "test:1:e:http://e/a";
    for nth in 0..300 {
        redis.cli(&["HSET", key, &format!("l{nth}"), "dead 1 1"]);
        look(&one, &get("/a"), Wants::Answer).await;
    }
    let length: usize = redis.cli(&["HLEN", key]).parse().expect("a number");
    assert!(length <= 101, "{length}");
}
