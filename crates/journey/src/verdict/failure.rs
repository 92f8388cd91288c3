//! What failed first, and what failed because of it.
//!
//! A failure goes up from a span to the one that caused it, and explains that one's failure, as long as nobody coped with it: spans
//! within one service pass it on, also where they do not say that they failed; a hop that answers well keeps it to itself, and so does
//! an attempt after which another one did better. Who gives up waiting fails by itself, whatever becomes later of whom it asked.

use crate::id::SpanId;
use crate::span::Kind;
use crate::story::{TOLERATED, has_failed};
use crate::verdict::view::View;

/// A failure and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The failed span that no failed span beneath it explains.
    pub first: SpanId,
    /// Those that failed because of it, in the order of their ends: who asked for it, and further attempts at it.
    pub because: Vec<SpanId>,
    /// The request was answered well in spite of it.
    pub is_coped_with: bool,
}

/// The first failure that reached the answer; if none did, the first of all.
pub(super) fn first(view: &View<'_>) -> Option<Failure> {
    let nodes = &view.story.nodes;
    let failed = |index: usize| nodes[index].span.as_ref().is_some_and(has_failed);
    // Which failure reaches a node from beneath or from itself. Each node comes after its parent.
    let mut reaches: Vec<Option<usize>> = vec![None; nodes.len()];
    for index in (0..nodes.len()).rev() {
        let is_inner = nodes[index].span.as_ref().is_some_and(|span| span.kind == Kind::Internal);
        reaches[index] = match beneath(view, index, &reaches) {
            None => Some(index).filter(|_| failed(index)),
            beneath => beneath.filter(|_| failed(index) || is_inner),
        };
    }
    let reached = view.root.filter(|root| failed(*root)).and_then(|root| reaches[root]);
    let of_all = || {
        let causes = (0..nodes.len()).filter(|index| reaches[*index] == Some(*index));
        causes.min_by_key(|index| key(view, *index))
    };
    let first = reached.or_else(of_all)?;
    let mut because: Vec<usize> = (0..nodes.len())
        .filter(|index| *index != first && failed(*index) && reaches[*index] == Some(first))
        .collect();
    because.extend(attempts_after(view, first, &because));
    because.sort_by_key(|index| key(view, *index));
    because.dedup();
    Some(Failure {
        first: nodes[first].id,
        because: because.into_iter().map(|index| nodes[index].id).collect(),
        is_coped_with: reached.is_none(),
    })
}

/// The failure that the node at `index` gets from beneath: the earliest that one of its children passes on.
fn beneath(view: &View<'_>, index: usize, reaches: &[Option<usize>]) -> Option<usize> {
    let nodes = &view.story.nodes;
    let did_well = |child: usize| nodes[child].span.as_ref().is_some_and(|span| !has_failed(span));
    let number = |child: usize| nodes[child].attempt.map(|(number, _)| number);
    let best = view.children(index).filter(|child| did_well(*child)).filter_map(number).max();
    let is_made_good = |child: usize| number(child).zip(best).is_some_and(|(number, best)| number < best);
    let was_waited_for = |child: usize| match (view.times(child), view.times(index)) {
        (Some((_, end)), Some((_, parent))) => end <= parent.saturating_add(TOLERATED),
        _ => true,
    };
    view.children(index)
        .filter(|child| was_waited_for(*child) && !view.is_left_for_later(*child) && !is_made_good(*child))
        .filter_map(|child| reaches[child])
        .min_by_key(|cause| key(view, *cause))
}

/// The order of failures: by their ends.
fn key(view: &View<'_>, index: usize) -> (u64, u64, SpanId) {
    let (start, end) = view.times(index).unwrap_or_default();
    (end, start, view.story.nodes[index].id)
}

/// Failed attempts that were made because the one failed in which `first` lies, or that `first` is.
fn attempts_after(view: &View<'_>, first: usize, because: &[usize]) -> Vec<usize> {
    let nodes = &view.story.nodes;
    let mut after = Vec::new();
    for index in because.iter().copied().chain([first]) {
        let (Some((number, _)), Some(parent)) = (nodes[index].attempt, nodes[index].parent) else { continue };
        let is_after = |sibling: &usize| {
            let node = &nodes[*sibling];
            node.attempt.is_some_and(|(later, _)| later > number)
                && node.span.as_ref().is_some_and(has_failed)
        };
        after.extend(nodes[parent].children.iter().copied().filter(is_after));
    }
    after
}
