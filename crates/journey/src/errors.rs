//! What failed: spans grouped by kind of failure and place.
//!
//! A place is a service and a method and route in it, or a span's name. A failure that makes its callers fail as well is told at each
//! place; `first` counts where it is the first one, with no failed span beneath it. Bounds: [`MOST_GROUPS`] groups, the
//! rest together in one, [`EXAMPLES`] traces of each. Pure; the order of the traces changes nothing while the groups fit.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;

use crate::brief::{self, Brief};
use crate::id::{SpanId, TraceId};
use crate::table::{self, Column};

/// Groups that are kept apart.
pub const MOST_GROUPS: usize = 1000;
/// Traces that are named of each group: the last ones.
pub const EXAMPLES: usize = 3;
/// The kind of a failure that does not name one.
const UNTOLD: &str = "(not told)";

/// The failures of one kind at one place.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// How many there are.
    pub count: u64,
    /// Beneath how many of them nothing else failed.
    pub first: u64,
    /// When the first and the last of them ended, in nanoseconds since 1970.
    pub seen: Option<(u64, u64)>,
    /// What the last one says about itself.
    message: Option<(u64, TraceId, Box<str>)>,
    /// The last ones, by their end.
    examples: BTreeSet<(u64, TraceId)>,
}

/// A kind of failure, a service, and a place in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The kind of failure.
    pub error: String,
    /// The service.
    pub service: String,
    /// Method and route, or the span's name.
    pub place: String,
}

/// Failures that are being gathered.
#[derive(Debug)]
pub struct Errors {
    groups: HashMap<Key, Group>,
    others: Group,
    since: Option<u64>,
    until: Option<u64>,
    most: usize,
}

/// What came of it, the most frequent first.
#[derive(Debug)]
pub struct Table(Vec<(Key, Group)>);

impl Errors {
    /// Of spans that ended within `since` and `until`, in nanoseconds since 1970.
    pub fn new(since: Option<u64>, until: Option<u64>) -> Self {
        Self { groups: HashMap::new(), others: Group::default(), since, until, most: MOST_GROUPS }
    }

    /// Takes the spans of one trace, sorted.
    pub fn take(&mut self, spans: &[Brief]) {
        let failed = || spans.iter().filter(|span| span.failed);
        // All that stand above a failed one, whether or not they say that they failed.
        let mut above: HashSet<SpanId> = HashSet::new();
        for span in failed() {
            let mut parent = span.parent;
            while let Some(id) = parent.filter(|id| above.insert(*id)) {
                parent = brief::find(spans, id).and_then(|span| span.parent);
            }
        }
        for span in failed() {
            if self.since.is_some_and(|since| span.end < since)
                || self.until.is_some_and(|until| span.end > until)
            {
                continue;
            }
            let what = span.what.as_deref();
            let error = what.and_then(|what| what.error.as_deref()).unwrap_or(UNTOLD);
            let key = Key {
                error: error.to_owned(),
                service: span.service.to_string(),
                place: what.map(|what| what.place()).unwrap_or_default(),
            };
            let has_room = self.groups.len() < self.most;
            let group = match self.groups.get_mut(&key) {
                Some(group) => group,
                None if has_room => self.groups.entry(key).or_default(),
                None => &mut self.others,
            };
            group.take(span, !above.contains(&span.id));
        }
    }

    /// The table.
    pub fn finish(self) -> Table {
        let mut rows: Vec<_> = self.groups.into_iter().collect();
        rows.sort_by(|(a_key, a), (b_key, b)| {
            let last = |group: &Group| group.seen.map(|(_, last)| last);
            b.count.cmp(&a.count).then_with(|| last(b).cmp(&last(a))).then_with(|| a_key.cmp(b_key))
        });
        if self.others.count > 0 {
            let key = Key { error: table::OTHERS.to_owned(), service: String::new(), place: String::new() };
            rows.push((key, self.others));
        }
        Table(rows)
    }
}

impl Group {
    fn take(&mut self, span: &Brief, is_first: bool) {
        self.count += 1;
        self.first += u64::from(is_first);
        let (first, last) = self.seen.unwrap_or((span.end, span.end));
        self.seen = Some((first.min(span.end), last.max(span.end)));
        let message = span.what.as_ref().and_then(|what| what.message.as_ref());
        if let Some(message) = message {
            let told = (span.end, span.trace, message);
            if self.message.as_ref().is_none_or(|(end, trace, known)| told > (*end, *trace, known)) {
                self.message = Some((span.end, span.trace, message.clone()));
            }
        }
        // A trace that failed here several times is one example.
        let known = self.examples.iter().find(|(_, trace)| *trace == span.trace).copied();
        if known.is_none_or(|(end, _)| end < span.end) {
            if let Some(known) = known {
                self.examples.remove(&known);
            }
            self.examples.insert((span.end, span.trace));
        }
        if self.examples.len() > EXAMPLES {
            self.examples.pop_first();
        }
    }

    fn latest(&self) -> impl Iterator<Item = TraceId> {
        self.examples.iter().rev().map(|(_, trace)| *trace)
    }
}

impl Table {
    /// Whether nothing failed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The groups.
    pub fn rows(&self) -> &[(Key, Group)] {
        &self.0
    }

    /// The table as text, `width` columns wide; nothing of an empty one.
    pub fn text(&self, width: usize) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let (is_wide, is_narrow) = (width >= table::WIDE, width < table::NARROW);
        let mut columns = vec![
            Column::number("count"),
            Column::text("first seen"),
            Column::text("last seen"),
            Column::text("trace"),
            Column::cut("type"),
            Column::cut("place"),
        ];
        if !is_narrow {
            columns.insert(1, Column::number("first"));
        }
        if is_wide {
            columns.push(Column::cut("says"));
        }
        let row = |(key, group): &(Key, Group)| {
            let (first, last) = group.seen.unwrap_or_default();
            let mut cells = vec![
                group.count.to_string(),
                table::second(first),
                table::second(last),
                group.latest().next().map(|trace| table::id(trace, width)).unwrap_or_default(),
                key.error.clone(),
                format!("{} {}", key.service, key.place).trim().to_owned(),
            ];
            if !is_narrow {
                cells.insert(1, group.first.to_string());
            }
            if is_wide {
                let message = group.message.as_ref().map(|(_, _, text)| text.to_string());
                cells.push(message.unwrap_or_default());
            }
            cells
        };
        table::render(&columns, &self.0.iter().map(row).collect::<Vec<_>>(), width)
    }

    /// The table as JSON, one object a line.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            #[serde(rename = "type")]
            error: &'a str,
            service: &'a str,
            place: &'a str,
            count: u64,
            first: u64,
            first_seen: Option<String>,
            last_seen: Option<String>,
            message: Option<&'a str>,
            trace_ids: Vec<String>,
        }
        let object = |(key, group): &(Key, Group)| {
            table::json(&Object {
                error: &key.error,
                service: &key.service,
                place: &key.place,
                count: group.count,
                first: group.first,
                first_seen: group.seen.map(|(first, _)| table::moment(first)),
                last_seen: group.seen.map(|(_, last)| table::moment(last)),
                message: group.message.as_ref().map(|(_, _, text)| &**text),
                trace_ids: group.latest().map(|trace| trace.to_string()).collect(),
            })
        };
        self.0.iter().map(object).collect()
    }
}
