//! One search: reads [`Input`], keeps what belongs to the wanted id, says what could not be read.

use std::collections::{BTreeSet, HashMap};

use crate::cut::Cut;
use crate::id::{SpanId, TraceId, Wanted};
use crate::index::Keys;
use crate::input::{Block, Input, Tally, Unreadable};
use crate::line::Line;
use crate::objects;
use crate::otlp::{self, Object};
use crate::scan::Needles;
use crate::span::{Attributes, Span};
use crate::story::{Story, Target};

/// What was done again later, under traces of its own.
mod runs;

pub use runs::MOST_RUNS;

/// Spans of other traces that a story links to are looked up until there are this many.
const MOST_LINKS: usize = 64;
/// Where a prefix fits several traces, so many spans and lines of them are held: all that is asked of them then is their ids.
const MOST_OF_PREFIX: usize = 10_000;

/// A search for an id, over files that may still grow.
#[derive(Debug)]
pub struct Search {
    wanted: Vec<Wanted>,
    needles: Needles,
    input: Input,
    found: Found,
}

/// What was found until now.
#[derive(Debug, Default)]
struct Found {
    spans: Vec<Span>,
    lines: Vec<Line>,
    /// Traces that a prefix fits, as it fits others, of which no spans and lines are held.
    others: BTreeSet<TraceId>,
    /// How many spans and lines may be held until it is looked again whether a prefix fits several traces.
    until: usize,
    /// Other traces that go on from a wanted one.
    goes_on: Vec<TraceId>,
    /// Spans as they were written, where they are wanted so.
    cut: Option<Cut>,
    damaged: u64,
    half: u64,
}

impl Search {
    /// Looks for `wanted` in `input`; nothing is read yet.
    pub fn new(wanted: Wanted, input: Input) -> Self {
        Self::for_any(vec![wanted], input)
    }

    /// Looks for any of `wanted`, so that everything is read only once for several.
    pub fn for_any(wanted: Vec<Wanted>, input: Input) -> Self {
        Self { needles: Needles::of_any(&wanted), wanted, input, found: Found::default() }
    }

    /// Keeps spans as they were written as well, for [`Self::otlp`].
    pub fn keeping_written(mut self) -> Self {
        self.found.cut = Some(Cut::default());
        self
    }

    /// Reads what has been written since the last call.
    ///
    /// # Errors
    /// As [`Input::read`].
    pub fn read(&mut self) -> Result<(), Unreadable> {
        self.read_telling(&mut |_| {})
    }

    /// The same, and says now and then how many bytes this call has read.
    ///
    /// # Errors
    /// As [`Input::read`].
    pub fn read_telling(&mut self, tell: &mut dyn FnMut(u64)) -> Result<(), Unreadable> {
        let mut read = 0;
        let Self { wanted, needles, input, found } = self;
        found.half = 0;
        input.look_for(wanted.iter().map(Keys::wanted).collect());
        let keeps = found.cut.is_some();
        let is_wanted = |trace| wanted.iter().any(|wanted| wanted.is(trace));
        let work = |block: Block<'_>| Found::in_block(block, needles, keeps, is_wanted);
        input.read(&work, &mut |in_block, bytes| {
            read += bytes;
            tell(read);
            found.extend(in_block);
            found.let_go_of_what_is_vague(wanted);
        })
    }

    /// How many spans and lines were found, duplicates included: grows with everything that is found.
    pub fn count(&self) -> usize {
        self.found.count() + self.found.others.len()
    }

    /// The traces found, in the order of their ids.
    pub fn traces(&self) -> Vec<TraceId> {
        let mut traces: Vec<TraceId> = self.found.spans.iter().map(|span| span.trace).collect();
        traces.extend(self.found.lines.iter().map(|line| line.trace));
        traces.extend(&self.found.others);
        traces.sort_unstable();
        traces.dedup();
        traces
    }

    /// The story of `trace`, as far as it has been read.
    pub fn story(&self, trace: TraceId) -> Story {
        self.found.story(trace)
    }

    /// The log lines of `trace`, in time order, each once.
    pub fn lines(&self, trace: TraceId) -> Vec<Line> {
        let lines = self.found.lines.iter().filter(|line| line.trace == trace).cloned().collect();
        crate::story::in_time_order(lines)
    }

    /// The spans of `traces` that this search has read, as OTLP/JSON: one export request a line, grouped by resource and
    /// scope, each span once, with everything that was written of it. Nothing unless [`Self::keeping_written`].
    pub fn otlp(&self, traces: &[TraceId]) -> String {
        self.found.cut.as_ref().map(|cut| cut.lines(traces)).unwrap_or_default()
    }

