//! Stored answers: an entry, and the variants that are stored under one key.

/// Fields as they are stored.
mod fields;
/// Their heads.
mod head;

use std::{ops::Deref, slice, sync::Arc, time::SystemTime};

use bytes::{Bytes, BytesMut};

use crate::{asked::Asked, groups::Group, store::Listed};

pub(crate) use head::Head;

/// Most variants of one key; a further one pushes the oldest out.
const VARIANTS: usize = 32;

/// What a piece of a body costs besides its bytes: itself, its count once it is shared, and what the allocator adds.
pub(crate) const PIECE: usize = size_of::<Bytes>() + 48;

/// Small pieces of a body are joined up to this size.
const SEGMENT: usize = 64 << 10;

/// What an entry costs besides what it holds: its own structure and counts, and what the allocator adds.
const ENTRY: usize = size_of::<Entry>() + 24;

/// What counted memory costs besides what it holds: two counts, and what the allocator adds.
const BLOCK: usize = 32;

/// A stored answer. Never changes: an update is a new entry with the same body.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) head: Head,
    pub(crate) body: Pieces,
    /// Numbers the fetches of a key: of two, the one that began later has the newer answer.
    fetch: u64,
}

impl Entry {
    pub(crate) fn new(head: Head, body: Pieces, fetch: u64) -> Entry {
        Entry { head, body, fetch }
    }

    /// This one's body under a confirmed head.
    pub(crate) fn with_head(&self, head: Head, fetch: u64) -> Entry {
        Entry::new(head, self.body.clone(), fetch)
    }

    /// This one, stale from `now` on.
    pub(crate) fn ended(&self, now: SystemTime) -> Entry {
        self.with_head(self.head.ended(now), self.fetch)
    }

    /// Whether the origin made the other one later. Of one whose age is not known nothing is said.
    pub(crate) fn is_older_than(&self, other: &Entry, now: SystemTime) -> bool {
        self.head.freshness().age(now) > other.head.freshness().age(now)
    }

    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        self.head.freshness().is_fresh(now)
    }

    /// Bytes of the body.
    pub(crate) fn length(&self) -> u64 {
        self.body.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Bytes held, with headers and overhead.
    fn weight(&self) -> usize {
        ENTRY + self.head.weight() + self.body.weight()
    }
}

/// A body: a slice of pieces that are not empty. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Pieces {
    /// In one piece, as most are: the entry holds it without a list between.
    One(Bytes),
    Several(Arc<[Bytes]>),
}

impl From<Vec<Bytes>> for Pieces {
    fn from(pieces: Vec<Bytes>) -> Pieces {
        match <[Bytes; 1]>::try_from(pieces) {
            Ok([piece]) => Pieces::One(piece),
            Err(pieces) => Pieces::Several(pieces.into()),
        }
    }
}

impl Pieces {
    /// Bytes held besides its own.
    fn weight(&self) -> usize {
        match self {
            Pieces::One(piece) => piece.len() + PIECE - size_of::<Bytes>(),
            Pieces::Several(pieces) => BLOCK + pieces.iter().map(|piece| piece.len() + PIECE).sum::<usize>(),
        }
    }
}

impl Deref for Pieces {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        match self {
            Pieces::One(piece) => slice::from_ref(piece),
            Pieces::Several(pieces) => pieces,
        }
    }
}

/// All entries of one key, newest first. Never changes; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Variants {
    /// A single one that belongs to no group, as most do: the store's table holds it without a list between.
    One(Arc<Entry>),
    Several(Arc<Several>),
}

/// Several, or one that belongs to groups.
#[derive(Debug)]
pub(crate) struct Several {
    entries: Box<[Arc<Entry>]>,
    /// Their place under their groups, for as long as they are stored.
    _listed: Option<Listed>,
}

impl Variants {
    fn new(entries: Vec<Arc<Entry>>) -> Variants {
        match <[Arc<Entry>; 1]>::try_from(entries) {
            Ok([entry]) => Variants::One(entry),
            Err(entries) => Variants::several(&entries, None),
        }
    }

    fn several(entries: &[Arc<Entry>], listed: Option<Listed>) -> Variants {
        Variants::Several(Arc::new(Several { entries: entries.into(), _listed: listed }))
    }

