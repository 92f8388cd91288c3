//! Two stories, aligned: what is new in the second, what is gone, what is slower or faster, what came out otherwise.
//!
//! Spans are the same where they stand at the same place: the same service, kind and route or name beneath spans that are the
//! same. Of several such siblings those are paired first beneath which the same happened, then the others in time order: an
//! attempt that came to nothing is new, and not the one that did what it did before. Pure, the same for any order of lines,
//! without recursion, in linear time but for sorting.

use std::collections::BTreeMap;

use crate::brief;
use crate::names;
use crate::span::Span;
use crate::story::Story;

/// Which node is which.
mod align;
/// A comparison as JSON.
mod json;
/// A comparison as text.
mod text;

/// What differs by less than this part of the larger of both traces is no difference.
const LEAST_OF_TRACE: u64 = 100;
/// Nor is what differs by less than this part of the longer of both spans.
const LEAST_OF_SPAN: u64 = 5;
/// So many of the biggest differences are told.
pub const MOST_BIGGEST: usize = 5;

/// Two stories side by side.
#[derive(Debug)]
pub struct Diff<'s> {
    /// The first.
    pub a: &'s Story,
    /// The second.
    pub b: &'s Story,
    /// Every node of both, once, each before what it caused.
    pub rows: Vec<Row>,
}

/// A node of one story or of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How many rows stand above it.
    pub depth: usize,
    /// The row above it, by its index.
    pub parent: Option<usize>,
    /// The first story's node, by its index.
    pub a: Option<usize>,
    /// The second's.
    pub b: Option<usize>,
    /// How they differ.
    pub change: Change,
    /// How many rows stand beneath it.
    pub beneath: usize,
    /// Whether one of those differs.
    pub differs_beneath: bool,
    /// What it is and what stands beneath it: rows that are alike in that have the same.
    pub(crate) shape: u64,
}

/// How a node of the first story differs from that of the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only the second has it.
    New,
    /// Only the first has it.
    Gone,
    /// It has another status, kind of failure or cache result.
    Outcome,
    /// It took longer, in whole or by itself.
    Slower,
    /// It took less long.
    Faster,
    /// Not by much.
    Same,
}

/// What differs most, by service and name: own time, so that nothing is counted twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Biggest {
    /// Whose it is.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// How many spans of it each story has.
    pub spans: [u64; 2],
    /// Nanoseconds of their own in each story.
    pub own: [u64; 2],
}

impl<'s> Diff<'s> {
    /// Compares `b` with `a`.
    pub fn new(a: &'s Story, b: &'s Story) -> Self {
        let mut rows = align::rows(a, b);
        let total = root_duration(a).max(root_duration(b));
        for at in (0..rows.len()).rev() {
            rows[at].change = change(a, b, &rows[at], total);
            let (differs, size) = (rows[at].differs(), rows[at].beneath + 1);
            if let Some(parent) = rows[at].parent {
                rows[parent].beneath += size;
                rows[parent].differs_beneath |= differs;
            }
        }
        Self { a, b, rows }
    }

    /// How many rows have this change.
    pub fn count(&self, change: Change) -> usize {
        self.rows.iter().filter(|row| row.change == change).count()
    }

    /// The biggest differences in own time, the biggest first, [`MOST_BIGGEST`] at most.
    pub fn biggest(&self) -> Vec<Biggest> {
        let mut places: BTreeMap<(&str, String), Biggest> = BTreeMap::new();
        for (side, story) in [self.a, self.b].into_iter().enumerate() {
            for node in &story.nodes {
                let Some(span) = &node.span else { continue };
                let place =
                    places.entry((&span.service, place(span))).or_insert_with_key(|(service, name)| {
                        Biggest {
                            service: (*service).to_owned(),
                            name: name.clone(),
                            spans: [0; 2],
                            own: [0; 2],
                        }
                    });
                place.spans[side] += 1;
                place.own[side] = place.own[side].saturating_add(node.own);
            }
        }
        let apart = |one: &Biggest| one.own[0].abs_diff(one.own[1]);
        let least = root_duration(self.a).max(root_duration(self.b)) / LEAST_OF_TRACE;
        let mut biggest: Vec<Biggest> = places.into_values().filter(|one| apart(one) > least).collect();
        // What is equal stays in the order of the names.
        biggest.sort_by_key(|one| std::cmp::Reverse(apart(one)));
        biggest.truncate(MOST_BIGGEST);
        biggest
    }

    /// The comparison as text, `look` wide and coloured; rows that are the same are told as their number unless `all`.
    pub fn text(&self, look: crate::text::Look, all: bool) -> String {
        text::render(self, look, all)
    }

    /// The comparison as one JSON object on one line.
    pub fn json(&self) -> String {
        json::render(self)
    }

    fn spans(&self, row: &Row) -> [Option<&'s Span>; 2] {
        let span = |story: &'s Story, at: Option<usize>| at.and_then(|at| story.nodes[at].span.as_ref());
        [span(self.a, row.a), span(self.b, row.b)]
    }

    fn own(&self, row: &Row) -> [u64; 2] {
        let own = |story: &Story, at: Option<usize>| at.map_or(0, |at| story.nodes[at].own);
        [own(self.a, row.a), own(self.b, row.b)]
    }
}

impl Row {
    /// Whether it or something beneath it differs.
    pub fn differs(&self) -> bool {
        self.change != Change::Same || self.differs_beneath
    }
}

fn root_duration(story: &Story) -> u64 {
    story.root().map_or(0, Span::duration)
}

fn change(a: &Story, b: &Story, row: &Row, total: u64) -> Change {
    let (Some(at), Some(bt)) = (row.a, row.b) else {
        return if row.a.is_none() { Change::New } else { Change::Gone };
    };
    let (Some(a_span), Some(b_span)) = (&a.nodes[at].span, &b.nodes[bt].span) else { return Change::Same };
    if outcome(a_span) != outcome(b_span) {
        return Change::Outcome;
    }
    let whole = differ(a_span.duration(), b_span.duration(), total);
    match whole.or_else(|| differ(a.nodes[at].own, b.nodes[bt].own, total)) {
        Some(true) => Change::Slower,
        Some(false) => Change::Faster,
        None => Change::Same,
    }
}

/// Whether `b` is longer, if they differ by what counts.
fn differ(a: u64, b: u64, total: u64) -> Option<bool> {
    let apart = a.abs_diff(b);
    let counts = apart > total / LEAST_OF_TRACE && apart > a.max(b) / LEAST_OF_SPAN;
    counts.then_some(b > a)
}

/// What it is, in words of which there are few: method and route, or its name.
fn place(span: &Span) -> String {
    let (method, route) = (span.text(names::METHOD), span.text(names::ROUTE));
    brief::place(method.as_deref(), route.as_deref(), &span.name)
}

/// What came of it, in short; empty where it does not tell.
fn outcome(span: &Span) -> String {
    let status = span.text(names::STATUS);
    let error = span.text(&[names::ERROR_TYPE]).filter(|error| Some(error) != status.as_ref());
    let failed = (span.failed && error.is_none() && status.is_none()).then(|| "failed".to_owned());
    let told = [status, error, failed, span.text(&[names::CACHE_RESULT])];
    told.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
