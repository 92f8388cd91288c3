//! Generated histories of two caches over one Redis, whose requests overlap, against a model of what may be answered.
//!
//! Requests come in bursts. Whatever a burst's writes change, no answer of a later burst may be older than that,
//! whichever cache gives it and wherever it was stored, once that cache has heard of the writes.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use proptest::prelude::*;
use tests::Redis;

use crate::harness::{Origin, Reply, Running, Seen, reply};

/// Of these, the first two are of one group.
const PAGES: [&str; 3] = ["/a", "/b", "/c"];

#[derive(Clone, Debug)]
enum Act {
    Get {
        cache: usize,
        page: usize,
    },
    /// Changes a page.
    Write {
        cache: usize,
        page: usize,
    },
    /// Changes the pages of the group.
    WriteGroup {
        cache: usize,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..2usize, 0..PAGES.len()).prop_map(|(cache, page)| Act::Get { cache, page }),
        1 => (0..2usize, 0..PAGES.len()).prop_map(|(cache, page)| Act::Write { cache, page }),
        1 => (0..2usize).prop_map(|cache| Act::WriteGroup { cache }),
    ]
}

type Versions = Arc<Mutex<[u64; PAGES.len()]>>;

fn answer(versions: &Versions, seen: &Seen) -> Reply {
    let mut versions = versions.lock().expect("not poisoned");
    let nth = PAGES.iter().position(|page| *page == seen.target);
    match (seen.method.as_str(), nth) {
        ("GET", Some(nth)) => {
            let groups = if nth < 2 { "\"g\"" } else { "" };
            reply(
                200,
                &[("cache-control", "max-age=600"), ("cache-groups", groups)],
                versions[nth].to_string(),
            )
        }
        (_, Some(nth)) => {
            versions[nth] += 1;
            reply(204, &[], "")
        }
        (_, None) => {
            versions[0] += 1;
            versions[1] += 1;
            reply(204, &[("cache-group-invalidation", "\"g\"")], "")
        }
    }
}

async fn live(redis: &Redis, history: Vec<Vec<Act>>, given: &AtomicUsize) {
    let versions = Versions::default();
    let own = versions.clone();
    let origin = Origin::start(move |seen| answer(&own, seen)).await;
    // No other history meets this one's keys.
    static HISTORIES: AtomicU64 = AtomicU64::new(0);
    let namespace = format!("history-{}", HISTORIES.fetch_add(1, Ordering::Relaxed));
    let one = Running::sharing_in(&namespace, &origin, redis).await;
    let other = Running::sharing_in(&namespace, &origin, redis).await;
    let caches = [one, other];
    for cache in &caches {
        cache.uses_redis().await;
        cache.hears(redis, &namespace).await;
    }
    for burst in history {
        let at_least = *versions.lock().expect("not poisoned");
        let requests = burst.into_iter().map(async |act| match act {
            Act::Get { cache, page } => {
                let got = caches[cache].get(PAGES[page]).await;
                let version: u64 = got.text().parse().expect("a version");
                assert!(version >= at_least[page], "{at_least:?}: {got:?}");
                given.fetch_add(usize::from(got.member().contains("second-level")), Ordering::Relaxed);
            }
            Act::Write { cache, page } => drop(caches[cache].ask("PUT", PAGES[page], &[]).await),
            Act::WriteGroup { cache } => drop(caches[cache].ask("POST", "/group", &[]).await),
        });
        join_all(requests).await;
        for cache in &caches {
            cache.hears(redis, &namespace).await;
        }
    }
}

#[test]
fn no_shared_history_leads_to_a_wrong_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let redis = runtime.block_on(Redis::start());
    let given = AtomicUsize::new(0);
    let bursts = prop::collection::vec(prop::collection::vec(act(), 1..6), 1..12);
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(history in bursts)| {
        runtime.block_on(async {
            let whole = live(&redis, history, &given);
            tokio::time::timeout(Duration::from_secs(60), whole).await.expect("a history ends");
        });
    });
    // Without these the histories say nothing of it.
    assert!(given.load(Ordering::Relaxed) > 20, "{given:?} answers came from Redis");
}
