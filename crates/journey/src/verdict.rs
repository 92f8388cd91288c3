//! The verdict: the short answer that a waterfall still leaves to its reader.
//!
//! Where the time of the request went, by service and by kind along its critical path, in whole per cent that add up to 100; what
//! failed first and what failed because of it; what was left for later; how sure all of that is. Pure, without recursion, the
//! same for any order of what was read. It judges one trace: what was done again under traces of its own is judged there.

use crate::baseline::Usual;
use crate::id::SpanId;
use crate::span::Kind;
use crate::story::{Node, Story, has_failed};

/// How sure a verdict is.
mod certainty;
/// What failed first.
mod failure;
/// What a stretch of time was spent on.
mod kinds;
/// The critical path.
mod path;
/// Stretches of time → shares in per cent.
mod shares;
/// A story as the verdict sees it.
mod view;

pub use certainty::{Doubt, Sure};
pub use failure::Failure;
pub use kinds::Spent;
pub(crate) use kinds::{of_span, told};
pub use shares::Share;

use view::View;

/// The short answer about one trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How long the request took, in nanoseconds: its root span, which ends with the answer. `None`: no span was written.
    pub took: Option<u64>,
    /// Whether its answer is a failure.
    pub has_failed: bool,
    /// Where that time went, the most first; the per cent add up to 100. Empty if it took no time.
    pub shares: Vec<Share>,
    /// What failed, if anything did.
    pub failure: Option<Failure>,
    /// What the request left to others to do, in the order of its beginning: time after the answer is not time of the answer.
    pub later: Vec<Later>,
    /// The request beside the others of its route, if the story was compared with them.
    pub usual: Option<Usual>,
    /// How sure it is.
    pub sure: Sure,
    /// Why it is not surer.
    pub doubts: Vec<Doubt>,
}

/// One piece of work that the request left for later.
#[derive(Debug, Clone, PartialEq)]
pub struct Later {
    /// Its span.
    pub span: SpanId,
    /// Whose it is.
    pub service: String,
    /// What it did.
    pub name: String,
    /// Whether it failed.
    pub has_failed: bool,
    /// From the message's leaving until it was done, in nanoseconds.
    pub took: u64,
    /// Where that time went; as those of the request.
    pub shares: Vec<Share>,
}

impl Verdict {
    /// Judges `story`.
    pub fn of(story: &Story) -> Self {
        let view = View::of(story);
        let root = view.root;
        let shares = root.map(|root| shares::of(&view, &path::of(&view, root))).unwrap_or_default();
        let doubts = certainty::doubts(&view, &shares);
        Self {
            took: root.map(|root| view.duration(root)),
            has_failed: root.and_then(|root| story.nodes[root].span.as_ref()).is_some_and(has_failed),
            failure: failure::first(&view),
            later: later(&view),
            usual: story.usual.clone(),
            sure: certainty::of(&doubts),
            doubts,
            shares,
        }
    }
}

/// What consumers did with the messages that were left for them.
fn later(view: &View<'_>) -> Vec<Later> {
    let nodes = &view.story.nodes;
    let is_later = |index: &usize| view.root != Some(*index) && view.is_left_for_later(*index);
    let mut later: Vec<(u64, Later)> = (0..nodes.len())
        .filter(is_later)
        .filter_map(|index| {
            let span = nodes[index].span.as_ref()?;
            let mut stretches = path::of(view, index);
            stretches.extend(path::task_queue(view, index));
            let told = Later {
                span: span.id,
                service: span.service.clone(),
                name: span.name.clone(),
                has_failed: has_failed(span),
                took: stretches.iter().map(path::Stretch::length).sum(),
                shares: shares::of(view, &stretches),
            };
            Some((view.times(index)?.0, told))
        })
        .collect();
    later.sort_by_key(|(start, later)| (*start, later.span));
    later.into_iter().map(|(_, later)| later).collect()
}

/// An attempt that was not enough: another one was made after it.
fn is_lost_attempt(node: &Node) -> bool {
    node.attempt.is_some_and(|(number, of)| number < of) && node.span.as_ref().is_some_and(has_failed)
}

/// Whether a span acts on a message.
fn consumes(node: &Node) -> bool {
    node.span.as_ref().is_some_and(|span| span.kind == Kind::Consumer)
}
