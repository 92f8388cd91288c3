//! One clock for all hosts: what each process says about time, moved to where it can have been.
//!
//! A server answers while its client waits, and nobody takes a message before it is sent: so each span at which a request enters
//! another process bounds how far the two clocks can lie apart. All such visits of a process together give it one correction: none
//! where what it wrote fits within [`TOLERATED`], else the middle of what the bounds leave, as if both ways took as long. Where a
//! span ends is no bound after its caller gave up, or where it lasted longer than its caller, or for a message: work that nobody
//! waited for is not moved for being late. What no bound reaches stays as it was written. Visits that contradict each other
//! (several hosts under one name, a clock that was set) make each visit a process of its own, and that is said.

use std::collections::{HashMap, HashSet};

use crate::id::SpanId;
use crate::line::Line;
use crate::names;
use crate::span::{Kind, Span};
use crate::story::{Node, has_failed};

/// Nanoseconds: so much later than its parent a span may end, or earlier begin, without a clock being wrong.
pub const TOLERATED: u64 = 1_000_000;
/// So often it is tried to make one correction do for each process, the contradictory ones taken apart.
const MOST_ROUNDS: usize = 3;

/// A process, as far as its spans and lines name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`, where it has one.
    pub instance: Option<String>,
}

/// A clock that was corrected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Whose it is.
    pub process: Process,
    /// Whose it is compared with: of the first that it had to do with.
    pub than: Process,
    /// By so many nanoseconds it is ahead of that one; behind, if negative.
    pub ahead: i64,
    /// By so many nanoseconds more or less that can be wrong; `None`: it is off by so much at least.
    pub give_or_take: Option<u64>,
    /// No one correction fits: each visit to it was moved by itself, and this is the one that was moved most.
    pub is_contradictory: bool,
    /// The first span that was moved for it.
    pub span: SpanId,
}

impl Clock {
    /// In words; names from the data are as they are, for whoever prints them to escape.
    pub fn words(&self) -> String {
        let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let (by, at_least) =
            (ms(self.ahead.unsigned_abs()), if self.give_or_take.is_none() { "at least " } else { "" });
        let direction = if self.ahead > 0 { "ahead of" } else { "behind" };
        let give_or_take = match self.give_or_take {
            Some(off @ 1..) => format!(" (± {:.1})", ms(off)),
            _ => String::new(),
        };
        let (whose, than) = (self.process.words(), &self.than.service);
        if self.is_contradictory {
            return format!(
                "the clock of {whose} contradicts itself: up to {by:.1} ms {direction} {than}'s; each visit was corrected by itself"
            );
        }
        format!("the clock of {whose} is {at_least}{by:.1} ms {direction} {than}'s{give_or_take}: corrected")
    }
}

