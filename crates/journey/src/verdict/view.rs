//! A story as the verdict sees it: from its root, with what was guessed about calls whose other end was never written.

use crate::id::SpanId;
use crate::story::Story;
use crate::verdict::consumes;

/// A story and its root.
pub(super) struct View<'s> {
    pub(super) story: &'s Story,
    /// The node that the request came in by.
    pub(super) root: Option<usize>,
}

impl<'s> View<'s> {
    pub(super) fn of(story: &'s Story) -> Self {
        Self { story, root: story.root_place() }
    }

    /// When a node's span began and ended, never the other way round; `None` for one that was never written.
    pub(super) fn times(&self, index: usize) -> Option<(u64, u64)> {
        self.story.times(index)
    }

    pub(super) fn duration(&self, index: usize) -> u64 {
        self.times(index).map_or(0, |(start, end)| end - start)
    }

    /// The node that stands for the unwritten other end of the call at `index`, as far as can be told.
    pub(super) fn adopted(&self, index: usize) -> Option<usize> {
        self.story.adopted(index)
    }

    /// Whether what hangs on the unwritten span `id` is known to belong to a call, or ran outside of the request's time.
    pub(super) fn is_placed(&self, id: SpanId) -> bool {
        let Some(index) = self.story.place(id) else { return true };
        let window = self.root.and_then(|root| self.times(root)).unwrap_or_default();
        let begun = self.story.begins(index);
        let is_within = begun.is_some_and(|begun| window.0 <= begun && begun <= window.1);
        !is_within || self.story.caller_of(index).is_some()
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
