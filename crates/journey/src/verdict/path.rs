//! The critical path: what a span waited for, walked backwards from its end.
//!
//! At each moment the path is in the child that finished last of those that ran then, and in no child where none ran. So each moment
//! belongs to exactly one node, and the stretches of a span's path add up to its duration. A child that outlives its parent was not
//! waited for to its end: it counts only where no other child ran. Messages that are left for later are not on the path.

use std::cmp::Reverse;

use crate::span::Kind;
use crate::story::TOLERATED;
use crate::verdict::is_lost_attempt;
use crate::verdict::kinds::{self, Spent};
use crate::verdict::view::View;

/// One stretch of a path; nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Whose time it is.
    pub(super) node: usize,
    /// The other node that it has to do with: who was asked.
    pub(super) other: Option<usize>,
    pub(super) spent: Spent,
    from: u64,
    until: u64,
}

impl Stretch {
    /// Nanoseconds.
    pub(super) fn length(&self) -> u64 {
        self.until - self.from
    }
}

/// A node on the path, and the part of its time in which it is.
struct Window {
    node: usize,
    from: u64,
    until: u64,
    /// The failed attempt that it is a part of: whatever was done in it was in vain.
    lost: Option<usize>,
}

/// Its end, its start, and itself: in this order, the last to finish comes first.
type Child = (Reverse<u64>, u64, usize);

/// A node, and what its own time is spent on.
type Whose = (usize, (Spent, Option<usize>));

/// Whose the time in a window is in which no child ran that was waited for.
struct Own {
    lost: Option<usize>,
    alone: Whose,
    /// From then on, the child that outlives its parent.
    outlives: Option<(u64, Whose)>,
}

/// The path of the node at `index` over its whole time, in no particular order.
pub(super) fn of(view: &View<'_>, index: usize) -> Vec<Stretch> {
    let Some((from, until)) = view.times(index) else { return Vec::new() };
    let mut path = Path { view, stretches: Vec::new() };
    let mut to_walk = vec![Window { node: index, from, until, lost: None }];
    while let Some(window) = to_walk.pop() {
        path.walk(&window, &mut to_walk);
    }
    path.stretches
}

/// The time that the message of the consumer at `index` was on its way.
pub(super) fn task_queue(view: &View<'_>, index: usize) -> Option<Stretch> {
    let producer = view.story.nodes[index].parent?;
    let ((_, left), (taken, _)) = (view.times(producer)?, view.times(index)?);
    let from = left.min(taken);
    let stretch = Stretch { node: index, other: None, spent: Spent::TaskQueue, from, until: taken };
    Some(stretch).filter(|stretch| stretch.length() > 0)
}

struct Path<'v, 's> {
    view: &'v View<'s>,
    stretches: Vec<Stretch>,
}

impl Path<'_, '_> {
    fn walk(&mut self, window: &Window, to_walk: &mut Vec<Window>) {
        let nodes = &self.view.story.nodes;
        let (waited_for, outlives) = self.children(window);
        let own = Own {
            lost: window.lost,
            alone: (window.node, kinds::of(self.view, window.node)),
            outlives: outlives.map(|(start, child)| (start, (child, kinds::of(self.view, child)))),
        };
        let mut cursor = window.until;
        let mut later_attempt = false;
        for (Reverse(end), start, child) in waited_for {
            if cursor == window.from {
                break;
            }
            if start >= cursor {
                continue;
            }
            let (start, end) = (start.max(window.from), end.min(cursor));
            let lost = window.lost.or(Some(child).filter(|child| is_lost_attempt(&nodes[*child])));
            // The pause before the next attempt is a part of what the lost one cost.
            let pause = lost.filter(|_| later_attempt);
            self.own(&own, pause, end, cursor);
            to_walk.push(Window { node: child, from: start, until: end, lost });
            later_attempt = nodes[child].attempt.is_some_and(|(number, _)| number > 1);
            cursor = start;
        }
        self.own(&own, None, window.from, cursor);
    }

    /// The children that ran within `window`, the last to finish first, and the earliest of those that outlive their parent.
    fn children(&self, window: &Window) -> (Vec<Child>, Option<(u64, usize)>) {
        let nodes = &self.view.story.nodes;
        let is_client = nodes[window.node].span.as_ref().is_some_and(|span| span.kind == Kind::Client);
        let ends = self.view.times(window.node).map_or(window.until, |(_, end)| end);
        let (mut waited_for, mut outlives) = (Vec::new(), None);
        for child in self.view.children(window.node) {
            let Some((start, end)) = self.view.times(child) else { continue };
            let is_within = start < window.until && end > window.from && start < end;
            if !is_within || self.view.is_left_for_later(child) {
                continue;
            }
            // Who gives up waiting for a server has waited for it until then.
            if is_client || end <= ends.saturating_add(TOLERATED) {
                waited_for.push((Reverse(end), start, child));
            } else if outlives.is_none_or(|earliest| (start, child) < earliest) {
                outlives = Some((start, child));
            }
        }
        waited_for.sort_unstable();
        (waited_for, outlives)
    }

    /// Time in which no child ran that was waited for.
    fn own(&mut self, own: &Own, pause: Option<usize>, from: u64, until: u64) {
        if let Some(lost) = own.lost.or(pause) {
            return self.stretch((lost, (Spent::Retry, None)), from, until);
        }
        let alone_until = own.outlives.map_or(until, |(start, _)| start.clamp(from, until));
        self.stretch(own.alone, from, alone_until);
        if let Some((_, child)) = own.outlives {
            self.stretch(child, alone_until, until);
        }
    }

    fn stretch(&mut self, (node, (spent, other)): Whose, from: u64, until: u64) {
        if from < until {
            self.stretches.push(Stretch { node, other, spent, from, until });
        }
    }
}
