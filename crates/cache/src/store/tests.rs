//! What a fetch may still store after something was invalidated.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::{Memory, STRIPES, Store, Ticket};
use crate::{
    entry::Entry,
    groups::{Group, MEMBER},
    key::Key,
    purge::Selector,
    tests::{asked, at},
};

fn store() -> Arc<Store> {
    Store::new(Memory { total: 1 << 20, object: 1 << 16 })
}

fn key(target: &str) -> Key {
    asked(Method::GET, target, &[]).key
}

/// An answer for a minute, as the fetch with this ticket brought it.
fn entry(ticket: &Ticket) -> Arc<Entry> {
    grouped(ticket, "")
}

/// One with these `Cache-Groups`.
fn grouped(ticket: &Ticket, groups: &str) -> Arc<Entry> {
    let asked = asked(Method::GET, "/", &[]);
    let head =
        crate::tests::head(&asked, &[("cache-control", "max-age=60"), ("cache-groups", groups)], at(0.0));
    Arc::new(Entry::new(head, vec![Bytes::from_static(b"x")].into(), ticket.fetch()))
}

/// Another key that shares a lock with this one.
fn beside(key: &Key) -> Key {
    let stripe = |key: &Key| key.digest() % STRIPES as u64;
    let mut others = (0..).map(|nth| self::key(&format!("/other/{nth}")));
    others.find(|other| stripe(other) == stripe(key)).expect("there are more keys than stripes")
}

#[test]
fn only_an_invalidation_of_its_own_key_refuses_an_answer() {
    let check = |invalidated: &Key, expected: bool| {
        let (store, key) = (store(), key("/a"));
        let ticket = store.ticket(&key);
        store.invalidate(invalidated);
        assert_eq!(store.admits(&ticket, &entry(&ticket).head), expected, "{invalidated:?}");
        assert_eq!(store.put(&ticket, entry(&ticket)), expected, "{invalidated:?}");
        assert_eq!(store.len(), usize::from(expected), "{invalidated:?}");
    };
    check(&key("/a"), false);
    check(&beside(&key("/a")), true);
}

#[test]
fn a_key_is_known_while_tickets_for_it_are_out() {
    let (store, key) = (store(), key("/a"));
    let idle = || store.stripe(&key).under_way.is_empty();
    assert!(idle());
    let (before, other) = (store.ticket(&key), store.ticket(&key));
    store.invalidate(&key);
    let after = store.ticket(&key);
    drop(other);
    assert!(!store.put(&before, entry(&before)), "the invalidation is remembered with the other ticket gone");
    assert!(store.put(&after, entry(&after)));
    drop((before, after));
    assert!(idle());
}

#[test]
fn groups_weigh_and_go_with_the_entries_they_stand_for() {
    let store = store();
    let many: Vec<String> = (0..100).map(|nth| format!("\"{nth}\"")).collect();
    for nth in 0..1000 {
        let ticket = store.ticket(&key(&format!("/{nth}")));
        assert!(store.put(&ticket, grouped(&ticket, &many.join(", "))));
    }
    assert!(store.evicted() > 900, "{} evicted", store.evicted());
    assert!(
        store.len() as u64 * 100 * MEMBER as u64 <= store.weight(),
        "{} weigh {}",
        store.len(),
        store.weight()
    );
    assert_eq!(store.members.len(), 100 * store.len(), "what is evicted is listed no more");

    let ticket = store.ticket(&key("/again"));
    assert!(store.put(&ticket, grouped(&ticket, "\"a\"")));
    assert!(store.put(&ticket, grouped(&ticket, "\"b\"")));
    assert_eq!(store.members.len(), 100 * (store.len() - 1) + 1, "what is replaced is listed no more");

    store.invalidate_groups(&[Group::of(&key("/"), "7")]);
    assert_eq!((store.len(), store.members.len()), (1, 1));
    store.invalidate(&key("/again"));
    assert_eq!((store.len(), store.members.len()), (0, 0));
}

/// Bytes of this process in memory.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Many small entries, where what they cost besides their bytes counts most.
#[cfg(target_os = "linux")]
#[test]
fn what_is_stored_weighs_what_it_takes() {
    const ENTRIES: u64 = 100_000;
    let line = |name: &'static str, value: &'static str| (name, value);
    let lines = [
        line("server", "nginx/1.26.3"),
        line("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        line("content-type", "application/octet-stream"),
        line("content-length", "256"),
        line("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
        line("etag", "\"6717c3d6-100\""),
        line("cache-control", "public, max-age=86400"),
        line("accept-ranges", "bytes"),
    ];
    let head: u64 = lines.iter().map(|(name, value)| (name.len() + value.len() + 4) as u64).sum();
    let store = Store::new(Memory { total: 1 << 30, object: 1 << 16 });
    let before = resident();
    for nth in 0..ENTRIES {
        let asked = asked(Method::GET, &format!("/entries/{nth:010}"), &[("host", "127.0.0.1:12345")]);
        let ticket = store.ticket(&asked.key);
        let head = crate::tests::head(&asked, &lines, at(0.0));
        let body = vec![Bytes::from(vec![b'x'; 256])];
        assert!(store.put(&ticket, Arc::new(Entry::new(head, body.into(), ticket.fetch()))));
    }
    let (taken, weight) = ((resident() - before) / ENTRIES, store.weight() / ENTRIES);
    // Other tests take memory meanwhile.
    assert!(weight * 100 >= taken * 95, "an entry takes {taken} and weighs {weight}");
    assert!(weight < head + 256 + 300, "an entry of {} bytes weighs {weight}", head + 256);
}

#[test]
fn a_purge_covers_what_is_being_fetched() {
    let prefix = |target: &str| Selector::Prefix(key(target));
    let group = |name: &str| Selector::Group(Group::of(&key("/"), name));
    let check = |selector: Selector, covered: bool| {
        for stale_from in [None, Some(at(1.0))] {
            let store = store();
            let (stored, fetched) = (store.ticket(&key("/a/1")), store.ticket(&key("/a/2")));
            assert!(store.put(&stored, grouped(&stored, "\"g\"")));
            assert_eq!(store.purge(&selector, stale_from), usize::from(covered), "{selector:?}");
            assert_eq!(store.put(&fetched, grouped(&fetched, "\"g\"")), !covered, "{selector:?}");
            let kept = !covered || stale_from.is_some();
            assert_eq!(store.get(&key("/a/1")).is_some(), kept, "{selector:?}");
            let fresh = |entry: &Arc<Entry>| entry.is_fresh(at(1.0));
            let asked = asked(Method::GET, "/a/1", &[]);
            let left = store.get(&key("/a/1"));
            let left = left.as_ref().and_then(|variants| variants.selected_by(&asked));
            assert_eq!(left.is_some_and(fresh), !covered, "{selector:?}");
            assert_eq!(store.members.len(), usize::from(kept) + usize::from(!covered), "{selector:?}");
        }
    };
    check(Selector::All, true);
    check(prefix("/a/"), true);
    check(prefix("/b"), false);
    check(group("g"), true);
    check(group("h"), false);

    let store = store();
    let fetched = store.ticket(&key("/a/1"));
    assert_eq!(store.purge(&Selector::Url(key("/a/1")), None), 0);
    assert!(!store.put(&fetched, entry(&fetched)));
}
