//! The keys that are being fetched right now: how many fetches of each are out, which of them others may join, and
//! whether what they bring may still be stored.
//!
//! Promises: a key costs something only while a ticket for it is out; keys that share a stripe share a lock and nothing
//! else. Refuses: locking, which is [`super::Store`]'s.

use std::{collections::HashMap, sync::Arc};

use crate::{flight::Flight, key::Key};

#[derive(Debug, Default)]
pub(super) struct Stripe {
    /// Counts fetches.
    fetches: u64,
    pub(super) under_way: HashMap<Key, UnderWay>,
}

/// The fetches of one key.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// Tickets that are out.
    tickets: usize,
    /// Counts invalidations since the first of these tickets.
    generation: u64,
    /// The fetch that others may join.
    flight: Option<(Arc<Flight>, u64)>,
}

/// One fetch of a key: its number, and what was known of invalidations when it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) fetch: u64,
    /// Of the key.
    generation: u64,
    /// Of groups, which ones its answer belongs to being unknown.
    pub(super) groups: u64,
}

impl UnderWay {
    fn invalidate(&mut self) {
        self.generation += 1;
        self.flight = None;
    }
}

impl Stripe {
    /// A fetch begins, after this many invalidations of groups; [`Stripe::end`] is owed for it. A flight takes the
    /// place of one that nobody joins any more.
    pub(super) fn begin(&mut self, key: &Key, groups: u64, flight: Option<&Arc<Flight>>) -> Begun {
        self.fetches += 1;
        let under_way = self.under_way.entry(key.clone()).or_default();
        under_way.tickets += 1;
        if let Some(flight) = flight {
            under_way.flight = Some((Arc::clone(flight), groups));
        }
        Begun { fetch: self.fetches, generation: under_way.generation, groups }
    }

    /// A fetch has ended, or will store nothing more.
    pub(super) fn end(&mut self, key: &Key) {
        if let Some(under_way) = self.under_way.get_mut(key) {
            under_way.tickets -= 1;
            if under_way.tickets == 0 {
                self.under_way.remove(key);
            }
        }
    }

    /// The fetch that others may join: none from before an invalidation of groups, since its answer may turn out to
    /// be of one of them.
    pub(super) fn flight(&self, key: &Key, groups: u64) -> Option<&Arc<Flight>> {
        let (flight, begun) = self.under_way.get(key)?.flight.as_ref()?;
        (*begun == groups).then_some(flight)
    }

    /// Nobody joins this flight any more.
    pub(super) fn close(&mut self, key: &Key, flight: &Arc<Flight>) {
        if let Some(under_way) = self.under_way.get_mut(key) {
            under_way.flight.take_if(|(current, _)| Arc::ptr_eq(current, flight));
        }
    }

    /// What is being fetched for a key is neither stored nor joined any more.
    pub(super) fn invalidate(&mut self, key: &Key) {
        if let Some(under_way) = self.under_way.get_mut(key) {
            under_way.invalidate();
        }
    }

    /// [`Stripe::invalidate`] for every key that is selected.
    pub(super) fn invalidate_selected(&mut self, selects: impl Fn(&Key) -> bool) {
        for (_, under_way) in self.under_way.iter_mut().filter(|(key, _)| selects(key)) {
            under_way.invalidate();
        }
    }

    /// Whether the key has not been invalidated since this fetch of it began.
    pub(super) fn is_current(&self, key: &Key, begun: Begun) -> bool {
        self.under_way.get(key).is_some_and(|under_way| under_way.generation == begun.generation)
    }
}
