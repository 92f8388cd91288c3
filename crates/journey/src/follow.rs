//! Requests as they complete, from files that grow: what was written since the last look → which requests can be told.
//!
//! A request can be told when its trace has a beginning, every parent is there, and nothing was added for [`QUIET`]; one that
//! stays in parts, when nothing was added for [`LATE`]; at the latest [`LONGEST`] after its first span was seen. It is
//! remembered as long as there is room, so that a span that comes later tells the request again only if that changes
//! what was told of its outcome, and then as a correction. Held are [`MOST_BYTES`] of spans and lines, about: beyond that
//! first what was told is forgotten, then the trace that nothing was added to for longest is told as it is.
//!
//! Pure: bytes and times in, requests out.

use std::collections::HashMap;
use std::time::Duration;

use crate::brief::{self, Brief, Picks};
use crate::id::TraceId;
use crate::line::Line;
use crate::objects;
use crate::otlp;
use crate::story::in_time_order;
use crate::traces::{Filter, Row};

/// One line a request.
mod tell;

pub use tell::{json, text};

/// A whole trace that nothing was added to for so long is complete: exporters send what they have within it.
pub const QUIET: Duration = Duration::from_secs(2);
/// The same of a trace of which something is missing.
pub const LATE: Duration = Duration::from_secs(10);
/// A trace is told as it is so long after its first span was seen.
pub const LONGEST: Duration = Duration::from_secs(60);
/// Bytes of spans and lines that are held, roughly.
pub const MOST_BYTES: usize = 40 << 20;
/// What a trace takes beside them, roughly.
const OF_TRACE: usize = 256;

/// Reads what was written.
#[derive(Debug, Default)]
pub struct Reader {
    /// What is kept of spans.
    pub picks: Picks,
    /// Whether log lines are wanted.
    pub with_lines: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Part {
    spans: Vec<Brief>,
    lines: Vec<Line>,
}

impl Reader {
    /// Reads whole lines, or where `is_ended` is false a last line without its end. Answers whether all was understood;
    /// half a line that is not is not read.
    pub fn read(&self, block: &[u8], is_ended: bool) -> (Part, bool) {
        let mut part = Part::default();
        let mut is_understood = true;
        for line in block.split(|byte| *byte == b'\n') {
            is_understood &= brief::each(line, &self.picks, &mut part.spans);
            if self.with_lines {
                is_understood &= each_line(line, &mut part.lines);
            }
        }
        match is_understood || is_ended {
            true => (part, is_understood),
            false => (Part::default(), false),
        }
    }
}

/// What can be told of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The request.
    pub row: Row,
    /// Whether it was told before, and what was told of it has changed.
    pub is_correction: bool,
    /// Its log lines in time order, if they are wanted: those that were not told yet.
    pub lines: Vec<Line>,
}

/// Requests that are under way.
#[derive(Debug)]
pub struct Follow {
    filter: Filter,
    open: HashMap<TraceId, Open>,
    bytes: usize,
    most: usize,
}

#[derive(Debug, Default)]
struct Open {
    spans: Vec<Brief>,
    lines: Vec<Line>,
    bytes: usize,
    /// When its first span or line since it was judged was seen, and its last.
    seen: (Duration, Duration),
    /// What was told of it last; it matched then.
    told: Option<Row>,
    /// Whether nothing has come since it was judged.
    is_judged: bool,
}

impl Follow {
    /// Of requests that `filter` is true of.
    pub fn new(filter: Filter) -> Self {
        Self { filter, open: HashMap::new(), bytes: 0, most: MOST_BYTES }
    }

    /// Takes what was read at the moment `now`; gives to `done` what must go for it.
    pub fn take(&mut self, part: Part, now: Duration, done: &mut dyn FnMut(Told)) {
        for span in part.spans {
            let weight = span.weight();
            self.add(span.trace, weight, now, |open| open.spans.push(span));
            self.make_room(done);
        }
        for line in part.lines {
            let weight = 2 * line.raw.len() + size_of::<Line>();
            self.add(line.trace, weight, now, |open| open.lines.push(line));
            self.make_room(done);
        }
    }

