//! The story: what one request did, in time order, built from spans and log lines of all services.
//!
//! Pure: spans and lines in, a tree out, the same for any order of the input. Every span is in it exactly once, whatever
//! its parents claim: parents that were never written get a place of their own, circles are cut open.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::baseline::Usual;
use crate::id::{SpanId, TraceId};
use crate::line::Line;
use crate::names;
use crate::span::{Kind, Link, Span};

/// One clock for all hosts.
mod clocks;
/// Which part of a span's time its children cover.
pub(crate) mod cover;
/// What a story lacks.
mod gaps;
/// Spans without a parent in the files, and who may have caused them.
mod strays;
/// Parents and children → one order.
mod tree;
/// Time in which nobody worked, and of which no span tells.
mod waits;

pub use clocks::{Clock, Process, TOLERATED};
pub use cover::Cover;
pub use gaps::{Gap, Writer};
pub use waits::{Wait, Waited};

/// What one request did.
#[derive(Debug)]
pub struct Story {
    /// The request's trace.
    pub trace: TraceId,
    /// Everything that has a place in the tree: each before what it caused, siblings in time order.
    pub nodes: Vec<Node>,
    /// Lines of the trace that name no span, in time order.
    pub loose: Vec<Line>,
    /// How often a span was written again: such repeats are left out.
    pub duplicates: usize,
    /// How many of those were not the same as what is kept.
    pub contradictions: usize,
    /// The clocks that were wrong: all times of the story, those of its spans, events and lines, are on one clock.
    pub clocks: Vec<Clock>,
    /// The request beside the others of its route: nobody has compared them yet, until somebody sets it.
    pub usual: Option<Usual>,
    root: Option<usize>,
    /// Calls whose other end was never written → the unwritten node that may stand for it.
    adopted: HashMap<usize, usize>,
    /// The same the other way round.
    callers: HashMap<usize, usize>,
    /// Services that have lines and no span.
    silent: BTreeSet<String>,
    places: HashMap<SpanId, usize>,
    targets: HashMap<(TraceId, SpanId), Target>,
}

/// One place in the tree.
#[derive(Debug)]
pub struct Node {
    /// Its id.
    pub id: SpanId,
    /// What was written under this id; `None`: it is only named, by its children or by lines. Its times are on the story's clock.
    pub span: Option<Span>,
    /// So many nanoseconds were added to its times, to bring them onto the story's clock.
    pub moved: i64,
    /// When it began and ended as it was written, if it was moved.
    pub as_written: Option<(u64, u64)>,
    /// The node that caused it, by its index.
    pub parent: Option<usize>,
    /// What it caused, by index, in time order.
    pub children: Vec<usize>,
    /// How many nodes stand above it.
    pub depth: usize,
    /// Its parents run in a circle, which was cut here.
    pub is_cut: bool,
    /// Nanoseconds of its time in which none of its children ran.
    pub own: u64,
    /// Which attempt it is, and of how many: siblings that ask the same of a next hop, one after the other.
    pub attempt: Option<(u64, u64)>,
    /// Its log lines, in time order.
    pub lines: Vec<Line>,
}

/// A span that another one is linked to, as far as a story tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its service.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Nanoseconds since 1970.
    pub end: u64,
}

impl Target {
    pub(crate) fn of(span: &Span) -> Self {
        Self { service: span.service.clone(), name: span.name.clone(), end: span.end }
    }
}

/// The stories that one goes on in, or goes on from.
#[derive(Debug, Default)]
pub struct Runs {
    /// In the order of their beginnings, [`MOST_RUNS`](crate::MOST_RUNS) at most.
    pub stories: Vec<Story>,
    /// Traces that belong to them too, as far as is known, and were not read because they were too many.
    pub left_out: BTreeSet<TraceId>,
}

