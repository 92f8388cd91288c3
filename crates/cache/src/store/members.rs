//! Which keys hold answers of which group, and which groups were invalidated lately.
//!
//! Promises: a key that holds an answer of a group is always listed under it; a list entry goes with the answers it
//! stands for, however they go. An answer whose fetch began before its group was invalidated is never listed, and so
//! never stored. Its memory is bounded: lists by the entries, which weigh [`MEMBER`](crate::groups::MEMBER) more for
//! each group, and invalidations by [`RECENT`].
//! Refuses: taking any other lock while it holds its own.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{groups::Group, key::Key};

/// Groups whose last invalidation is remembered. Of more, the oldest are forgotten, and answers of any group whose
/// fetch began before those are refused.
const RECENT: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Members {
    /// Counts invalidations of groups.
    invalidations: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Each with how many values of the store stand for it: for a moment, the old and the new one.
    keys: HashMap<Group, HashMap<Key, usize>>,
    /// The number of each group's last invalidation.
    last: HashMap<Group, u64>,
    /// The same, by number.
    order: BTreeMap<u64, Group>,
    /// The highest number that is remembered no more.
    forgotten: u64,
}

/// A key's place under its groups, given up when dropped.
#[derive(Debug)]
pub(crate) struct Listed {
    members: Arc<Members>,
    key: Key,
    groups: Box<[Group]>,
}

impl Members {
    /// How many invalidations there were by now: what a fetch that begins now has to be compared with.
    pub(super) fn now(&self) -> u64 {
        self.invalidations.load(Ordering::SeqCst)
    }

    /// Whether none of these groups was invalidated since a fetch began.
    pub(super) fn are_current(&self, groups: &[Group], begun: u64) -> bool {
        groups.is_empty() || self.state().are_current(groups, begun)
    }

    /// Lists a key under groups; `None`, and nothing listed, if one of `new` was invalidated since the fetch began
    /// that brings them.
    pub(super) fn list(
        self: &Arc<Self>,
        key: &Key,
        groups: Box<[Group]>,
        (new, begun): (&[Group], u64),
    ) -> Option<Listed> {
        let mut state = self.state();
        if !new.is_empty() && !state.are_current(new, begun) {
            return None;
        }
        for group in &groups {
            *state.keys.entry(*group).or_default().entry(key.clone()).or_default() += 1;
        }
        Some(Listed { members: Arc::clone(self), key: key.clone(), groups })
    }

    /// From now on no answer of these groups whose fetch has begun is stored; returns the keys that hold some.
    pub(super) fn invalidate(&self, groups: &[Group]) -> HashSet<Key> {
        let mut state = self.state();
        let mut keys = HashSet::new();
        for group in groups {
            let number = self.invalidations.fetch_add(1, Ordering::SeqCst) + 1;
            state.remember(*group, number);
            keys.extend(state.keys.get(group).into_iter().flat_map(HashMap::keys).cloned());
        }
        keys
    }

    /// Pairs of group and key.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.state().keys.values().map(HashMap::len).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Listed twice or forgotten too early by a panic, a key costs a fetch or a few bytes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn are_current(&self, groups: &[Group], begun: u64) -> bool {
        self.forgotten <= begun
            && groups.iter().all(|group| self.last.get(group).is_none_or(|number| *number <= begun))
    }

    fn remember(&mut self, group: Group, number: u64) {
        if let Some(before) = self.last.insert(group, number) {
            self.order.remove(&before);
        }
        self.order.insert(number, group);
        if self.order.len() > RECENT
            && let Some((number, group)) = self.order.pop_first()
        {
            self.last.remove(&group);
            self.forgotten = number;
        }
    }

    fn leave(&mut self, key: &Key, group: Group) {
        let Some(keys) = self.keys.get_mut(&group) else { return };
        if let Some(count) = keys.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                keys.remove(key);
                shrink(keys);
            }
        }
        if keys.is_empty() {
            self.keys.remove(&group);
            shrink(&mut self.keys);
        }
    }
}

/// A map keeps the room of its largest days unless it is told.
fn shrink<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut state = self.members.state();
        for group in &self.groups {
            state.leave(&self.key, *group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::asked;

    fn key(target: &str) -> Key {
        asked(http::Method::GET, target, &[]).key
    }

    fn group(nth: usize) -> Group {
        Group::of(&key("/"), &nth.to_string())
    }

    #[test]
    fn a_key_is_listed_while_anything_stands_for_it() {
        let members = Arc::new(Members::default());
        let list = |target: &str, nth: usize| {
            members.list(&key(target), Box::new([group(nth)]), (&[], 0)).expect("nothing is new")
        };
        let (old, other) = (list("/a", 1), list("/b", 1));
        let new = list("/a", 1);
        drop(old);
        assert_eq!(members.invalidate(&[group(1), group(2)]), HashSet::from([key("/a"), key("/b")]));
        drop(new);
        assert_eq!(members.invalidate(&[group(1)]), HashSet::from([key("/b")]));
        drop(other);
        assert_eq!(members.len(), 0);
        assert!(members.state().keys.is_empty());
    }

    #[test]
    fn what_began_before_an_invalidation_is_not_current() {
        let members = Members::default();
        let before = members.now();
        members.invalidate(&[group(1)]);
        let check = |groups: &[usize], begun: u64, expected: bool| {
            let groups: Vec<Group> = groups.iter().map(|nth| group(*nth)).collect();
            assert_eq!(members.are_current(&groups, begun), expected, "{groups:?} {begun}");
        };
        check(&[], before, true);
        check(&[1], before, false);
        check(&[2], before, true);
        check(&[2, 1], before, false);
        check(&[1], members.now(), true);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_forgotten_refuses() {
        let members = Members::default();
        members.invalidate(&[group(0)]);
        let begun = members.now();
        for _ in 0..2 * RECENT {
            members.invalidate(&[group(1)]);
        }
        assert!(members.are_current(&[group(2)], begun), "one group invalidated often is one");
        for nth in 0..RECENT {
            members.invalidate(&[group(nth)]);
        }
        assert!(members.are_current(&[group(RECENT)], members.now()));
        members.invalidate(&[group(RECENT + 1)]);
        assert_eq!(members.state().last.len(), RECENT);
        assert_eq!(members.state().order.len(), RECENT);
        assert!(!members.are_current(&[group(2 * RECENT)], begun), "nobody knows any more");
        assert!(members.are_current(&[], begun));
    }
}