    /// Gives every request that can be told at the moment `now` to `done`, in the order of their beginnings.
    pub fn look(&mut self, now: Duration, done: &mut dyn FnMut(Told)) {
        let is_due = |open: &Open| {
            let quiet = now.saturating_sub(open.seen.1);
            let is_late = quiet >= LATE || now.saturating_sub(open.seen.0) >= LONGEST;
            !open.is_judged && (is_late || quiet >= QUIET && open.is_whole())
        };
        let due: Vec<TraceId> =
            self.open.iter().filter(|(_, open)| is_due(open)).map(|(trace, _)| *trace).collect();
        let mut told: Vec<Told> = due.into_iter().filter_map(|trace| self.judge(trace)).collect();
        told.sort_unstable_by_key(|told| (told.row.start, told.row.trace));
        told.into_iter().for_each(done);
    }

    fn add(&mut self, trace: TraceId, weight: usize, now: Duration, add: impl FnOnce(&mut Open)) {
        let open = self.open.entry(trace).or_insert_with(|| {
            self.bytes += OF_TRACE;
            Open { bytes: OF_TRACE, seen: (now, now), ..Open::default() }
        });
        add(open);
        if open.is_judged {
            open.seen.0 = now;
        }
        open.bytes += weight;
        self.bytes += weight;
        open.seen.1 = now;
        open.is_judged = false;
    }

    /// Where there is too much, forgets what was told, then tells what was not, the longest untouched first, until a tenth
    /// of the traces is gone.
    fn make_room(&mut self, done: &mut dyn FnMut(Told)) {
        if self.bytes <= self.most {
            return;
        }
        let mut order: Vec<(bool, Duration, TraceId)> =
            self.open.iter().map(|(trace, open)| (!open.is_judged, open.seen.1, *trace)).collect();
        order.sort_unstable();
        let count = order.len().div_ceil(10);
        for (is_new, _, trace) in order.into_iter().take(count) {
            if let Some(told) = is_new.then(|| self.judge(trace)).flatten() {
                done(told);
            }
            self.bytes -= self.open.remove(&trace).map_or(0, |open| open.bytes);
        }
    }

    /// What there is to tell of `trace`, if anything is.
    fn judge(&mut self, trace: TraceId) -> Option<Told> {
        let open = self.open.get_mut(&trace)?;
        open.is_judged = true;
        brief::keep_each_once(&mut open.spans);
        let row = Row::of(&open.spans).filter(|row| self.filter.is_met(row, &open.spans))?;
        let before = open.told.replace(row.clone());
        let is_correction = before.as_ref().is_some_and(|before| !before.says_the_same(&row));
        let lines = in_time_order(std::mem::take(&mut open.lines));
        let is_new = before.is_none() || is_correction || !lines.is_empty();
        is_new.then_some(Told { row, is_correction, lines })
    }
}

impl Open {
    /// Whether it has a beginning and no parent is missing.
    fn is_whole(&self) -> bool {
        let ids: std::collections::HashSet<_> = self.spans.iter().map(|span| span.id).collect();
        self.spans.iter().any(|span| span.parent.is_none())
            && self.spans.iter().all(|span| span.parent.is_none_or(|parent| ids.contains(&parent)))
    }
}

/// Adds the log lines in a line of a file to `found`; `false` if something in it was not understood.
fn each_line(line: &[u8], found: &mut Vec<Line>) -> bool {
    objects::each(line, |text| {
        let (is_request, length) = otlp::records(text, |record| found.extend(otlp::line(record)))?;
        if !is_request {
            let object = serde_json::from_str(&text[..length]).ok()?;
            found.extend(Line::from_object(object, text[..length].to_owned()));
        }
        Some(length)
    })
}

#[cfg(test)]
mod tests;
