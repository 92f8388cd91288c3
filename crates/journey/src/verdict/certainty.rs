//! How sure a verdict is, and why it is not surer.

use serde::Serialize;

use crate::id::SpanId;
use crate::story::{Clock, Gap};
use crate::verdict::kinds::Spent;
use crate::verdict::shares::Share;
use crate::verdict::view::View;

/// From so many per cent on that nobody accounts for, the rest says little.
const MUCH: u64 = 25;
/// From so many per cent on, a call whose other end tells nothing is what there is to know.
const MOST: u64 = 50;

/// How sure a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sure {
    /// Something that matters was never written.
    Low,
    /// Something had to be guessed.
    Medium,
    /// Everything is there and fits together.
    High,
}

/// A reason to doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The span that the request came in by was never written.
    NoRoot,
    /// A span was never written.
    Missing {
        /// What is known of it.
        gap: Gap,
        /// Whether what hangs on it could be placed, or lies outside of the request's time: else that time is told as another's.
        is_placed: bool,
    },
    /// So many per cent of the time lie in hops whose spans were never written.
    Unaccounted(u64),
    /// So many per cent of the time lie in calls whose other end tells nothing.
    Silent(u64),
    /// A clock was off, and was corrected.
    Clock(Clock),
    /// A span ends before it starts.
    Backwards(SpanId),
    /// Parents ran in a circle, which was cut at this span.
    Circle(SpanId),
    /// So many more spans have no parent: only the first of them is judged.
    Roots(usize),
    /// So many spans were written again with other contents.
    Contradictions(usize),
}

impl Doubt {
    /// How sure one can be at most.
    pub fn leaves(&self) -> Sure {
        match self {
            Self::NoRoot | Self::Missing { is_placed: false, .. } => Sure::Low,
            Self::Unaccounted(percent) if *percent >= MUCH => Sure::Low,
            _ => Sure::Medium,
        }
    }

    /// In words; names from the data are as they are, for whoever prints them to escape.
    pub fn words(&self) -> String {
        match self {
            Self::NoRoot => "the span that the request came in by was never written".to_owned(),
            Self::Missing { gap, .. } => gap.words(),
            Self::Unaccounted(percent) => format!("{percent} % in hops that were never written"),
            Self::Silent(percent) => format!("{percent} % in calls whose other end tells nothing"),
            Self::Clock(clock) => clock.words(),
            Self::Backwards(id) => format!("span {id} ends before it starts"),
            Self::Circle(id) => format!("span {id} is its own ancestor"),
            Self::Roots(count) => format!("spans without a parent besides the first: {count}"),
            Self::Contradictions(count) => {
                format!("spans that were written again with other contents: {count}")
            }
        }
    }
}

/// The least that the doubts leave.
pub(super) fn of(doubts: &[Doubt]) -> Sure {
    doubts.iter().map(Doubt::leaves).min().unwrap_or(Sure::High)
}

/// Every reason to doubt, the gravest first.
pub(super) fn doubts(view: &View<'_>, shares: &[Share]) -> Vec<Doubt> {
    let story = view.story;
    let root = view.root;
    let is_top = |index: usize| story.nodes[index].parent.is_none() && story.nodes[index].span.is_some();
    let mut doubts = Vec::new();
    let gaps = story.gaps();
    let is_whole = root.is_some_and(is_top) || matches!(gaps.first(), Some(Gap::Caller(_)));
    if !is_whole {
        doubts.push(Doubt::NoRoot);
    }
    for gap in gaps {
        match gap {
            Gap::Span { id, .. } => doubts.push(Doubt::Missing { is_placed: view.is_placed(id), gap }),
            Gap::Circle(id) => doubts.push(Doubt::Circle(id)),
            Gap::Caller(_) | Gap::Spans => {}
        }
    }
    let percent =
        |spent: Spent| shares.iter().filter(|share| share.spent == spent).map(|share| share.percent).sum();
    let unaccounted = percent(Spent::Unaccounted);
    doubts.extend(Some(Doubt::Unaccounted(unaccounted)).filter(|_| unaccounted > 0));
    let silent = percent(Spent::Call);
    doubts.extend(Some(Doubt::Silent(silent)).filter(|_| silent >= MOST));
    doubts.extend(view.story.clocks.iter().cloned().map(Doubt::Clock));
    let backwards = story.spans().find(|span| span.end < span.start);
    doubts.extend(backwards.map(|span| Doubt::Backwards(span.id)));
    let roots = (0..story.nodes.len()).filter(|index| is_top(*index)).count();
    doubts.extend(Some(Doubt::Roots(roots.saturating_sub(1))).filter(|_| roots > 1));
    doubts.extend(Some(Doubt::Contradictions(story.contradictions)).filter(|_| story.contradictions > 0));
    doubts.sort_by_key(Doubt::leaves);
    doubts
}
