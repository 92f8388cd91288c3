//! The entries of this process, bounded in bytes, and the flights under way.
//!
//! Promises: what is kept never weighs more than `--memory-bytes`, headers, overhead and bodies still arriving
//! included; an answer fetched before an invalidation is never stored after it.
//! Refuses: I/O, and waiting: every call is short and holds a lock for no longer than a look-up.

/// Which keys hold answers of which group.
mod members;
/// Memory for bodies that are still arriving.
mod room;
/// Keys that are being fetched.
mod stripe;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync};

use crate::{
    asked::Asked,
    entry::{Entry, Head, Variants},
    flight::Flight,
    groups::Group,
    key::Key,
    purge::Selector,
};

pub(crate) use members::Listed;
use members::Members;
pub(crate) use room::{Reserved, Room};
use stripe::{Begun, Stripe};

/// Locks over keys.
const STRIPES: usize = 256;

/// What a typical entry weighs, for sizing the policy's tables.
const TYPICAL: u64 = 4 << 10;

/// What a key costs besides its text: its place in the store's table and list, and its own counts.
const KEY: usize = 88;

/// How long requests for a key whose answer could not be shared do not wait for each other, and for how many keys
/// that is remembered.
const ALONE: Duration = Duration::from_secs(10);
const ALONE_KEYS: usize = 16 << 10;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Of everything: entries with headers and overhead, and bodies that are still arriving.
    pub total: u64,
    /// Of one answer's body.
    pub object: u64,
}

/// The store of one process; shared by its threads.
#[derive(Debug)]
pub struct Store {
    entries: sync::Cache<Key, Variants, Weigh, DefaultHashBuilder, Evictions>,
    stripes: Box<[Mutex<Stripe>]>,
    members: Arc<Members>,
    /// Keys, by their hash, whose last answer was for one request only, and when that was.
    alone: sync::Cache<u64, SystemTime>,
    room: Arc<Room>,
    object: u64,
    evictions: Evictions,
}

/// Leave to store what one fetch of a key brings; the fetch has ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) key: Key,
    begun: Begun,
    store: Arc<Store>,
}

impl Ticket {
    /// Later fetches of a key have higher ones.
    pub(crate) fn fetch(&self) -> u64 {
        self.begun.fetch
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.store.stripe(&self.key).end(&self.key);
    }
}

/// How a request goes forward.
pub(crate) enum Boarding {
    /// With a fetch of its own, which others may join.
    Lead(Ticket),
    /// With the fetch of another.
    Follow(Arc<Flight>),
    /// Not at all yet: what is stored has changed.
    Again,
}