    /// The same, listed.
    pub(crate) fn listed(self, listed: Listed) -> Variants {
        Variants::several(self.entries(), Some(listed))
    }

    fn entries(&self) -> &[Arc<Entry>] {
        match self {
            Variants::One(entry) => slice::from_ref(entry),
            Variants::Several(several) => &several.entries,
        }
    }

    /// Whether these are not only alike but the same.
    pub(crate) fn are(&self, other: &Variants) -> bool {
        match (self, other) {
            (Variants::One(own), Variants::One(other)) => Arc::ptr_eq(own, other),
            (Variants::Several(own), Variants::Several(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// The groups of all of them, each once.
    pub(crate) fn groups(&self) -> Box<[Group]> {
        let mut groups: Vec<Group> =
            self.entries().iter().flat_map(|entry| entry.head.groups().to_vec()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.into()
    }

    /// Whether the variant that an entry would take the place of is of a later fetch.
    pub(crate) fn outdates(&self, entry: &Entry) -> bool {
        let same = |other: &&Arc<Entry>| other.head.is_selected_as(&entry.head);
        self.entries().iter().find(same).is_some_and(|other| other.fetch > entry.fetch)
    }

    /// Those of `before` with `entry` in place of the one with its selection.
    pub(crate) fn with(before: Option<&Variants>, entry: Arc<Entry>) -> Variants {
        let others = before.into_iter().flat_map(|variants| variants.entries().iter());
        let others = others.filter(|other| !other.head.is_selected_as(&entry.head)).cloned();
        let others: Vec<Arc<Entry>> = others.take(VARIANTS - 1).collect();
        Variants::new([vec![entry], others].concat())
    }

    /// What becomes of each, in order; `None` where none is left.
    pub(crate) fn changed(&self, becomes: impl FnMut(&Arc<Entry>) -> Option<Arc<Entry>>) -> Option<Variants> {
        let kept: Vec<Arc<Entry>> = self.entries().iter().filter_map(becomes).collect();
        (!kept.is_empty()).then(|| Variants::new(kept))
    }

    /// The newest that a request selects (RFC 9111 §4.1).
    pub(crate) fn selected_by(&self, asked: &Asked) -> Option<&Arc<Entry>> {
        self.entries().iter().find(|entry| entry.head.is_selected_by(asked))
    }

    /// Bytes held, with headers and overhead.
    pub(crate) fn weight(&self) -> usize {
        let own = match self {
            Variants::One(_) => 0,
            Variants::Several(several) => size_of::<Several>() + 2 * BLOCK + size_of_val(&*several.entries),
        };
        own + self.entries().iter().map(|entry| entry.weight()).sum::<usize>()
    }
}

/// Joins small pieces, so that a stored body costs little more than its bytes.
pub(crate) fn gathered(chunks: Vec<Bytes>) -> Pieces {
    let mut segments = Vec::new();
    let mut small = BytesMut::new();
    for chunk in chunks {
        if small.len() + chunk.len() > SEGMENT && !small.is_empty() {
            segments.push(Bytes::copy_from_slice(&small));
            small.clear();
        }
        if chunk.len() >= SEGMENT {
            segments.push(chunk);
        } else {
            small.extend_from_slice(&chunk);
        }
    }
    if !small.is_empty() {
        segments.push(Bytes::copy_from_slice(&small));
    }
    segments.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_joined_and_large_ones_kept() {
        let check = |sizes: &[usize], expected: &[usize]| {
            let chunks: Vec<Bytes> =
                sizes.iter().enumerate().map(|(nth, size)| Bytes::from(vec![nth as u8; *size])).collect();
            let gathered = gathered(chunks.clone());
            assert_eq!(gathered.iter().map(Bytes::len).collect::<Vec<_>>(), expected, "{sizes:?}");
            assert_eq!(gathered.concat(), chunks.concat());
        };
        check(&[], &[]);
        check(&[1, 2, 3], &[6]);
        check(&[SEGMENT], &[SEGMENT]);
        check(&[SEGMENT - 1, 2, 3], &[SEGMENT - 1, 5]);
        check(&[1, SEGMENT, 1], &[1, SEGMENT, 1]);
    }
}
