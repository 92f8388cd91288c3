//! Continuity: whether every hop carried the trace on, and where it did not, which hop and why.
//!
//! [`Audit`] takes what [`read`] reads and is pure: `now` is an argument, and the order of the input changes nothing while it
//! fits. Memory is bounded, however much is read: about 64 MB of spans and lines of traces that are still open (some
//! 350,000 spans; the input is read in the order of its times, see [`reading`]), 100,000 each of calls, beginnings and
//! suspicions that other traces may explain, 10,000 names of services and processes, 1,000 findings.
//!
//! What is no break: a caller outside, whose spans nobody has sent here; a later run of a task, linked to its first; a
//! hit, linked to what filled it; a process that was killed in the middle of a request; what may still be on its way.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Breaks by hop and cause.
mod findings;
/// A span and a line, as far as an audit looks at them.
mod hop;
/// One trace.
mod judge;
/// What is remembered across traces.
mod ledger;
/// Telemetry that was counted as lost.
mod losses;
/// Lost contexts, by what was asked and when.
mod matching;
/// Traces that are still open.
mod open;
/// Files → what an audit takes.
mod reading;
/// The answer, as text and as JSON.
mod report;
/// What may be broken → what is.
mod settle;

pub use findings::Finding;
pub use reading::{Counts, Read, read};
pub use report::{Note, Report};

use hop::Told;
use ledger::Ledger;
use losses::Losses;
use open::{MOST_BYTES, Open, OpenTraces};

/// Services whose lines are counted apart.
const MOST_SERVICES: usize = 1000;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Only requests that began then or later, in nanoseconds since 1970.
    pub since: Option<u64>,
    /// Only requests that began then or earlier.
    pub until: Option<u64>,
    /// Only hops from or to this service.
    pub service: Option<String>,
    /// When this is asked, in nanoseconds since 1970.
    pub now: u64,
    /// What ended so many nanoseconds before `now`, or later, may still be on its way.
    pub settle: u64,
}

/// Why a hop is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A call was answered by a service that began a trace of its own for it.
    NotForwarded,
    /// The same, and it says that it did not believe the caller's context.
    NotTrusted,
    /// The same, and it says that it could not read the caller's context.
    Malformed,
    /// Lines, children or answers tell of a span that was never written.
    NotExported,
    /// The trace went on from a span that nobody recorded on purpose.
    Unsampled,
    /// Spans stand outside their parents' time.
    Clock,
    /// One id for two things.
    DuplicateId,
    /// Spans were counted as lost.
    SpansDropped,
    /// Log lines were counted as lost.
    LinesDropped,
    /// Lines of requests do not say of which trace.
    NoIds,
}

/// An audit that is being made.
#[derive(Debug)]
pub struct Audit {
    settings: Settings,
    open: OpenTraces,
    ledger: Ledger,
    losses: Losses,
    lines: BTreeMap<Arc<str>, Lines>,
    /// Series of files that are read after the others because there are too many.
    late: usize,
}

/// The lines of requests of one service.
#[derive(Debug, Default)]
struct Lines {
    all: u64,
    without_ids: u64,
    first: u64,
    last: u64,
}

impl Settings {
    /// Whether a trace of this extent is looked at.
    fn counts(&self, start: u64, end: u64) -> bool {
        self.is_in_range(start) && !self.is_in_flight(start, end)
    }

    fn is_in_range(&self, time: u64) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
    }

    /// Whether it is wanted, and more of it may come.
    fn is_in_flight(&self, start: u64, end: u64) -> bool {
        self.is_in_range(start) && end.saturating_add(self.settle) > self.now
    }
}

impl Cause {
    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotForwarded => "not forwarded",
            Self::NotTrusted => "not trusted",
            Self::Malformed => "malformed context",
            Self::NotExported => "not exported",
            Self::Unsampled => "unsampled parent",
            Self::Clock => "clocks disagree",
            Self::DuplicateId => "duplicate id",
            Self::SpansDropped => "spans dropped",
            Self::LinesDropped => "log lines dropped",
            Self::NoIds => "lines without ids",
        }
    }

    /// Whether something seems to be missing, which may also not have been read yet.
    fn is_of_missing(self) -> bool {
        matches!(self, Self::NotForwarded | Self::NotExported | Self::Unsampled)
    }

    /// Whether it is a request that broke.
    fn is_of_request(self) -> bool {
        !matches!(self, Self::Clock | Self::SpansDropped | Self::LinesDropped | Self::NoIds)
    }
}

impl Audit {
    /// Nothing is taken yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            losses: Losses::new(settings.since, settings.until),
            settings,
            open: OpenTraces::new(MOST_BYTES),
            ledger: Ledger::default(),
            lines: BTreeMap::new(),
            late: 0,
        }
    }

    /// Takes lines of spans and log lines, of OTLP or flat. What cannot be understood is left out; says how many lines.
    pub fn take(&mut self, block: &[u8]) -> u64 {
        let mut seen = hop::Seen::default();
        block.split(|byte| *byte == b'\n').for_each(|line| seen.take(line));
        let odd = seen.odd;
        self.take_seen(seen);
        odd
    }

    /// Takes one line of metrics; others tell nothing.
    pub fn take_metrics(&mut self, line: &[u8]) {
        self.losses.take(line);
    }

    /// So many series of files are read after the others.
    fn read_late(&mut self, series: usize) {
        self.late = series;
    }

    fn take_seen(&mut self, seen: hop::Seen) {
        let Self { settings, open, ledger, lines, .. } = self;
        let mut done = |open: Open| judge::judge(open, settings, ledger);
        for hop in seen.hops {
            open.take_hop(hop, &mut done);
        }
        for told in seen.told {
            count(lines, settings, &told);
            if let Some(trace) = told.trace {
                open.take_told(trace, told, &mut done);
            }
        }
    }

    /// The answer.
    pub fn finish(self) -> Report {
        let Self { settings, mut open, mut ledger, losses, lines, late } = self;
        let late = if open.has_overflowed() { late } else { 0 };
        open.finish(&mut |open| judge::judge(open, &settings, &mut ledger));
        matching::run(&mut ledger, true);
        settle::suspects(&mut ledger, true);
        settle::clocks(&mut ledger);
        Report::of(&settings, ledger, &losses, lines, late)
    }
}

/// Counts lines of requests, with ids and without.
fn count(lines: &mut BTreeMap<Arc<str>, Lines>, settings: &Settings, told: &Told) {
    let has_room = lines.len() < MOST_SERVICES || lines.contains_key(&told.service);
    if !told.is_of_request || !settings.is_in_range(told.time) || !has_room {
        return;
    }
    let lines = lines.entry(told.service.clone()).or_default();
    lines.all += 1;
    if told.trace.is_none() {
        lines.first = if lines.without_ids == 0 { told.time } else { lines.first.min(told.time) };
        lines.last = lines.last.max(told.time);
        lines.without_ids += 1;
    }
}
