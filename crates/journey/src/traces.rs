//! Traces, found and listed: one row each, newest or slowest first.
//!
//! Holds no more than twice [`Filter::limit`] rows. A trace that comes in parts (see [`crate::window`]) becomes one row where both
//! parts match; pure otherwise: the order of the traces changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::brief::{self, Brief, What};
use crate::id::TraceId;
use crate::table::{self, Column};

/// What is told of a trace that is only known from its middle.
const BEGINNING: &str = "(beginning missing)";

/// Which traces are wanted: those that everything here is true of.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Each of these services has a part in it.
    pub services: Vec<String>,
    /// A span of it has this route, or this method and route.
    pub route: Option<String>,
    /// Its status is one of these.
    pub status: Option<Status>,
    /// Something in it failed.
    pub has_errors: bool,
    /// It took longer than so many nanoseconds.
    pub slower_than: Option<u64>,
    /// It began then or later, in nanoseconds since 1970.
    pub since: Option<u64>,
    /// It began then or earlier.
    pub until: Option<u64>,
    /// For each bit a span of it has that attribute ([`Brief::has`]).
    pub has: u32,
    /// What comes first.
    pub order: Order,
    /// So many rows at most.
    pub limit: usize,
}

/// What comes first in a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest.
    #[default]
    Time,
    /// The slowest.
    Duration,
}

/// A status, or a class of them: `404`, `5xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    from: u16,
    to: u16,
}

/// What was typed is no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a status from 100 to 599 or a class of them: `404`, `5xx`")]
pub struct NotAStatus;

impl std::str::FromStr for Status {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        let (from, to) = match text.strip_suffix("xx") {
            Some(class) => (class.parse::<u16>().map(|class| class.saturating_mul(100)), 99),
            None => (text.parse(), 0),
        };
        let from = from.ok().filter(|from| (100..600).contains(from) && text.len() == 3).ok_or(NotAStatus)?;
        Ok(Self { from, to: from + to })
    }
}

/// One trace in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its id.
    pub trace: TraceId,
    /// When its first span began, in nanoseconds since 1970.
    pub start: u64,
    /// When its last span ended.
    pub end: u64,
    /// How long the span took that it begins with, in nanoseconds.
    pub duration: u64,
    /// The answer's status, where it is a request of HTTP.
    pub status: Option<u16>,
    /// Method and route of the span that it begins with, else method and path, else the span's name.
    pub asked: String,
    /// Who has a part in it, in the order of their names.
    pub services: Vec<Arc<str>>,
    /// How many spans it has.
    pub spans: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Whether it begins with a span that has no parent.
    is_whole: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The first rows.
    pub rows: Vec<Row>,
    /// How many traces match, those without a row included.
    pub matching: u64,
}

/// A list that is being made.
#[derive(Debug)]
pub struct Traces {
    filter: Filter,
    rows: HashMap<TraceId, Row>,
    matching: u64,
}

impl Traces {
    /// An empty list.
    pub fn new(filter: Filter) -> Self {
        Self { filter, rows: HashMap::new(), matching: 0 }
    }

    /// Takes the spans of one trace, sorted.
    pub fn take(&mut self, spans: &[Brief]) {
        let Some(row) = Row::of(spans).filter(|row| self.filter.is_met(row, spans)) else { return };
        match self.rows.get_mut(&row.trace) {
            Some(known) => known.join(row),
            None => {
                self.matching += 1;
                self.rows.insert(row.trace, row);
            }
        }
        if self.rows.len() >= self.filter.limit.saturating_mul(2).max(64) {
            self.cut();
        }
    }

    /// The list.
    pub fn finish(mut self) -> Found {
        Found { rows: self.cut(), matching: self.matching }
    }

    /// Keeps the first rows, and gives them in order.
    fn cut(&mut self) -> Vec<Row> {
        let order = self.filter.order;
        let mut rows: Vec<Row> = self.rows.drain().map(|(_, row)| row).collect();
        rows.sort_unstable_by_key(|row| {
            let first = if order == Order::Time { row.start } else { row.duration };
            (std::cmp::Reverse(first), std::cmp::Reverse(row.start), row.trace)
        });
        rows.truncate(self.filter.limit);
        self.rows = rows.iter().map(|row| (row.trace, row.clone())).collect();
        rows
    }
}

impl Filter {
    /// Whether everything here is true of the trace with these spans, sorted, whose row this is.
    pub(crate) fn is_met(&self, row: &Row, spans: &[Brief]) -> bool {
        let has = || spans.iter().fold(0, |bits, span| bits | span.has);
        let whats = || spans.iter().filter_map(|span| span.what.as_deref());
        let is_route =
            |route: &str| whats().any(|what| what.route.as_deref() == Some(route) || asked(what) == route);
        self.services.iter().all(|name| row.services.iter().any(|service| **service == **name))
            && self.status.is_none_or(|wanted| {
                row.status.is_some_and(|status| (wanted.from..=wanted.to).contains(&status))
            })
            && (!self.has_errors || row.errors > 0)
            && self.slower_than.is_none_or(|bound| row.duration > bound)
            && self.since.is_none_or(|since| row.start >= since)
            && self.until.is_none_or(|until| row.start <= until)
            && (self.has == 0 || has() & self.has == self.has)
            && self.route.as_deref().is_none_or(is_route)
    }
}

