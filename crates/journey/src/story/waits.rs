//! Time in which nobody worked and of which no span tells: between two hops, and of a message on its way.
//!
//! Waits that have spans (a wait queue, a pool, another cache's fetch) are nodes like any other. These are only told where they
//! matter: from [`Story::least_wait`] on.

use serde::Serialize;

use crate::span::{Kind, Span};
use crate::story::Story;

/// Nanoseconds: what is shorter is nobody's concern.
const LEAST: u64 = 1_000_000;
/// This part of the request's time is.
const LEAST_PART: u64 = 100;

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Waited {
    /// A request on its way to who answers it.
    Request,
    /// The answer on its way back.
    Answer,
    /// A message on its way to who acts on it.
    Message,
}

/// A time of which no span tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// What was waited for.
    pub waited: Waited,
    /// The node of who answered or took it.
    pub other: usize,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
}

impl Wait {
    /// Nanoseconds.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl Story {
    /// The shortest wait that is told, in nanoseconds: a hundredth of the request's time, a millisecond at least.
    pub fn least_wait(&self) -> u64 {
        LEAST.max(self.root().map_or(0, Span::duration) / LEAST_PART)
    }

    /// The waits between the node at `index` and what it caused, in time order.
    pub fn waits(&self, index: usize) -> Vec<Wait> {
        let mut waits = match self.nodes[index].span.as_ref().map(|span| span.kind) {
            Some(Kind::Client) => self.of_client(index).into_iter().flatten().collect(),
            Some(Kind::Producer) => self.of_producer(index),
            _ => Vec::new(),
        };
        if !waits.is_empty() {
            let least = self.least_wait();
            waits.retain(|wait| wait.duration() >= least);
        }
        waits.sort_by_key(|wait| wait.start);
        waits
    }

    /// Before and after the only server that it asked, as far as nothing else ran there.
    fn of_client(&self, index: usize) -> Option<[Wait; 2]> {
        let ((from, until), children) = (self.times(index)?, &self.nodes[index].children);
        let is = |child: &usize, kind| self.nodes[*child].span.as_ref().is_some_and(|span| span.kind == kind);
        let mut servers = children.iter().copied().filter(|child| is(child, Kind::Server));
        let (other, None) = (servers.next()?, servers.next()) else { return None };
        let (start, end) = self.times(other)?;
        let others =
            || children.iter().filter(|child| **child != other).filter_map(|child| self.times(*child));
        let sent = others().map(|(_, end)| end).filter(|end| *end <= start).fold(from, u64::max);
        let read = others().map(|(start, _)| start).filter(|start| *start >= end).fold(until, u64::min);
        Some([
            Wait { waited: Waited::Request, other, start: sent, end: start.min(until) },
            Wait { waited: Waited::Answer, other, start: end, end: read },
        ])
    }

    /// Until each of its messages was taken.
    fn of_producer(&self, index: usize) -> Vec<Wait> {
        let Some((_, sent)) = self.times(index) else { return Vec::new() };
        let wait = |other: &usize| {
            let span = self.nodes[*other].span.as_ref().filter(|span| span.kind == Kind::Consumer)?;
            Some(Wait { waited: Waited::Message, other: *other, start: sent, end: span.start })
        };
        self.nodes[index].children.iter().filter_map(wait).collect()
    }
}
