//! What is known of each trace, in bounded memory: beyond it, the one that nothing has been added to for longest goes.

use std::collections::{BTreeMap, HashMap};

use crate::id::TraceId;

/// The traces that are still open, with what is known of each.
#[derive(Debug)]
pub(crate) struct Lru<T> {
    open: HashMap<TraceId, Entry<T>>,
    /// Each open trace once, by when something was last added to it.
    order: BTreeMap<u64, TraceId>,
    /// How often something was added.
    clock: u64,
    bytes: usize,
    most: usize,
    of_trace: usize,
}

#[derive(Debug)]
struct Entry<T> {
    known: T,
    bytes: usize,
    stamp: u64,
}

impl<T: Default> Lru<T> {
    /// Holds about `most` bytes; a trace takes `of_trace` of them beside what is in it.
    pub(crate) fn new(most: usize, of_trace: usize) -> Self {
        Self { open: HashMap::new(), order: BTreeMap::new(), clock: 0, bytes: 0, most, of_trace }
    }

    /// Adds to `trace` what `add` adds, which says how many bytes that takes; [`overflow`](Self::overflow) must be asked then.
    pub(crate) fn change(&mut self, trace: TraceId, add: impl FnOnce(&mut T) -> usize) {
        let Self { open, order, clock, bytes, of_trace, .. } = self;
        *clock += 1;
        let entry = open.entry(trace).or_insert_with(|| {
            *bytes += *of_trace;
            Entry { known: T::default(), bytes: *of_trace, stamp: *clock }
        });
        order.remove(&entry.stamp);
        entry.stamp = *clock;
        order.insert(*clock, trace);
        let added = add(&mut entry.known);
        entry.bytes += added;
        *bytes += added;
    }

    /// What must go for the rest to fit; `None` when it does.
    pub(crate) fn overflow(&mut self) -> Option<T> {
        if self.bytes > self.most { self.pop() } else { None }
    }

    /// The one that nothing has been added to for longest.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let (_, trace) = self.order.pop_first()?;
        let entry = self.open.remove(&trace)?;
        self.bytes -= entry.bytes;
        Some(entry.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes out of traces that are added to in this order, each addition a byte and each trace another, in `most` bytes.
    fn gone(touched: &[u64], most: usize) -> Vec<Vec<u64>> {
        let mut lru = Lru::<Vec<u64>>::new(most, 1);
        let mut gone = Vec::new();
        for trace in touched {
            let id = TraceId::read(&format!("{trace:032x}")).unwrap();
            lru.change(id, |known| {
                known.push(*trace);
                1
            });
            gone.extend(std::iter::from_fn(|| lru.overflow()));
        }
        gone
    }

    #[test]
    fn the_one_that_was_added_to_longest_ago_goes_first_however_much_is_in_it() {
        for (touched, most, expected) in [
            // Of three whole ones and one that has just begun, the oldest goes.
            (vec![1, 1, 2, 2, 3, 3, 4], 9, vec![vec![1, 1]]),
            (vec![1, 2, 2, 1, 3, 3, 4], 9, vec![vec![2, 2]]),
            (vec![1, 2, 1, 3], 6, vec![vec![2]]),
            (vec![1, 1, 1, 1], 3, vec![vec![1, 1, 1]]),
            (vec![1, 2, 3], 6, vec![]),
        ] {
            assert_eq!(gone(&touched, most), expected, "{touched:?}");
        }
    }
}
