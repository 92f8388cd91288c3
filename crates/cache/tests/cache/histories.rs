//! Generated histories against a model of what may be answered.
//!
//! Every answer of the origin says which target, host, user and variant it was made for, and its version at that
//! time. Whatever the cache answers must then be one that the origin has given, or would give, for exactly this
//! request: the current one where it may not be stored, and else one that was current no longer ago than its
//! lifetime and not before the last write.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;

use crate::harness::{Got, Origin, Reply, Running, Seen, reply};

/// Seconds.
const LIFETIME: u64 = 10;

/// One step of a history.
#[derive(Clone, Debug)]
enum Act {
    Get {
        page: usize,
        host: usize,
        user: Option<u8>,
        accept: u8,
        fresh: bool,
    },
    Write {
        page: usize,
        host: usize,
    },
    /// The page changes without the cache's knowing.
    Change {
        page: usize,
        host: usize,
    },
    /// Milliseconds.
    Pass(u64),
}

/// Target, what it allows, and whether it varies.
const PAGES: [(&str, &str, bool); 6] = [
    ("/plain", "max-age=10", false),
    ("/vary", "max-age=10", true),
    ("/private", "max-age=10, private", false),
    ("/no-store", "max-age=10 , No-Store", false),
    ("/validated", "no-cache", false),
    ("/public", "public, max-age=10", true),
];

const HOSTS: [&str; 2] = ["one", "two"];

fn act() -> impl Strategy<Value = Act> {
    let place = || (0..PAGES.len(), 0..HOSTS.len());
    prop_oneof![
        6 => (place(), prop_oneof![3 => Just(None), 1 => (0..2u8).prop_map(Some)], 0..2u8, prop::bool::weighted(0.1))
            .prop_map(|((page, host), user, accept, fresh)| Act::Get { page, host, user, accept, fresh }),
        1 => place().prop_map(|(page, host)| Act::Write { page, host }),
        2 => place().prop_map(|(page, host)| Act::Change { page, host }),
        3 => (1..8000u64).prop_map(Act::Pass),
    ]
}

/// The current version of each page on each host.
type Versions = Arc<Mutex<HashMap<(String, String), u64>>>;

fn answer(versions: &Versions, seen: &Seen) -> Reply {
    let page = (seen.field("host").unwrap_or("-").to_owned(), seen.target.clone());
    let mut versions = versions.lock().expect("not poisoned");
    let version = versions.entry(page).or_default();
    if seen.method == http::Method::PUT {
        *version += 1;
        return reply(204, &[], "");
    }
    let (_, control, varies) = PAGES.iter().find(|page| page.0 == seen.target).expect("a known page");
    let tag = format!("\"{version}\"");
    let mut fields = vec![("cache-control", *control), ("etag", &tag)];
    if *varies {
        fields.push(("vary", "accept"));
    }
    if seen.field("if-none-match") == Some(&tag) {
        return reply(304, &fields, "");
    }
    let by = if control.contains("public") { "all" } else { seen.field("authorization").unwrap_or("all") };
    let accept = if *varies { seen.field("accept").unwrap_or("-") } else { "any" };
    let host = seen.field("host").unwrap_or("-");
    reply(200, &fields, format!("{host} {} {by} {accept} {version}", seen.target))
}

/// What the model remembers of a page on a host.
#[derive(Default)]
struct Past {
    /// When each version began and, but for the last, ended, in milliseconds.
    spans: Vec<(u64, Option<u64>)>,
    /// The version that the last write made.
    written: usize,
}

async fn live(history: Vec<Act>) {
    let versions = Versions::default();
    let own = versions.clone();
    let origin = Origin::start(move |seen| answer(&own, seen)).await;
    let cache = Running::start(&origin).await;
    let (mut now, mut past) = (0_u64, HashMap::<(usize, usize), Past>::new());
    // The age of each body when it was first a hit, and when that was.
    let mut ages = HashMap::<String, (u64, u64)>::new();
    for act in history {
        match act {
            Act::Pass(millis) => {
                cache.clock.advance(Duration::from_millis(millis));
                now += millis;
            }
            Act::Change { page, host } => {
                let name = (HOSTS[host].to_owned(), PAGES[page].0.to_owned());
                *versions.lock().expect("not poisoned").entry(name).or_default() += 1;
                past.entry((page, host)).or_default().change(now);
            }
            Act::Write { page, host } => {
                cache.ask("PUT", PAGES[page].0, &[("host", HOSTS[host])]).await;
                let past = past.entry((page, host)).or_default();
                past.change(now);
                past.written = past.spans.len() - 1;
            }
            Act::Get { page, host, user, accept, fresh } => {
                let user = user.map(|user| format!("user-{user}"));
                let accept = format!("type-{accept}");
                let mut fields = vec![("host", HOSTS[host]), ("accept", accept.as_str())];
                fields.extend(user.as_deref().map(|user| ("authorization", user)));
                fields.extend(fresh.then_some(("cache-control", "no-cache")));
                let got = cache.ask("GET", PAGES[page].0, &fields).await;
                let past = past.entry((page, host)).or_default();
                check(&got, PAGES[page], HOSTS[host], user.as_deref(), &accept, fresh, past, now);
                let body = got.text().to_owned();
                if !got.is_hit() {
                    ages.remove(&body);
                    continue;
                }
                let age: u64 = got.field("age").expect("a hit has its age").parse().expect("a number");
                let (before, at) = *ages.entry(body).or_insert((age, now));
                let passed = age * 1000 + 999 - before * 1000;
                assert!(
                    age < LIFETIME && passed >= now - at,
                    "the age went from {before} at {at} to {age} at {now}"
                );
            }
        }
    }
}

impl Past {
    fn change(&mut self, now: u64) {
        if self.spans.is_empty() {
            self.spans.push((0, None));
        }
        self.spans.last_mut().expect("just made sure").1 = Some(now);
        self.spans.push((now, None));
    }
}

#[expect(clippy::too_many_arguments, reason = "everything that a right answer depends on")]
fn check(
    got: &Got,
    (target, control, varies): (&str, &str, bool),
    host: &str,
    user: Option<&str>,
    accept: &str,
    fresh: bool,
    past: &Past,
    now: u64,
) {
    let words: Vec<&str> = got.text().split(' ').collect();
    let by = if control.contains("public") { "all" } else { user.unwrap_or("all") };
    let accept = if varies { accept } else { "any" };
    assert_eq!(words[..4], [host, target, by, accept], "{got:?}");
    let version: usize = words[4].parse().expect("a version");
    let current = past.spans.len().saturating_sub(1);
    let storable = !control.contains("private") && !control.to_lowercase().contains("no-store");
    if fresh || !storable || control == "no-cache" || by != "all" {
        assert_eq!(version, current, "{got:?}");
        assert!(!got.is_hit(), "{got:?}");
    } else if version != current {
        let ended = past.spans[version].1.expect("an earlier version has ended");
        assert!(now - ended < 1000 * LIFETIME, "{version} ended at {ended}, it is {now}: {got:?}");
        assert!(version >= past.written, "older than what was written as {}: {got:?}", past.written);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_leads_to_a_wrong_answer(history in prop::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(live(history));
    }
}