    /// Looks up the spans that `stories` link to, reading everything once more; does nothing if they link to none.
    ///
    /// # Errors
    /// As [`Input::read`].
    pub fn follow_links(&mut self, stories: &mut [Story]) -> Result<(), Unreadable> {
        let ids: Vec<(TraceId, SpanId)> = stories.iter().flat_map(Story::links).take(MOST_LINKS).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let needles = Needles::of_spans(ids.iter().map(|(_, span)| span));
        let mut targets = HashMap::new();
        self.input.rewind();
        self.input.look_for(ids.iter().map(|(linked, _)| Keys::of(*linked)).collect());
        let is_wanted = |trace| ids.iter().any(|(linked, _)| *linked == trace);
        let work = |block: Block<'_>| Found::in_block(block, &needles, false, is_wanted);
        self.input.read(&work, &mut |found, _| {
            for span in found.spans.into_iter().filter(|span| ids.contains(&(span.trace, span.id))) {
                targets.insert((span.trace, span.id), Target::of(&span));
            }
        })?;
        stories.iter_mut().for_each(|story| story.name_links(&targets));
        Ok(())
    }

    /// How much was read.
    pub fn tally(&self) -> &Tally {
        self.input.tally()
    }

    /// How many lines hold the id and could not be understood: damaged ones, and ones that end too early.
    pub fn not_understood(&self) -> (u64, u64) {
        (self.found.damaged, self.found.half)
    }
}

impl Found {
    /// What `block` tells about wanted traces, and whether a last line without its end was understood.
    fn in_block(
        block: Block<'_>,
        needles: &Needles,
        keeps_written: bool,
        is_wanted: impl Fn(TraceId) -> bool + Copy,
    ) -> (Self, bool) {
        let mut found = Self { cut: keeps_written.then(Cut::default), ..Self::default() };
        let mut is_understood = block.is_ended;
        for line in needles.lines(block.text) {
            is_understood = found.take(line, needles, is_wanted);
            match (is_understood, block.is_ended) {
                (true, _) => {}
                (false, true) => found.damaged += 1,
                (false, false) => found.half += 1,
            }
        }
        (found, is_understood)
    }

    /// Adds what another block tells.
    fn extend(&mut self, other: Self) {
        self.spans.extend(other.spans);
        self.lines.extend(other.lines);
        self.goes_on.extend(other.goes_on);
        if let (Some(cut), Some(other)) = (&mut self.cut, other.cut) {
            cut.extend(other);
        }
        self.damaged += other.damaged;
        self.half += other.half;
    }

    fn count(&self) -> usize {
        self.spans.len() + self.lines.len()
    }

    /// Lets go of what a prefix fits, but for the ids, once it is much and of several traces.
    fn let_go_of_what_is_vague(&mut self, wanted: &[Wanted]) {
        if self.count() <= self.until.max(MOST_OF_PREFIX) {
            return;
        }
        let is_vague = |trace: &TraceId| !wanted.contains(&Wanted::Trace(*trace));
        let of_spans = self.spans.iter().map(|span| span.trace);
        let all: BTreeSet<TraceId> = of_spans.chain(self.lines.iter().map(|line| line.trace)).collect();
        let vague: BTreeSet<TraceId> = all.into_iter().filter(is_vague).collect();
        if vague.len() + self.others.len() > 1 {
            self.spans.retain(|span| !is_vague(&span.trace));
            self.lines.retain(|line| !is_vague(&line.trace));
            self.cut.iter_mut().for_each(|cut| cut.retain(|trace| !is_vague(trace)));
            self.others.extend(vague);
        }
        // One trace may be as large as this and larger: it is not counted again at every block.
        self.until = self.count() * 2;
    }

    fn story(&self, trace: TraceId) -> Story {
        let spans = self.spans.iter().filter(|span| span.trace == trace).cloned().collect();
        let lines = self.lines.iter().filter(|line| line.trace == trace).cloned().collect();
        Story::new(trace, spans, lines)
    }

    /// Keeps what `line` tells about a wanted trace; `false` if it is no JSON, or only in part.
    fn take(&mut self, line: &[u8], needles: &Needles, is_wanted: impl Fn(TraceId) -> bool) -> bool {
        objects::each(line, |text| self.take_object(text, needles, &is_wanted))
    }

    /// Takes the object that `text` begins with and says how long it is.
    fn take_object(
        &mut self,
        text: &str,
        needles: &Needles,
        is_wanted: &impl Fn(TraceId) -> bool,
    ) -> Option<usize> {
        let (object, length) = otlp::read(text, needles)?;
        if let Object::Request(spans, lines) = object {
            if let Some(cut) = &mut self.cut {
                cut.take(&text[..length], needles, is_wanted);
            }
            for span in spans {
                match is_wanted(span.trace) {
                    true => self.spans.push(span),
                    false if span.goes_on_from().any(is_wanted) => self.goes_on.push(span.trace),
                    false => {}
                }
            }
            self.lines.extend(lines.into_iter().filter(|line| is_wanted(line.trace)));
            return Some(length);
        }
        let object: Attributes = serde_json::from_str(&text[..length]).ok()?;
        let line = Line::from_object(object, text[..length].to_owned());
        self.lines.extend(line.filter(|line| is_wanted(line.trace)));
        Some(length)
    }
}
