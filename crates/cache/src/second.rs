//! The second level: answers in Redis, shared by all caches and kept over their restarts.
//!
//! A request that memory cannot answer *looks* here before it goes to the origin. Where nothing usable is found it
//! takes a [`Lease`] of the key: as long as it has that, its fetch is the only one of all caches, the others wait for what it
//! brings. What it stores in memory is *filled* in here, behind its back. What writes make wrong is dropped here,
//! and every cache *listens* for it and drops it from its own memory.
//!
//! Promises: an old answer never comes back after it was dropped (see [`script`]), not even where Redis evicts, forgets, or
//! is restored from an older state that a cache has seen past; a request is late by Redis by no more than the budget,
//! and once Redis has failed, not at all; what is unreadable is a miss. A cache learns what others dropped within
//! milliseconds while Redis answers it, and as soon as Redis answers it again (a connection that has died
//! without a word is noticed within 1.25 seconds); until then it gives what it has for as long as its lifetime allows, as
//! every HTTP cache does.
//! Refuses: Redis Cluster; answers that could not be kept in memory.

/// Whether Redis is asked at all.
mod breaker;
/// Storing behind the requests' back.
mod fill;
/// The binary form of an answer.
mod form;
/// The right to fetch.
mod lease;
/// Connections, and what is asked over them.
mod link;
/// Hearing what other caches have dropped.
mod listen;
/// Looking for an answer.
mod look;
/// What caches tell each other.
mod message;
/// Spans and metrics.
mod observe;
/// What runs inside Redis.
mod script;
/// Whether Redis is used, and what is still to be dropped there.
mod state;
/// Dropping answers, and telling the others.
mod tell;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify};

use crate::{clock::Clock, groups::Group, key::Key, store::Store};

use fill::Fills;
use link::Links;
use script::Scripts;
use state::State;

pub(crate) use lease::Lease;
pub(crate) use look::{Question, Right, Waiting, Wants};
pub(crate) use message::Message;

/// How Redis is used.
#[derive(Clone)]
pub struct Settings {
    /// Where it is, with what it takes to be let in: `redis://USER:PASSWORD@HOST:PORT/DATABASE`.
    pub url: String,
    /// What all keys begin with: caches of one namespace share their answers.
    pub namespace: String,
    /// How late a request may be because of it.
    pub budget: Duration,
    /// Bytes of the largest body that is kept there.
    pub object: u64,
    /// How long anything is kept there at most.
    pub longest: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Settings").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Second {
    settings: Settings,
    links: Links,
    scripts: Scripts,
    observer: observe::Observer,
    state: Mutex<State>,
    /// Wakes who probes.
    failed: Notify,
    /// The highest number of an invalidation that was seen.
    seen: AtomicU64,
    /// The number up to which others' invalidations have reached memory.
    heard: AtomicU64,
    /// Who this cache is, among those that share Redis.
    who: String,
    leases: AtomicU64,
    fills: Fills,
    memory: Arc<Store>,
    clock: Clock,
    /// What goes on without a request runs here.
    runtime: Handle,
}

impl Second {
    /// Begins to use Redis for what `memory` keeps, whether it is there or not; made after telemetry has started, on
    /// the runtime that background work runs on. The error is what `--redis-url` must be.
    pub fn start(settings: Settings, memory: &Arc<Store>, clock: Clock) -> Result<Arc<Second>, &'static str> {
        let links = Links::new(&settings)?;
        let (fills, queue) = fill::queue();
        let second = Arc::new(Second {
            observer: observe::Observer::new(links.place()),
            links,
            scripts: Scripts::new(),
            state: Mutex::new(State::new()),
            failed: Notify::new(),
            seen: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            who: format!("{:016x}", fastrand::u64(..)),
            leases: AtomicU64::new(0),
            fills,
            memory: Arc::clone(memory),
            clock,
            runtime: Handle::current(),
            settings,
        });
        second.observer.observe(&second);
        tokio::spawn(link::keep(Arc::clone(&second)));
        tokio::spawn(listen::listen(Arc::clone(&second)));
        tokio::spawn(fill::work(Arc::clone(&second), queue));
        Ok(second)
    }

    /// Whether Redis is asked at present.
    pub fn is_used(&self) -> bool {
        self.state().is_used()
    }

    /// The number of the last invalidation, of any cache, that has reached memory; `None` before the first contact.
    pub fn heard(&self) -> Option<u64> {
        Some(self.heard.load(Ordering::SeqCst)).filter(|number| *number > 0)
    }

    /// The key of all about one key.
    fn entry_key(&self, key: &Key) -> String {
        format!("{}:1:e:{}", self.settings.namespace, key.text())
    }

    fn number_key(&self) -> String {
        format!("{}:1:n", self.settings.namespace)
    }

    fn stream_key(&self) -> String {
        format!("{}:1:i", self.settings.namespace)
    }

    /// What groups' keys begin with.
    fn group_keys(&self) -> String {
        format!("{}:1:g:", self.settings.namespace)
    }

    /// The groups of an answer, that of everything first.
    fn groups(groups: &[Group]) -> impl Iterator<Item = String> {
        std::iter::once("all".to_owned()).chain(groups.iter().map(|group| group.hex()))
    }

    fn saw(&self, number: u64) {
        self.seen.fetch_max(number, Ordering::SeqCst);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single step, so that the state is right even if its holder panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
