//! Requests, failures and durations, by service and route or by any attribute.
//!
//! A request is a SERVER or CONSUMER span without a parent of its own service ([`crate::brief::requests`]). Bounds: so many
//! groups as [`MOST_GROUPS`], the rest together in one; percentiles off by 1 % at most ([`Durations`]); pure, and the
//! order of the traces changes nothing while the groups fit.

use std::collections::HashMap;

use serde::Serialize;

use crate::brief::{self, Brief};
use crate::id::TraceId;
use crate::table::{self, Column};

/// Durations, counted in buckets.
mod durations;

pub use durations::Durations;

/// Groups that are kept apart.
pub const MOST_GROUPS: usize = 1000;
/// The value of requests that do not have the attribute.
const NONE: &str = "(none)";
/// Cells of a histogram.
const CELLS: usize = 16;

/// What is counted of a group.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// How many of its requests failed.
    pub errors: u64,
    /// How long they took.
    pub durations: Durations,
    /// The slowest request: how long it took, and its trace.
    slowest: Option<(u64, TraceId)>,
    /// The last request that failed: when it began, and its trace.
    failed: Option<(u64, TraceId)>,
}

/// Statistics that are being made.
#[derive(Debug)]
pub struct Stats {
    /// The attribute whose values are told apart instead of routes.
    by: Option<String>,
    groups: HashMap<(String, String), Group>,
    others: Group,
    most: usize,
}

/// What came of it: each group with its service and its route or value, the one with the most requests first.
#[derive(Debug)]
pub struct Table {
    by: Option<String>,
    rows: Vec<(String, String, Group)>,
}

impl Stats {
    /// By service and route, or by service and the value that [`Brief::by`] holds of the attribute `by`.
    pub fn new(by: Option<String>) -> Self {
        Self { by, groups: HashMap::new(), others: Group::default(), most: MOST_GROUPS }
    }

    /// Takes the spans of one trace, sorted.
    pub fn take(&mut self, spans: &[Brief]) {
        for span in brief::requests(spans) {
            let value = match &self.by {
                Some(_) => span.by.as_deref().unwrap_or(NONE).to_owned(),
                None => span.what.as_ref().map(|what| what.place()).unwrap_or_default(),
            };
            let key = (span.service.to_string(), value);
            let has_room = self.groups.len() < self.most;
            let group = match self.groups.get_mut(&key) {
                Some(group) => group,
                None if has_room => self.groups.entry(key).or_default(),
                None => &mut self.others,
            };
            group.take(span);
        }
    }

    /// The table.
    pub fn finish(self) -> Table {
        let mut rows: Vec<_> =
            self.groups.into_iter().map(|((service, value), group)| (service, value, group)).collect();
        rows.sort_by(|(a_service, a_value, a), (b_service, b_value, b)| {
            let count = b.durations.count().cmp(&a.durations.count());
            count.then_with(|| (a_service, a_value).cmp(&(b_service, b_value)))
        });
        if self.others.durations.count() > 0 {
            rows.push((table::OTHERS.to_owned(), String::new(), self.others));
        }
        Table { by: self.by, rows }
    }
}

impl Group {
    fn take(&mut self, span: &Brief) {
        let duration = span.duration();
        self.durations.add(duration);
        // Of two that are equally slow the one with the lesser id: the order of the files must not matter.
        let slower = |known: (u64, TraceId)| (duration, known.1) > (known.0, span.trace);
        if self.slowest.is_none_or(slower) {
            self.slowest = Some((duration, span.trace));
        }
        if span.failed {
            self.errors += 1;
            self.failed = self.failed.max(Some((span.start, span.trace)));
        }
    }
}

impl Table {
    /// Whether no request was found.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The groups: service, route or value, and what was counted.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str, &Group)> {
        self.rows.iter().map(|(service, value, group)| (&**service, &**value, group))
    }

    /// The table as text, `width` columns wide, with a histogram for each row over one logarithmic axis; nothing of an empty
    /// one.
    pub fn text(&self, width: usize) -> String {
        let least = self.rows.iter().filter_map(|(_, _, group)| group.durations.min()).min();
        let most = self.rows.iter().filter_map(|(_, _, group)| group.durations.max()).max();
        let (Some(least), Some(most)) = (least, most) else { return String::new() };
        let mut columns = vec![Column::cut("service"), Column::cut(self.by.as_deref().unwrap_or("route"))];
        columns.extend(["requests", "errors", "p50 ms", "p95 ms", "p99 ms", "max ms"].map(Column::number));
        let cells = match width {
            ..table::NARROW => 0,
            table::NARROW..table::WIDE => CELLS / 2,
            _ => CELLS,
        };
        if cells == CELLS {
            let (least, most) = (table::milliseconds(least), table::milliseconds(most));
            columns.push(Column::text(format!("{least} … {most}")));
        } else if cells > 0 {
            columns.push(Column::text("spread"));
        }
        columns.push(Column::text("slowest"));
        let rows: Vec<Vec<String>> = self
            .rows()
            .map(|(service, value, group)| {
                let durations = &group.durations;
                let mut row = vec![
                    service.to_owned(),
                    value.to_owned(),
                    durations.count().to_string(),
                    group.errors.to_string(),
                ];
                row.extend(
                    [0.5, 0.95, 0.99]
                        .map(|part| durations.quantile(part).unwrap_or(0))
                        .map(table::milliseconds),
                );
                row.push(table::milliseconds(durations.max().unwrap_or(0)));
                if cells > 0 {
                    row.push(bars(&durations.spread(least, most, cells)));
                }
                row.extend(group.slowest.map(|(_, trace)| table::id(trace, width)));
                row
            })
            .collect();
        table::render(&columns, &rows, width)
    }

    /// The table as JSON, one object a line; durations are milliseconds.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            service: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            route: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            by: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            value: Option<&'a str>,
            requests: u64,
            errors: u64,
            p50_ms: f64,
            p95_ms: f64,
            p99_ms: f64,
            max_ms: f64,
            slowest_trace_id: Option<String>,
            failed_trace_id: Option<String>,
        }
        let object = |(service, value, group): (&str, &str, &Group)| {
            let ms = |nanoseconds: Option<u64>| nanoseconds.unwrap_or(0) as f64 / 1e6;
            let [p50_ms, p95_ms, p99_ms] = [0.5, 0.95, 0.99].map(|part| ms(group.durations.quantile(part)));
            let id = |example: Option<(u64, TraceId)>| example.map(|(_, trace)| trace.to_string());
            table::json(&Object {
                service,
                route: self.by.is_none().then_some(value),
                by: self.by.as_deref(),
                value: self.by.is_some().then_some(value),
                requests: group.durations.count(),
                errors: group.errors,
                p50_ms,
                p95_ms,
                p99_ms,
                max_ms: ms(group.durations.max()),
                slowest_trace_id: id(group.slowest),
                failed_trace_id: id(group.failed),
            })
        };
        self.rows().map(object).collect()
    }
}

/// Counts as bars; the highest is whole, and whatever is there can be seen.
fn bars(counts: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &u64| match count {
        0 => ' ',
        count => BARS[(u128::from(*count) * 7 / u128::from(most)) as usize],
    };
    counts.iter().map(bar).collect()
}
