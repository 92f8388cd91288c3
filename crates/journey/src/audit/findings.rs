//! Breaks, counted by hop and cause.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Cause;
use crate::id::TraceId;
use crate::table;

/// Findings that are kept apart.
pub(crate) const MOST_FINDINGS: usize = 1000;
/// Traces that are named of each.
const EXAMPLES: usize = 3;

/// What was found wrong at one hop, for one reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Why.
    pub cause: Cause,
    /// Who called; `None` where it lies within one service, or nobody knows.
    pub from: Option<Arc<str>>,
    /// Who was called, or whose it is.
    pub at: Arc<str>,
    /// How often.
    pub count: u64,
    /// Of how many: requests through that hop, its lines for lines without ids; `None` where that cannot be said.
    pub of: Option<u64>,
    /// Nanoseconds since 1970.
    pub first: u64,
    /// Nanoseconds since 1970.
    pub last: u64,
    /// The first few, in time order.
    pub examples: Vec<TraceId>,
}

type Place = (Cause, Option<Arc<str>>, Arc<str>);

/// Findings that are being counted.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    counts: HashMap<Place, Count>,
    outside: BTreeMap<Arc<str>, u64>,
}

#[derive(Debug)]
struct Count {
    count: u64,
    first: u64,
    last: u64,
    examples: Vec<(u64, TraceId)>,
}

impl Findings {
    /// Counts one.
    pub(crate) fn add(
        &mut self,
        cause: Cause,
        from: Option<Arc<str>>,
        at: Arc<str>,
        time: u64,
        trace: Option<TraceId>,
    ) {
        let count = self.place(cause, from, at);
        count.count += 1;
        count.span(time);
        if let Some(trace) = trace.filter(|trace| count.examples.iter().all(|(_, known)| known != trace)) {
            count.examples.push((time, trace));
            count.examples.sort_unstable();
            count.examples.truncate(EXAMPLES);
        }
    }

    /// Whether there is one already.
    pub(crate) fn has(&self, cause: Cause, from: &Option<Arc<str>>, at: &Arc<str>) -> bool {
        self.counts.contains_key(&(cause, from.clone(), at.clone()))
    }

    /// Counts so many more, the last of them at `time`.
    pub(crate) fn more(&mut self, cause: Cause, from: Option<Arc<str>>, at: Arc<str>, more: u64, time: u64) {
        let count = self.place(cause, from, at);
        count.count += more;
        count.span(time);
    }

    /// Counts a request of a caller whose spans are not here, and need not be.
    pub(crate) fn outside(&mut self, service: &Arc<str>) {
        if self.outside.len() < MOST_FINDINGS || self.outside.contains_key(service) {
            *self.outside.entry(service.clone()).or_default() += 1;
        }
    }

    /// How many requests came in from outside, by service.
    pub(crate) fn outside_callers(&self) -> &BTreeMap<Arc<str>, u64> {
        &self.outside
    }

    /// All of them, most first.
    pub(crate) fn rows(self) -> Vec<Finding> {
        let row = |((cause, from, at), count): (Place, Count)| Finding {
            cause,
            from,
            at,
            count: count.count,
            of: None,
            first: count.first,
            last: count.last,
            examples: count.examples.into_iter().map(|(_, trace)| trace).collect(),
        };
        let mut rows: Vec<Finding> = self.counts.into_iter().map(row).collect();
        rows.sort_by(|a, b| {
            b.count.cmp(&a.count).then_with(|| (a.cause, &a.from, &a.at).cmp(&(b.cause, &b.from, &b.at)))
        });
        rows
    }

    fn place(&mut self, cause: Cause, from: Option<Arc<str>>, at: Arc<str>) -> &mut Count {
        let mut place = (cause, from, at);
        if self.counts.len() >= MOST_FINDINGS && !self.counts.contains_key(&place) {
            place = (cause, None, table::OTHERS.into());
        }
        self.counts.entry(place).or_insert(Count { count: 0, first: u64::MAX, last: 0, examples: Vec::new() })
    }
}

impl Count {
    fn span(&mut self, time: u64) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }
}