impl Story {
    /// Puts `spans` and `lines` of `trace` in order.
    pub fn new(trace: TraceId, mut spans: Vec<Span>, lines: Vec<Line>) -> Self {
        let (duplicates, contradictions) = drop_duplicates(&mut spans);
        let (placed, mut loose): (Vec<Line>, Vec<Line>) =
            in_time_order(lines).into_iter().partition(|line| line.span.is_some());
        let mut nodes = tree::build(spans, placed);
        let corrected = clocks::correct(&mut nodes);
        if !corrected.clocks.is_empty() {
            loose.iter_mut().for_each(|line| corrected.set_line(line, None));
            loose = in_time_order(loose);
            nodes.iter_mut().for_each(|node| node.lines = in_time_order(std::mem::take(&mut node.lines)));
            nodes = tree::in_order(nodes);
        }
        for index in 0..nodes.len() {
            nodes[index].own = cover::of(&nodes, index).own;
            number_attempts(&mut nodes, index);
        }
        let places = nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
        let mut story = Self {
            trace,
            root: root(&nodes),
            nodes,
            loose,
            duplicates,
            contradictions,
            clocks: corrected.clocks,
            usual: None,
            adopted: HashMap::new(),
            callers: HashMap::new(),
            silent: BTreeSet::new(),
            places,
            targets: HashMap::new(),
        };
        story.adopted = strays::adopt(&story);
        story.silent = story.silent_services();
        story.callers = story.adopted.iter().map(|(call, stray)| (*stray, *call)).collect();
        story
    }

    /// The span that the request came in by: the first without a parent, else the first of all.
    pub fn root(&self) -> Option<&Span> {
        self.root.and_then(|root| self.nodes[root].span.as_ref())
    }

    /// The index of its node.
    pub fn root_place(&self) -> Option<usize> {
        self.root
    }

    /// When the span at `index` began and ended, never the other way round; `None` for one that was never written.
    pub fn times(&self, index: usize) -> Option<(u64, u64)> {
        self.nodes[index].span.as_ref().map(|span| (span.start, span.end.max(span.start)))
    }

    /// The unwritten node that may stand for the other end of the call at `index`: a guess.
    pub(crate) fn adopted(&self, index: usize) -> Option<usize> {
        self.adopted.get(&index).copied()
    }

    /// The call whose other end the unwritten node at `index` may stand for.
    pub(crate) fn caller_of(&self, index: usize) -> Option<usize> {
        self.callers.get(&index).copied()
    }

    /// When what is known of the unwritten node at `index` begins.
    pub(crate) fn begins(&self, index: usize) -> Option<u64> {
        let node = &self.nodes[index];
        let of_children = node.children.iter().filter_map(|child| self.times(*child)).map(|(start, _)| start);
        of_children.chain(node.lines.iter().filter_map(|line| line.time)).min()
    }

    /// The span with this id, if it was written.
    pub fn span(&self, id: SpanId) -> Option<&Span> {
        self.place(id).and_then(|place| self.nodes[place].span.as_ref())
    }

    /// The index of the node with this id.
    pub(crate) fn place(&self, id: SpanId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// The spans, in the story's order.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.nodes.iter().filter_map(|node| node.span.as_ref())
    }

