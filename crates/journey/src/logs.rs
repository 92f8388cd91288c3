//! Log lines, found by what is in them: level, logger, service, text, time.
//!
//! [`Logs`] takes blocks of lines and keeps the newest that match, [`Filter::limit`] of them and [`MOST_BYTES`] at most,
//! in time order; lines that do not say when come first. Pure; the order of the input changes nothing while they fit. Text is
//! looked for before anything is parsed, and so is the level in lines that are plainly spelt. Records of OTLP are
//! looked at, and given, as the flat line that they become.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use memchr::memmem::{self, Finder};
use serde_json::Value;

use crate::escape;
use crate::line;
use crate::names;
use crate::objects;
use crate::otlp;
use crate::span::{Attributes, plain};

/// Bytes of lines that are kept.
pub const MOST_BYTES: usize = 64 << 20;

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// Why a decision was taken.
    Debug,
    /// What happened.
    Info,
    /// Handled, but not normal.
    Warn,
    /// Somebody must look.
    Error,
    /// The program ends.
    Fatal,
}

/// What was typed, or written, is no level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of `trace`, `debug`, `info`, `warn`, `error`, `fatal`")]
pub struct NotALevel;

/// Which lines are wanted: those that everything here is true of.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// It is so grave, or graver.
    pub level: Option<Level>,
    /// The logger's name begins so.
    pub logger: Option<String>,
    /// It is of one of these services, where any is named.
    pub services: Vec<String>,
    /// This occurs in it, in a name or a value.
    pub text: Option<String>,
    /// Whether small and capital letters of that text are the same: those of ASCII.
    pub ignores_case: bool,
    /// It was written then or later, in nanoseconds since 1970.
    pub since: Option<u64>,
    /// It was written then or earlier.
    pub until: Option<u64>,
    /// So many lines at most, the newest.
    pub limit: usize,
}

/// A search that is being made.
#[derive(Debug)]
pub struct Logs {
    filter: Filter,
    needle: Needle,
    kept: BinaryHeap<Reverse<Kept>>,
    bytes: usize,
    matching: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The newest lines in time order, as they were written, without their ends.
    pub lines: Vec<String>,
    /// How many match, those that are left out and repeats included.
    pub matching: u64,
}

/// A line that is kept; the oldest is the least.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    time: u64,
    raw: String,
    uid: Option<String>,
}

/// The text as it is written in JSON.
#[derive(Debug)]
struct Needle {
    exact: Option<Finder<'static>>,
    /// In small letters.
    small: Option<Vec<u8>>,
}

impl std::str::FromStr for Level {
    type Err = NotALevel;

    fn from_str(text: &str) -> Result<Self, NotALevel> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "trace" | "10" => Self::Trace,
            "debug" | "20" => Self::Debug,
            "info" | "information" | "notice" | "30" => Self::Info,
            "warn" | "warning" | "40" => Self::Warn,
            "error" | "err" | "50" => Self::Error,
            "fatal" | "critical" | "crit" | "alert" | "emergency" | "panic" | "60" => Self::Fatal,
            _ => return Err(NotALevel),
        })
    }
}

impl Filter {
    /// Whether `raw`, a flat line, is wanted.
    pub fn is_met(&self, raw: &str) -> bool {
        Needle::of(self).is_in(raw.as_bytes())
            && serde_json::from_str(raw).is_ok_and(|object| self.is_met_by(&object).is_some())
    }

    /// When the line was written, if everything but its text is as wanted; 0 if it does not say.
    fn is_met_by(&self, object: &Attributes) -> Option<u64> {
        let text = |names: &[&str]| names.iter().find_map(|name| object.get(*name)).map(plain);
        let level = || text(names::LINE_LEVEL).and_then(|text| text.parse::<Level>().ok());
        let logger = || text(names::LINE_LOGGER).unwrap_or_default();
        let service = || text(names::LINE_SERVICE).unwrap_or_default();
        let time = names::LINE_TIMESTAMP.iter().find_map(|name| object.get(*name)).and_then(line::moment);
        let is_met = self.level.is_none_or(|least| level().is_some_and(|level| level >= least))
            && self.logger.as_ref().is_none_or(|prefix| logger().starts_with(prefix.as_str()))
            && (self.services.is_empty() || self.services.contains(&service()))
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time <= until));
        is_met.then(|| time.unwrap_or(0))
    }
}

impl Needle {
    fn of(filter: &Filter) -> Self {
        let quoted = filter.text.as_ref().map(|text| Value::from(text.as_str()).to_string());
        let inner = quoted.map(|quoted| quoted.as_bytes()[1..quoted.len() - 1].to_vec());
        match filter.ignores_case {
            false => Self { exact: inner.map(|text| Finder::new(&text).into_owned()), small: None },
            true => Self { exact: None, small: inner.map(|text| text.to_ascii_lowercase()) },
        }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        self.exact.as_ref().is_none_or(|needle| needle.find(text).is_some())
            && self
                .small
                .as_ref()
                .is_none_or(|needle| memmem::find(&text.to_ascii_lowercase(), needle).is_some())
    }
}