impl Process {
    /// `service@instance`, a long instance shortened.
    fn words(&self) -> String {
        const LONGEST: usize = 16;
        let Some(instance) = &self.instance else { return self.service.clone() };
        match instance.char_indices().nth(LONGEST) {
            // The beginning of a UUID tells it from others.
            Some(_) => {
                format!("{}@{}…", self.service, instance.chars().take(LONGEST / 2).collect::<String>())
            }
            None => format!("{}@{instance}", self.service),
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Corrected {
    /// The clocks that were wrong, in the order of their first spans.
    pub(super) clocks: Vec<Clock>,
    /// By how many nanoseconds each process was moved; not those whose visits were moved each by itself.
    by: HashMap<Process, i64>,
}

/// Moves the times of `nodes`, each of which comes after its parent, onto the clock of the first of them.
pub(super) fn correct(nodes: &mut [Node]) -> Corrected {
    let whose = Whose::of(nodes);
    let mut apart = HashSet::new();
    let mut round = Round::new(nodes, &whose, &apart);
    for _ in 1..MOST_ROUNDS {
        let before = apart.len();
        apart.extend(round.contradictory.iter().copied());
        if apart.len() == before {
            break;
        }
        round = Round::new(nodes, &whose, &apart);
    }
    let clocks = round.clocks(nodes, &whose, &apart);
    if clocks.is_empty() {
        return Corrected::default();
    }
    for (index, node) in nodes.iter_mut().enumerate() {
        let clock = whose.clock(index, &apart);
        node.set_clock(clock.and_then(|clock| round.corrections.get(&clock)).map_or(0, |found| found.by));
    }
    let corrected = Corrected { clocks, by: by_process(nodes) };
    for node in nodes {
        let mut lines = std::mem::take(&mut node.lines);
        lines.iter_mut().for_each(|line| corrected.set_line(line, Some(node)));
        node.lines = lines;
    }
    corrected
}

impl Corrected {
    /// Moves a line with the process that wrote it; one that does not say which, with the span at `node`.
    pub(super) fn set_line(&self, line: &mut Line, node: Option<&Node>) {
        let process = Process { service: line.service.clone(), instance: line.instance.clone() };
        let of_span = || {
            let node = node?;
            let span = node.span.as_ref()?;
            let is_its = line.service.is_empty() || line.service == span.service;
            let is_same = line.instance.is_none() || line.instance == span.instance;
            (is_its && is_same).then_some(node.moved)
        };
        let by = self.by.get(&process).copied().or_else(of_span).unwrap_or(0);
        line.time = line.time.map(|time| time.saturating_add_signed(by));
    }
}

impl Node {
    fn set_clock(&mut self, by: i64) {
        let Some(span) = self.span.as_mut().filter(|_| by != 0) else { return };
        self.moved = by;
        self.as_written = Some((span.start, span.end));
        let moments = span.events.iter_mut().map(|event| &mut event.time);
        for time in moments.chain([&mut span.start, &mut span.end]) {
            *time = time.saturating_add_signed(by);
        }
    }
}

fn process(span: &Span) -> Process {
    Process { service: span.service.clone(), instance: span.instance.clone() }
}

/// By how much each process was moved whose spans were all moved alike.
fn by_process(nodes: &[Node]) -> HashMap<Process, i64> {
    let mut known: HashMap<Process, Option<i64>> = HashMap::new();
    for node in nodes {
        let Some(span) = &node.span else { continue };
        let alike = known.entry(process(span)).or_insert(Some(node.moved));
        *alike = alike.filter(|by| *by == node.moved);
    }
    known.into_iter().filter_map(|(process, by)| Some((process, by?))).collect()
}

/// Which process wrote each node, by number in the order of the nodes, and in which visit to it.
struct Whose {
    process: Vec<Option<usize>>,
    /// The node at which the visit began.
    visit: Vec<usize>,
    count: usize,
}

impl Whose {
    fn of(nodes: &[Node]) -> Self {
        let mut numbers: HashMap<(&str, Option<&str>), usize> = HashMap::new();
        let mut whose = Self { process: Vec::with_capacity(nodes.len()), visit: Vec::new(), count: 0 };
        for (index, node) in nodes.iter().enumerate() {
            let process = node.span.as_ref().map(|span| {
                let next = numbers.len();
                *numbers.entry((&span.service, span.instance.as_deref())).or_insert(next)
            });
            let parent = node.parent.filter(|parent| process.is_some() && whose.process[*parent] == process);
            let visit = parent.map_or(index, |parent| whose.visit[parent]);
            whose.process.push(process);
            whose.visit.push(visit);
        }
        whose.count = numbers.len();
        whose
    }

    /// Who has one clock with the node at `index`: its process, or its visit where the process is taken `apart`.
    fn clock(&self, index: usize, apart: &HashSet<usize>) -> Option<usize> {
        let process = self.process[index]?;
        Some(if apart.contains(&process) { self.count + self.visit[index] } else { process })
    }
}

/// A span at which a request enters another process, and what it tells about the two clocks: the correction of `to` is that of
/// `from` and at least `least`, at most `most`, in nanoseconds.
struct Visit {
    from: usize,
    to: usize,
    least: i128,
    most: Option<i128>,
}

impl Visit {
    fn of(nodes: &[Node], index: usize, clock: impl Fn(usize) -> Option<usize>) -> Option<Self> {
        let at = nodes[index].parent?;
        let (span, parent) = (nodes[index].span.as_ref()?, nodes[at].span.as_ref()?);
        let (from, to) = (clock(at)?, clock(index)?);
        let is_forward = |span: &Span| span.start <= span.end;
        // Without a name nobody knows whether they are two.
        let is_named = !span.service.is_empty() && !parent.service.is_empty();
        if from == to || !is_named || !span.enters() || !is_forward(span) || !is_forward(parent) {
            return None;
        }
        let is_waited_for = span.kind == Kind::Server && parent.kind == Kind::Client && !gave_up(parent);
        let fits = span.duration() <= parent.duration().saturating_add(TOLERATED);
        let apart = |of_parent: u64, of_span: u64| i128::from(of_parent) - i128::from(of_span);
        let most = Some(apart(parent.end, span.end)).filter(|_| is_waited_for && fits);
        Some(Self { from, to, least: apart(parent.start, span.start), most })
    }
}

/// Whether a call failed otherwise than by its answer.
fn gave_up(call: &Span) -> bool {
    let kind = call.text(&[names::ERROR_TYPE]);
    let status = call.text(names::STATUS);
    has_failed(call) && (status.is_none() || kind.is_some() && kind != status)
}

/// What the visits leave for a clock's correction.
#[derive(Default)]
struct Bounds {
    least: Option<i128>,
    most: Option<i128>,
    /// Who it had to do with first, and the correction of that one.
    than: Option<(usize, i64)>,
}

/// What is to be added to a clock's times.
#[derive(Debug, Clone, Copy, Default)]
struct Correction {
    by: i64,
    give_or_take: Option<u64>,
    /// Who it was compared with, and the correction of that one.
    than: Option<(usize, i64)>,
}

impl Bounds {
    fn take(&mut self, clock: usize, visit: &Visit, other: &Correction) {
        let known = i128::from(other.by);
        let is_visited = visit.to == clock;
        let (low, high) = match is_visited {
            true => (Some(known + visit.least), visit.most.map(|most| known + most)),
            false => (visit.most.map(|most| known - most), Some(known - visit.least)),
        };
        let number = if is_visited { visit.from } else { visit.to };
        self.than = self.than.or(Some((number, other.by)));
        self.least = self.least.into_iter().chain(low).max();
        self.most = self.most.into_iter().chain(high).min();
    }

    /// `None` if no correction fits.
    fn correction(&self) -> Option<Correction> {
        let Some((_, as_other)) = self.than else { return Some(Correction::default()) };
        let tolerated = i128::from(TOLERATED);
        let fits = |by: i128| {
            self.least.is_none_or(|least| least - tolerated <= by)
                && self.most.is_none_or(|most| by <= most + tolerated)
        };
        if let Some(by) = [as_other, 0].into_iter().find(|by| fits(i128::from(*by))) {
            return Some(Correction { by, give_or_take: Some(0), than: self.than });
        }
        let (by, give_or_take) = match (self.least, self.most) {
            (Some(least), Some(most)) => {
                (least.midpoint(most), u64::try_from((most - least).max(0) / 2).ok())
            }
            (bound, None) | (None, bound) => (bound?, None),
        };
        let by = i64::try_from(by).ok().filter(|_| fits(by))?;
        Some(Correction { by, give_or_take, than: self.than })
    }
}

/// One try to find a correction for each clock.
struct Round {
    corrections: HashMap<usize, Correction>,
    /// The processes for which there is none.
    contradictory: HashSet<usize>,
}

impl Round {
    fn new(nodes: &[Node], whose: &Whose, apart: &HashSet<usize>) -> Self {
        let clock = |index: usize| whose.clock(index, apart);
        let visits: Vec<Visit> =
            (0..nodes.len()).filter_map(|index| Visit::of(nodes, index, clock)).collect();
        let mut of_clock: HashMap<usize, Vec<&Visit>> = HashMap::new();
        for visit in &visits {
            of_clock.entry(visit.from).or_default().push(visit);
            of_clock.entry(visit.to).or_default().push(visit);
        }
        let mut round = Self { corrections: HashMap::new(), contradictory: HashSet::new() };
        for index in 0..nodes.len() {
            let Some(clock) = clock(index).filter(|clock| !round.corrections.contains_key(clock)) else {
                continue;
            };
            let visits = of_clock.get(&clock).map(Vec::as_slice).unwrap_or_default();
            let correction = round.bounds(clock, visits, usize::MAX).correction().unwrap_or_else(|| {
                round.contradictory.extend(whose.process[index]);
                round.bounds(clock, visits, 1).correction().unwrap_or_default()
            });
            round.corrections.insert(clock, correction);
        }
        round
    }

    /// What the first `most` visits between `clock` and those whose corrections are known leave for it.
    fn bounds(&self, clock: usize, visits: &[&Visit], most: usize) -> Bounds {
        let mut bounds = Bounds::default();
        let known = visits.iter().filter_map(|visit| {
            let other = if visit.to == clock { visit.from } else { visit.to };
            Some((*visit, self.corrections.get(&other)?))
        });
        known.take(most).for_each(|(visit, other)| bounds.take(clock, visit, other));
        bounds
    }

    /// What is to be told.
    fn clocks(&self, nodes: &[Node], whose: &Whose, apart: &HashSet<usize>) -> Vec<Clock> {
        let mut first_of: HashMap<usize, usize> = HashMap::new();
        let mut told: Vec<Clock> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let (Some(clock), Some(number), Some(span)) =
                (whose.clock(index, apart), whose.process[index], &node.span)
            else {
                continue;
            };
            if first_of.insert(clock, index).is_some() {
                continue;
            }
            let Some(correction) = self.corrections.get(&clock) else { continue };
            let Some((other, as_other)) = correction.than else { continue };
            let ahead = as_other.saturating_sub(correction.by);
            if correction.by == 0 || ahead == 0 {
                continue;
            }
            let than = first_of.get(&other).and_then(|first| nodes[*first].span.as_ref()).map(process);
            let one = Clock {
                process: process(span),
                than: than.unwrap_or_else(|| process(span)),
                ahead,
                give_or_take: correction.give_or_take,
                is_contradictory: apart.contains(&number),
                span: span.id,
            };
            match places.get(&number) {
                None => {
                    places.insert(number, told.len());
                    told.push(one);
                }
                Some(place) if told[*place].ahead.unsigned_abs() < ahead.unsigned_abs() => {
                    told[*place] = Clock { span: told[*place].span, ..one };
                }
                Some(_) => {}
            }
        }
        told
    }
}