    /// All lines, in no particular order.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.nodes.iter().flat_map(|node| &node.lines).chain(&self.loose)
    }

    /// The services in the order in which the story first names them.
    pub fn services(&self) -> Vec<&str> {
        let (mut services, mut seen) = (Vec::new(), HashSet::new());
        let of_nodes = self.nodes.iter().flat_map(|node| {
            node.span.iter().map(|span| &*span.service).chain(node.lines.iter().map(|line| &*line.service))
        });
        for service in of_nodes.chain(self.loose.iter().map(|line| &*line.service)) {
            if !service.is_empty() && seen.insert(service) {
                services.push(service);
            }
        }
        services
    }

    /// When it began and when its last span ended, in nanoseconds since 1970; lines count where there are no spans.
    pub fn extent(&self) -> (u64, u64) {
        let of_spans = self.spans().map(|span| (span.start, span.end.max(span.start)));
        let of_lines = self.lines().filter_map(|line| line.time).map(|time| (time, time));
        let widest = |a: (u64, u64), b: (u64, u64)| (a.0.min(b.0), a.1.max(b.1));
        of_spans.reduce(widest).or_else(|| of_lines.reduce(widest)).unwrap_or_default()
    }

    /// Which part of the time of the node at `index` its children cover.
    pub fn cover(&self, index: usize) -> Cover {
        cover::of(&self.nodes, index)
    }

    /// Every link that leads to another trace, once.
    pub fn links(&self) -> impl Iterator<Item = (TraceId, SpanId)> {
        let mut links: Vec<_> =
            self.spans().flat_map(|span| &span.links).map(|link| (link.trace, link.span)).collect();
        links.retain(|(trace, _)| *trace != self.trace);
        links.sort_unstable();
        links.dedup();
        links.into_iter()
    }

    /// Tells what the spans are that it links to.
    pub fn name_links(&mut self, targets: &HashMap<(TraceId, SpanId), Target>) {
        self.targets.extend(targets.iter().map(|(id, target)| (*id, target.clone())));
    }

    /// What `link` leads to, if that is known.
    pub fn target(&self, link: &Link) -> Option<Target> {
        if link.trace != self.trace {
            return self.targets.get(&(link.trace, link.span)).cloned();
        }
        let place = self.places.get(&link.span)?;
        self.nodes[*place].span.as_ref().map(Target::of)
    }
}

/// The first span without a parent, else the first of all.
fn root(nodes: &[Node]) -> Option<usize> {
    let is_top = |node: &Node| node.parent.is_none() && node.span.is_some();
    let first = || nodes.iter().position(|node| node.span.is_some());
    nodes.iter().position(is_top).or_else(first)
}

/// Whether a span says that it failed, or that its server did.
pub(crate) fn has_failed(span: &Span) -> bool {
    span.failed || span.number(names::STATUS).is_some_and(|status| status >= 500)
}

/// Numbers the attempts among the children of `nodes[index]`, if one of them says that it is not the first.
fn number_attempts(nodes: &mut [Node], index: usize) {
    let resent = |node: &Node| {
        let span = node
            .span
            .as_ref()
            .filter(|span| span.kind == Kind::Client && span.text(names::METHOD).is_some())?;
        Some(span.number(names::RESEND_COUNT).unwrap_or(0))
    };
    let children = nodes[index].children.clone();
    let Some(last) =
        children.iter().filter_map(|child| resent(&nodes[*child])).max().filter(|last| *last > 0)
    else {
        return;
    };
    for child in children {
        nodes[child].attempt =
            resent(&nodes[child]).map(|count| (count.saturating_add(1), last.saturating_add(1)));
    }
}

/// Drops all but one of the spans with one id, the same one for any order; says how many were dropped, and how many of
/// those differed from the one that stays.
fn drop_duplicates(spans: &mut Vec<Span>) -> (usize, usize) {
    let key = |span: &Span| {
        (span.id, span.start, span.end, span.service.clone(), span.name.clone(), span.kind, span.parent)
    };
    spans.sort_by_cached_key(key);
    for alike in spans.chunk_by_mut(|a, b| a.id == b.id && key(a) == key(b)).filter(|alike| alike.len() > 1) {
        alike.sort_by_cached_key(|span| format!("{span:?}"));
    }
    let (mut duplicates, mut contradictions) = (0, 0);
    spans.dedup_by(|later, first| {
        let is_duplicate = later.id == first.id;
        duplicates += usize::from(is_duplicate);
        contradictions += usize::from(is_duplicate && later != first);
        is_duplicate
    });
    (duplicates, contradictions)
}

/// Lines by their time, each `uid` once; those that do not say when come last.
pub fn in_time_order(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|a, b| {
        (a.time.is_none(), a.time, &a.uid, &a.raw).cmp(&(b.time.is_none(), b.time, &b.uid, &b.raw))
    });
    let mut seen = HashSet::new();
    lines.retain(|line| line.uid.as_ref().is_none_or(|uid| seen.insert(uid.clone())));
    lines
}