impl Logs {
    /// Nothing is found yet.
    pub fn new(filter: Filter) -> Self {
        Self { needle: Needle::of(&filter), filter, kept: BinaryHeap::new(), bytes: 0, matching: 0 }
    }

    /// Takes a block of whole lines; says how many of those that had to be parsed could not be understood.
    pub fn take(&mut self, block: &[u8]) -> u64 {
        let mut odd = 0;
        for line in block.split(|byte| *byte == b'\n') {
            let is_of_spans = line.starts_with(br#"{"resourceSpans""#);
            if is_of_spans || !self.needle.is_in(line) || !self.may_be_grave_enough(line) {
                continue;
            }
            odd += u64::from(!objects::each(line, |text| self.take_object(text)));
        }
        odd
    }

    /// Adds what another search with the same filter has found.
    pub fn join(&mut self, other: Self) {
        self.matching += other.matching;
        other.kept.into_iter().for_each(|Reverse(kept)| self.add(kept));
    }

    /// The lines.
    pub fn finish(self) -> Found {
        let mut kept: Vec<Kept> = self.kept.into_iter().map(|Reverse(kept)| kept).collect();
        kept.sort_unstable();
        let (mut seen, mut lines) = (HashSet::new(), Vec::with_capacity(kept.len()));
        for Kept { uid, raw, .. } in kept {
            // Two lines with one `uid` are one.
            if uid.is_none_or(|uid| seen.insert(uid)) {
                lines.push(raw);
            }
        }
        Found { lines, matching: self.matching }
    }

    /// Whether the level may be as wanted, as far as can be told without parsing: `false` only where every level that is
    /// written in it is plainly less.
    fn may_be_grave_enough(&self, line: &[u8]) -> bool {
        let Some(least) = self.filter.level else { return true };
        let named = memmem::find_iter(line, br#""level""#).count();
        if named == 0 || memmem::find(line, b"severity").is_some() {
            return true;
        }
        let mut plainly = 0;
        for at in memmem::find_iter(line, br#""level":""#) {
            let value = &line[at + br#""level":""#.len()..];
            let end = memchr::memchr(b'"', value).unwrap_or(value.len());
            let level = std::str::from_utf8(&value[..end]).ok().and_then(|text| text.parse::<Level>().ok());
            if level.is_none_or(|level| level >= least) {
                return true;
            }
            plainly += 1;
        }
        plainly < named
    }

    fn take_object(&mut self, text: &str) -> Option<usize> {
        let mut records = Vec::new();
        // A record's own text is another than that of the line that it becomes.
        let (is_request, length) = otlp::records(text, |record| records.push(record))?;
        if is_request {
            for record in records {
                let raw = Value::Object(record.clone()).to_string();
                if self.needle.is_in(raw.as_bytes()) {
                    self.keep(&record, &raw);
                }
            }
            return Some(length);
        }
        let object: Attributes = serde_json::from_str(&text[..length]).ok()?;
        // Of lines that stand in one, each has to hold the text itself.
        if self.needle.is_in(&text.as_bytes()[..length]) && is_log_line(&object) {
            self.keep(&object, &text[..length]);
        }
        Some(length)
    }

    fn keep(&mut self, object: &Attributes, raw: &str) {
        let Some(time) = self.filter.is_met_by(object) else { return };
        self.matching += 1;
        let is_full = self.kept.len() >= self.filter.limit || self.bytes + raw.len() > MOST_BYTES;
        if is_full && self.kept.peek().is_some_and(|Reverse(oldest)| (time, raw) < (oldest.time, &oldest.raw))
        {
            return;
        }
        let uid = names::LINE_UID.iter().find_map(|name| object.get(*name)).map(plain);
        self.add(Kept { time, raw: raw.to_owned(), uid });
    }

    fn add(&mut self, kept: Kept) {
        self.bytes += kept.raw.len();
        self.kept.push(Reverse(kept));
        while self.kept.len() > self.filter.limit || self.bytes > MOST_BYTES {
            let Some(Reverse(oldest)) = self.kept.pop() else { break };
            self.bytes -= oldest.raw.len();
        }
    }
}

/// Whether an object that is no export request looks like a log line at all: it says when, how grave, or what.
fn is_log_line(object: &Attributes) -> bool {
    [names::LINE_TIMESTAMP, names::LINE_LEVEL, names::LINE_MESSAGE]
        .into_iter()
        .flatten()
        .any(|name| object.contains_key(*name))
}

/// The same JSON, with everything that a terminal would act on spelt out.
pub fn harmless(raw: &str) -> Cow<'_, str> {
    if !raw.chars().any(escape::is_harmful) {
        return Cow::Borrowed(raw);
    }
    let mut shown = String::with_capacity(raw.len() + 16);
    for letter in raw.chars() {
        match escape::is_harmful(letter) {
            true => letter
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| shown.push_str(&format!("\\u{unit:04x}"))),
            false => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}
