//! One clock for all hosts: what a span's host says about time, moved to where it can have been.
//!
//! A server answers while its client waits. Where the two clocks tell otherwise, the server's is moved, with all that its process
//! did for the request: into the middle of the client's time if it fits there, else to its beginning.

use std::collections::{HashMap, HashSet};

use crate::id::SpanId;
use crate::span::{Kind, Span};
use crate::story::Story;
use crate::verdict::{consumes, has_failed, strays};

/// Nanoseconds: so much later than its parent a span may end, or earlier begin, without a clock being wrong.
pub(super) const TOLERATED: u64 = 1_000_000;

/// A story with corrected times, and guesses about who caused what.
pub(super) struct View<'s> {
    pub(super) story: &'s Story,
    /// The node that the request came in by.
    pub(super) root: Option<usize>,
    times: Vec<Option<(u64, u64)>>,
    /// Calls whose other end was never written → the node that stands for it.
    adopted: HashMap<usize, usize>,
    /// Those nodes.
    placed: HashSet<usize>,
    /// The services whose clocks were moved, in the story's order, and by how much at most, in nanoseconds.
    pub(super) moved: Vec<(String, u64)>,
}

impl<'s> View<'s> {
    pub(super) fn of(story: &'s Story) -> Self {
        let mut view = Self {
            story,
            root: root(story),
            times: Vec::with_capacity(story.nodes.len()),
            adopted: HashMap::new(),
            placed: HashSet::new(),
            moved: vec![],
        };
        let mut shifts: Vec<i128> = Vec::with_capacity(story.nodes.len());
        // Each node comes after its parent.
        for node in &story.nodes {
            let parent = node.parent.and_then(|parent| {
                Some((shifts[parent], view.times[parent]?, story.nodes[parent].span.as_ref()?))
            });
            let shift = match (&node.span, parent) {
                (Some(span), Some((inherited, times, parent))) => {
                    let shift = shift(span, inherited, times, parent);
                    if shift != inherited && shift != 0 {
                        view.tell_moved(span, shift);
                    }
                    shift
                }
                (_, parent) => parent.map_or(0, |(inherited, ..)| inherited),
            };
            shifts.push(shift);
            view.times.push(node.span.as_ref().map(|span| moved(span, shift)));
        }
        view.adopted = strays::adopt(&view);
        view.placed = view.adopted.values().copied().collect();
        view
    }

    fn tell_moved(&mut self, span: &Span, shift: i128) {
        let by = u64::try_from(shift.unsigned_abs()).unwrap_or(u64::MAX);
        match self.moved.iter_mut().find(|(service, _)| *service == span.service) {
            Some((_, most)) => *most = by.max(*most),
            None => self.moved.push((span.service.clone(), by)),
        }
    }

    /// When a node's span began and ended, never the other way round; `None` for one that was never written.
    pub(super) fn times(&self, index: usize) -> Option<(u64, u64)> {
        self.times[index]
    }

    pub(super) fn duration(&self, index: usize) -> u64 {
        self.times(index).map_or(0, |(start, end)| end - start)
    }

    /// The node that stands for the unwritten other end of the call at `index`, as far as can be told.
    pub(super) fn adopted(&self, index: usize) -> Option<usize> {
        self.adopted.get(&index).copied()
    }

    /// Whether what hangs on the unwritten span `id` is known to belong to a call, or ran outside of the request's time.
    pub(super) fn is_placed(&self, id: SpanId) -> bool {
        let Some(index) = self.story.place(id) else { return true };
        let window = self.root.and_then(|root| self.times(root)).unwrap_or_default();
        let begun = strays::begins(self, &self.story.nodes[index]);
        let is_within = begun.is_some_and(|begun| window.0 <= begun && begun <= window.1);
        !is_within || self.placed.contains(&index)
    }

    /// What the node at `index` caused, what its unwritten other end caused included.
    pub(super) fn children(&self, index: usize) -> impl Iterator<Item = usize> {
        let nodes = &self.story.nodes;
        let of_adopted = self.adopted(index).into_iter().flat_map(|adopted| &nodes[adopted].children);
        nodes[index].children.iter().chain(of_adopted).copied()
    }

    /// Whether the node at `index` acts on a message, and nobody waited for that.
    pub(super) fn is_left_for_later(&self, index: usize) -> bool {
        let node = &self.story.nodes[index];
        let parent = node.parent.and_then(|parent| self.times(parent));
        let waited_for = parent.zip(self.times(index)).filter(|((_, waited), (_, end))| end <= waited);
        consumes(node) && waited_for.is_none()
    }
}

/// The first span without a parent, else the first of all.
fn root(story: &Story) -> Option<usize> {
    let nodes = &story.nodes;
    let is_top = |index: &usize| nodes[*index].parent.is_none() && nodes[*index].span.is_some();
    let first = || (0..nodes.len()).find(|index| nodes[*index].span.is_some());
    (0..nodes.len()).find(is_top).or_else(first)
}

/// By how many nanoseconds the clock of `span` is to be moved, if that of its parent was moved by `inherited`.
fn shift(span: &Span, inherited: i128, (from, until): (u64, u64), parent: &Span) -> i128 {
    let is_other_host = (&span.service, &span.instance) != (&parent.service, &parent.instance);
    if !is_other_host || !span.enters() {
        return inherited;
    }
    let gave_up = has_failed(parent);
    let fits = |shift: i128| {
        let (start, end) = moved(span, shift);
        let in_time = span.kind == Kind::Consumer || gave_up || end <= until.saturating_add(TOLERATED);
        start.saturating_add(TOLERATED) >= from && in_time
    };
    if let Some(shift) = [inherited, 0].into_iter().find(|shift| fits(*shift)) {
        return shift;
    }
    let room = (until - from).saturating_sub(span.duration());
    let start = match span.kind {
        Kind::Consumer => until,
        _ => from + room / 2,
    };
    i128::from(start) - i128::from(span.start)
}

fn moved(span: &Span, shift: i128) -> (u64, u64) {
    let at = |time: u64| u64::try_from((i128::from(time) + shift).max(0)).unwrap_or(u64::MAX);
    let start = at(span.start);
    (start, at(span.end).max(start))
}