impl Row {
    /// Whether `other`, of the same trace, tells the same outcome: who else had a part in it makes no other.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let outcome = |row: &Self| (row.duration, row.status, row.errors > 0);
        outcome(self) == outcome(other) && self.asked == other.asked
    }

    /// That of a trace with these spans, sorted; `None` of none.
    pub(crate) fn of(spans: &[Brief]) -> Option<Self> {
        let root = brief::root(spans)?;
        let mut services: Vec<Arc<str>> = spans.iter().map(|span| span.service.clone()).collect();
        services.sort_unstable();
        services.dedup();
        // What a span did in the middle of a trace is not kept: where the beginning is missing, the first that tells.
        let told = spans.iter().filter(|span| span.what.is_some()).min_by_key(|span| (span.start, span.id));
        let what = root.what.as_deref().or(told.and_then(|span| span.what.as_deref()));
        Some(Self {
            trace: root.trace,
            start: spans.iter().map(|span| span.start).min()?,
            end: spans.iter().map(|span| span.end).max()?,
            duration: root.duration(),
            status: what.and_then(|what| what.status),
            asked: what.map(asked).unwrap_or_else(|| BEGINNING.to_owned()),
            services,
            spans: spans.len() as u64,
            errors: spans.iter().filter(|span| span.failed).count() as u64,
            is_whole: root.parent.is_none(),
        })
    }

    /// Adds another part of the same trace.
    fn join(&mut self, other: Self) {
        let (mut first, second) = match (self.is_whole, other.is_whole) {
            (true, false) => (self.clone(), other),
            (false, true) => (other, self.clone()),
            _ if (self.start, &self.asked) <= (other.start, &other.asked) => (self.clone(), other),
            _ => (other, self.clone()),
        };
        first.start = first.start.min(second.start);
        first.end = first.end.max(second.end);
        first.spans += second.spans;
        first.errors += second.errors;
        first.services.extend(second.services);
        first.services.sort_unstable();
        first.services.dedup();
        *self = first;
    }
}

/// What was asked: method and route, else method and path, else the name.
fn asked(what: &What) -> String {
    match (&what.method, what.route.as_ref().or(what.path.as_ref())) {
        (Some(method), Some(place)) => format!("{method} {place}"),
        _ => what.name.to_string(),
    }
}

/// The list as text, each line with its end, `width` columns wide; nothing of an empty one.
pub fn text(found: &Found, width: usize) -> String {
    if found.rows.is_empty() {
        return String::new();
    }
    let (is_wide, is_narrow) = (width >= table::WIDE, width < table::NARROW);
    let mut columns = vec![
        Column::text("start"),
        Column::number("took ms"),
        Column::number("status"),
        Column::number("spans"),
        Column::number("errors"),
        Column::text("trace"),
        Column::cut("request"),
    ];
    if !is_narrow {
        columns.push(if is_wide { Column::cut("services") } else { Column::number("services") });
    }
    let row = |row: &Row| {
        let mut cells = vec![
            table::moment(row.start),
            table::milliseconds(row.duration),
            row.status.map(|status| status.to_string()).unwrap_or_default(),
            row.spans.to_string(),
            row.errors.to_string(),
            table::id(row.trace, width),
            row.asked.clone(),
        ];
        if !is_narrow {
            cells.push(if is_wide { row.services.join(", ") } else { row.services.len().to_string() });
        }
        cells
    };
    table::render(&columns, &found.rows.iter().map(row).collect::<Vec<_>>(), width)
}

/// A trace as JSON.
#[derive(Serialize)]
pub(crate) struct Object<'a> {
    trace_id: String,
    start: String,
    duration_ms: f64,
    whole_ms: f64,
    status: Option<u16>,
    request: &'a str,
    services: Vec<&'a str>,
    spans: u64,
    errors: u64,
}

impl<'a> Object<'a> {
    pub(crate) fn of(row: &'a Row) -> Self {
        Self {
            trace_id: row.trace.to_string(),
            start: table::moment(row.start),
            duration_ms: row.duration as f64 / 1e6,
            whole_ms: row.end.saturating_sub(row.start) as f64 / 1e6,
            status: row.status,
            request: &row.asked,
            services: row.services.iter().map(|service| &**service).collect(),
            spans: row.spans,
            errors: row.errors,
        }
    }
}

/// The list as JSON, one object a line.
pub fn json(found: &Found) -> String {
    found.rows.iter().map(|row| table::json(&Object::of(row))).collect()
}
