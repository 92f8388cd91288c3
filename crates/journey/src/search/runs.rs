//! The traces that belong to one story besides its own: work that was done again, later, under a trace of its own.
//!
//! A queue's consumer that begins a trace, because the message's own was over long ago, links to where the message came from
//! (OpenTelemetry's conventions for messaging). Such links are followed both ways, from the request to what was done for it
//! later, and from there back to the request. Other links name what a span has to do with, and are not followed.

use std::collections::BTreeSet;

use super::{Found, Search};
use crate::cut::Cut;
use crate::id::TraceId;
use crate::index::Keys;
use crate::input::{Block, Unreadable};
use crate::scan::Needles;
use crate::span::Span;
use crate::story::{Runs, Story};

/// So many traces besides the one that was asked for, at most.
pub const MOST_RUNS: usize = 32;
/// Everything is read once more this often at most: links that lead from trace to trace form chains.
const MOST_ROUNDS: usize = 4;

impl Search {
    /// The stories that `trace` goes on in, or goes on from. Reads everything once more only if there is one.
    ///
    /// # Errors
    /// As [`Input::read`](crate::Input::read).
    pub fn runs(&mut self, trace: TraceId) -> Result<Runs, Unreadable> {
        let of_trace = |span: &&Span| span.trace == trace;
        let (mut known, mut left_out) = (BTreeSet::new(), BTreeSet::new());
        let goes_on_from = self.found.spans.iter().filter(of_trace).flat_map(Span::goes_on_from);
        learn(&mut known, &mut left_out, trace, self.found.goes_on.iter().copied().chain(goes_on_from));
        let mut found = Found { cut: self.found.cut.take(), ..Found::default() };
        for _ in 0..MOST_ROUNDS {
            if known.is_empty() {
                break;
            }
            let before = known.len();
            found = self.read_again(trace, &known, found.cut.take())?;
            let goes_on_from = found.spans.iter().flat_map(Span::goes_on_from);
            learn(&mut known, &mut left_out, trace, found.goes_on.iter().copied().chain(goes_on_from));
            if known.len() == before {
                break;
            }
        }
        self.found.cut = found.cut.take();
        let mut stories: Vec<Story> = known
            .iter()
            .map(|run| found.story(*run))
            .filter(|story| story.spans().next().is_some())
            .collect();
        stories.sort_by_key(|story| (story.extent().0, story.trace));
        Ok(Runs { stories, left_out })
    }

    /// What belongs to these traces, and which others go on from them or from `trace`; what is kept as it was written is
    /// added to `cut`.
    fn read_again(
        &mut self,
        trace: TraceId,
        wanted: &BTreeSet<TraceId>,
        cut: Option<Cut>,
    ) -> Result<Found, Unreadable> {
        let needles = Needles::of_traces(wanted.iter().chain([&trace]));
        let mut found = Found { cut, ..Found::default() };
        self.input.rewind();
        self.input.look_for(wanted.iter().chain([&trace]).map(|one| Keys::of(*one)).collect());
        let keeps = found.cut.is_some();
        let is_wanted = |one| one == trace || wanted.contains(&one);
        let work = |block: Block<'_>| Found::in_block(block, &needles, keeps, is_wanted);
        self.input.read(&work, &mut |mut in_block, _| {
            in_block.spans.retain(|span| span.trace != trace);
            in_block.lines.retain(|line| line.trace != trace);
            found.extend(in_block);
        })?;
        Ok(found)
    }
}

/// Adds `more` to the traces that are `known` besides `trace`, as long as there is room, and then to those that are left out.
fn learn(
    known: &mut BTreeSet<TraceId>,
    left_out: &mut BTreeSet<TraceId>,
    trace: TraceId,
    more: impl Iterator<Item = TraceId>,
) {
    for one in more.filter(|one| *one != trace) {
        if known.len() < MOST_RUNS || known.contains(&one) {
            known.insert(one);
        } else {
            left_out.insert(one);
        }
    }
}