impl Store {
    /// An empty one. A quarter of the memory is for bodies that are still arriving.
    pub fn new(memory: Memory) -> Arc<Store> {
        let arriving = memory.total / 4;
        let kept = memory.total - arriving;
        let object = memory.object.min(arriving).min(kept / 2);
        // A shard must have room for the largest object, twice over, so that one never empties it.
        let shards = (kept / object.saturating_mul(2).max(1)).clamp(1, 64);
        let shards = 1 << shards.ilog2();
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(kept / TYPICAL).unwrap_or(usize::MAX).max(64))
            .weight_capacity(kept)
            .shards(shards)
            .build()
            .expect("capacity and weight are set");
        let evictions = Evictions::default();
        Arc::new(Store {
            entries: sync::Cache::with_options(
                options,
                Weigh,
                DefaultHashBuilder::default(),
                evictions.clone(),
            ),
            alone: sync::Cache::new(ALONE_KEYS),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            members: Arc::default(),
            room: Room::new(arriving),
            object,
            evictions,
        })
    }

    /// Largest body that is stored.
    pub(crate) fn largest_body(&self) -> u64 {
        self.object
    }

    /// Where arriving bodies take their room.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Bytes of all entries.
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }

    /// Number of keys with entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys dropped for want of room since the start.
    pub fn evicted(&self) -> u64 {
        self.evictions.0.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Variants> {
        self.entries.get(key)
    }

    /// What came for this key could not be shared: the next requests for it need not wait for each other.
    pub(crate) fn remember_alone(&self, key: &Key, now: SystemTime) {
        self.alone.insert(key.digest(), now);
    }

    /// Whether requests for a key are better not made to wait for each other.
    pub(crate) fn is_alone(&self, key: &Key, now: SystemTime) -> bool {
        let since = self.alone.get(&key.digest()).and_then(|since| now.duration_since(since).ok());
        since.is_some_and(|since| since < ALONE)
    }

    /// The flight for a key, if one is under way.
    pub(crate) fn flight(&self, key: &Key) -> Option<Arc<Flight>> {
        self.stripe(key).flight(key, self.members.now()).cloned()
    }

    /// For a fetch that nobody else may join.
    pub(crate) fn ticket(self: &Arc<Self>, key: &Key) -> Ticket {
        let begun = self.stripe(key).begin(key, self.members.now(), None);
        Ticket { key: key.clone(), begun, store: Arc::clone(self) }
    }

    /// Joins the flight for a key or starts it with `flight`; `seen` is what the plan to go forward was made from.
    pub(crate) fn board(
        self: &Arc<Self>,
        key: &Key,
        seen: Option<&Variants>,
        flight: &Arc<Flight>,
    ) -> Boarding {
        let mut stripe = self.stripe(key);
        let groups = self.members.now();
        if let Some(under_way) = stripe.flight(key, groups) {
            return Boarding::Follow(Arc::clone(under_way));
        }
        let unchanged = match (self.entries.peek(key), seen) {
            (None, None) => true,
            (Some(now), Some(seen)) => now.are(seen),
            _ => false,
        };
        if !unchanged {
            return Boarding::Again;
        }
        let begun = stripe.begin(key, groups, Some(flight));
        Boarding::Lead(Ticket { key: key.clone(), begun, store: Arc::clone(self) })
    }

    /// Nobody joins this flight any more.
    pub(crate) fn close(&self, key: &Key, flight: &Arc<Flight>) {
        self.stripe(key).close(key, flight);
    }

    /// Whether its key was not invalidated since the fetch began.
    pub(crate) fn is_current(&self, ticket: &Ticket) -> bool {
        self.stripe(&ticket.key).is_current(&ticket.key, ticket.begun)
    }

    /// Whether an answer with this head would be stored if it were whole by now: neither its key nor a group of it
    /// was invalidated since the fetch began.
    pub(crate) fn admits(&self, ticket: &Ticket, head: &Head) -> bool {
        self.stripe(&ticket.key).is_current(&ticket.key, ticket.begun)
            && self.members.are_current(head.groups(), ticket.begun.groups)
    }

    /// Stores an entry, unless its key or a group of it was invalidated since the fetch began or a later fetch was
    /// quicker; says whether it did.
    pub(crate) fn put(&self, ticket: &Ticket, entry: Arc<Entry>) -> bool {
        let stripe = self.stripe(&ticket.key);
        if !stripe.is_current(&ticket.key, ticket.begun) {
            return false;
        }
        let before = self.entries.peek(&ticket.key);
        if before.as_ref().is_some_and(|before| before.outdates(&entry)) {
            return false;
        }
        let new = Arc::clone(&entry);
        let variants = Variants::with(before.as_ref(), entry);
        let Some(variants) = self.listed(&ticket.key, variants, (new.head.groups(), ticket.begun.groups))
        else {
            return false;
        };
        self.entries.insert(ticket.key.clone(), variants);
        self.alone.remove(&ticket.key.digest());
        true
    }

    /// Drops what a request selects: the origin has answered it otherwise.
    pub(crate) fn supersede(&self, asked: &Asked) {
        let stripe = self.stripe(&asked.key);
        self.change(&stripe, &asked.key, |entry| {
            (!entry.head.is_selected_by(asked)).then(|| Arc::clone(entry))
        });
    }

    /// Drops everything under a key; fetches under way neither store what they bring nor are joined any more.
    pub(crate) fn invalidate(&self, key: &Key) {
        let mut stripe = self.stripe(key);
        stripe.invalidate(key);
        self.entries.remove(key);
    }

    /// Drops every answer of these groups; none that is being fetched now is stored, or joined by those who ask later.
    pub(crate) fn invalidate_groups(&self, groups: &[Group]) {
        for key in self.members.invalidate(groups) {
            let stripe = self.stripe(&key);
            self.change(&stripe, &key, |entry| (!entry.head.is_of(groups)).then(|| Arc::clone(entry)));
        }
    }

    /// Removes what is selected, or makes it stale from `stale_from` on; what is being fetched of it is neither stored
    /// nor joined any more. Says how many answers were stored of it. Looks at every key unless it is told one.
    pub(crate) fn purge(&self, selector: &Selector, stale_from: Option<SystemTime>) -> usize {
        let keys = match selector {
            Selector::Url(key) => {
                self.stripe(key).invalidate(key);
                vec![key.clone()]
            }
            Selector::Group(group) => self.members.invalidate(&[*group]).into_iter().collect(),
            Selector::Prefix(_) | Selector::All => {
                // First, so that nothing is stored behind the eyes that look for what is.
                for stripe in &self.stripes {
                    locked(stripe).invalidate_selected(|key| selector.selects(key));
                }
                self.entries.iter().map(|(key, _)| key).filter(|key| selector.selects(key)).collect()
            }
        };
        let mut count = 0;
        for key in keys {
            let stripe = self.stripe(&key);
            self.change(&stripe, &key, |entry| {
                if matches!(selector, Selector::Group(group) if !entry.head.is_of(&[*group])) {
                    return Some(Arc::clone(entry));
                }
                count += 1;
                stale_from.map(|now| Arc::new(entry.ended(now)))
            });
        }
        count
    }

    /// Changes or drops each of a key's answers; with its stripe locked, so that nothing is stored between looking and
    /// changing.
    fn change(
        &self,
        _stripe: &MutexGuard<'_, Stripe>,
        key: &Key,
        becomes: impl FnMut(&Arc<Entry>) -> Option<Arc<Entry>>,
    ) {
        let Some(before) = self.entries.peek(key) else { return };
        // What is left was listed before and is not new.
        match before.changed(becomes).and_then(|left| self.listed(key, left, (&[], 0))) {
            Some(left) => self.entries.insert(key.clone(), left),
            None => drop(self.entries.remove(key)),
        }
    }

    /// Lists what is to be stored under its groups; `None` if a group of what is `new` was invalidated too lately.
    fn listed(&self, key: &Key, variants: Variants, new: (&[Group], u64)) -> Option<Variants> {
        let groups = variants.groups();
        if groups.is_empty() {
            return Some(variants);
        }
        let listed = self.members.list(key, groups, new)?;
        Some(variants.listed(listed))
    }

    fn stripe(&self, key: &Key) -> MutexGuard<'_, Stripe> {
        locked(&self.stripes[key.digest() as usize % self.stripes.len()])
    }
}

/// Nothing in a stripe is ever half done, so that one whose holder panicked is still right.
fn locked(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, Debug)]
struct Weigh;

impl Weighter<Key, Variants> for Weigh {
    fn weight(&self, key: &Key, variants: &Variants) -> u64 {
        (KEY + key.len() + variants.weight()) as u64
    }
}

/// Counts what is dropped for want of room.
#[derive(Clone, Debug, Default)]
struct Evictions(Arc<AtomicU64>);

impl Lifecycle<Key, Variants> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _key: Key, _variants: Variants) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
