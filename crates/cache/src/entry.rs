//! Stored answers: an entry, and the variants that are stored under one key.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use telemetry::SpanContext;

use crate::{
    asked::Asked,
    freshness::Freshness,
    groups::{Group, MEMBER},
    store::Listed,
    storing::{Storable, has_validator},
    vary::Selection,
};

/// Most variants of one key; a further one pushes the oldest out.
const VARIANTS: usize = 32;

/// What a field costs besides its value: its slot in the map and two allocations.
const FIELD: usize = 160;

/// What a piece of a body costs besides its bytes.
pub(crate) const PIECE: usize = 96;

/// Small pieces of a body are joined up to this size.
const SEGMENT: usize = 64 << 10;

/// What an entry costs besides what it holds: its own structures, its place in the list and in the store.
const ENTRY: usize = size_of::<Entry>() + size_of::<Head>() + 256;

/// The head of a stored answer, or of one that is being stored.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// As they are stored: without those of one hop or one exchange, with `Date`.
    pub(crate) fields: HeaderMap,
    pub(crate) freshness: Freshness,
    selection: Selection,
    for_authorized: bool,
    /// Each once.
    pub(crate) groups: Box<[Group]>,
    /// The SERVER span of the request whose fetch brought it.
    pub(crate) filled_by: SpanContext,
}

impl Head {
    pub(crate) fn new(
        status: StatusCode,
        fields: HeaderMap,
        storable: Storable,
        filled_by: SpanContext,
    ) -> Head {
        let Storable { freshness, selection, for_authorized, groups } = storable;
        Head { status, fields, freshness, selection, for_authorized, groups, filled_by }
    }

    /// This one with fields that a 304 has confirmed and that are not to be stored any more: for one answer only.
    pub(crate) fn confirmed(&self, fields: HeaderMap, received: SystemTime) -> Head {
        let freshness = Freshness { received, initial_age: Duration::ZERO, ..self.freshness };
        self.with(fields, freshness)
    }

    /// This one, stale from `now` on.
    fn ended(&self, now: SystemTime) -> Head {
        self.with(self.fields.clone(), self.freshness.ended(now))
    }

    fn with(&self, fields: HeaderMap, freshness: Freshness) -> Head {
        Head {
            fields,
            freshness,
            filled_by: self.filled_by.clone(),
            selection: self.selection.clone(),
            groups: self.groups.clone(),
            ..*self
        }
    }

    /// Whether the origin can be asked to confirm it.
    pub(crate) fn has_validator(&self) -> bool {
        has_validator(&self.fields)
    }

    /// The request fields that selected it.
    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Whether it belongs to any of these groups.
    pub(crate) fn is_of(&self, groups: &[Group]) -> bool {
        self.groups.iter().any(|group| groups.contains(group))
    }

    /// Whether a request selects it under `Vary`.
    pub(crate) fn is_selected_by(&self, asked: &Asked) -> bool {
        self.selection.matches(&asked.fields)
    }

    /// Whether its kind of request may have it at all: one with `Authorization` only what is meant for everybody, so
    /// that no user is ever given an answer that was made for another (RFC 9111 §3.5).
    pub(crate) fn is_allowed_for(&self, asked: &Asked) -> bool {
        !asked.authorized || self.for_authorized
    }

    fn weight(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD);
        self.selection.weight() + fields.sum::<usize>() + self.groups.len() * MEMBER
    }
}

/// A stored answer. Never changes: an update is a new entry with the same body.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) head: Arc<Head>,
    pub(crate) body: Arc<[Bytes]>,
    /// Bytes of the body.
    pub(crate) length: u64,
    /// Numbers the fetches of a key: of two, the one that began later has the newer answer.
    fetch: u64,
    weight: usize,
}

impl Entry {
    pub(crate) fn new(head: Arc<Head>, body: Arc<[Bytes]>, fetch: u64) -> Entry {
        let length = body.iter().map(Bytes::len).sum::<usize>();
        let weight = ENTRY + head.weight() + length + body.len() * PIECE;
        Entry { head, body, length: length as u64, fetch, weight }
    }

    /// This one's body under a confirmed head.
    pub(crate) fn with_head(&self, head: Head, fetch: u64) -> Entry {
        Entry::new(Arc::new(head), Arc::clone(&self.body), fetch)
    }

    /// This one, stale from `now` on.
    pub(crate) fn ended(&self, now: SystemTime) -> Entry {
        self.with_head(self.head.ended(now), self.fetch)
    }

    /// Whether the origin made the other one later. Of one whose age is not known nothing is said.
    pub(crate) fn is_older_than(&self, other: &Entry, now: SystemTime) -> bool {
        self.head.freshness.age(now) > other.head.freshness.age(now)
    }

    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        self.head.freshness.is_fresh(now)
    }
}

/// All entries of one key, newest first. Never changes.
#[derive(Debug)]
pub(crate) struct Variants {
    entries: Box<[Arc<Entry>]>,
    weight: usize,
    /// Their place under their groups, for as long as they are stored.
    _listed: Option<Listed>,
}

impl Variants {
    fn new(entries: Vec<Arc<Entry>>) -> Variants {
        let weight = size_of::<Variants>() + entries.iter().map(|entry| entry.weight).sum::<usize>();
        Variants { entries: entries.into_boxed_slice(), weight, _listed: None }
    }

    /// The same, listed.
    pub(crate) fn listed(self, listed: Listed) -> Variants {
        Variants { _listed: Some(listed), ..self }
    }

    /// The groups of all of them, each once.
    pub(crate) fn groups(&self) -> Box<[Group]> {
        let mut groups: Vec<Group> =
            self.entries.iter().flat_map(|entry| entry.head.groups.to_vec()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.into()
    }

    /// Whether the variant that an entry would take the place of is of a later fetch.
    pub(crate) fn outdates(&self, entry: &Entry) -> bool {
        let same = |other: &&Arc<Entry>| other.head.selection == entry.head.selection;
        self.entries.iter().find(same).is_some_and(|other| other.fetch > entry.fetch)
    }

    /// Those of `before` with `entry` in place of the one with its selection.
    pub(crate) fn with(before: Option<&Variants>, entry: Arc<Entry>) -> Variants {
        let others = before.into_iter().flat_map(|variants| variants.entries.iter());
        let others = others.filter(|other| other.head.selection != entry.head.selection).cloned();
        let others: Vec<Arc<Entry>> = others.take(VARIANTS - 1).collect();
        Variants::new([vec![entry], others].concat())
    }

    /// What becomes of each, in order; `None` where none is left.
    pub(crate) fn changed(&self, becomes: impl FnMut(&Arc<Entry>) -> Option<Arc<Entry>>) -> Option<Variants> {
        let kept: Vec<Arc<Entry>> = self.entries.iter().filter_map(becomes).collect();
        (!kept.is_empty()).then(|| Variants::new(kept))
    }

    /// The newest that a request selects (RFC 9111 §4.1).
    pub(crate) fn selected_by(&self, asked: &Asked) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.head.is_selected_by(asked))
    }

    /// Bytes held, with headers and overhead.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }
}

/// Joins small pieces, so that a stored body costs little more than its bytes.
pub(crate) fn gathered(chunks: Vec<Bytes>) -> Arc<[Bytes]> {
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
