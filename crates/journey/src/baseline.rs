//! What is usual: how long other requests of the same route took, and where their time went, beside one request.
//!
//! The same route is the same service, method and route of the span that the request came in by, with the first route that any
//! service told (a hit, which no server saw, is compared with hits). Where the time went is counted in the spans' own times, which
//! may overlap, by service and kind; what was left for later is left out. Memory is bounded: [`MOST_PARTS`], each a
//! [`Durations`]. Pure; the order of the traces changes nothing while the parts fit.

use std::collections::{BTreeMap, HashMap};

use crate::brief::{self, Brief, Picks, What};
use crate::id::TraceId;
use crate::names;
use crate::span::{Kind, Span};
use crate::stats::Durations;
use crate::story::{Story, cover};
use crate::verdict::{self, Spent};

/// Services and kinds that are kept apart.
pub const MOST_PARTS: usize = 256;
/// Of fewer requests nobody can tell what is usual.
pub const FEW: u64 = 20;

/// What is above the usual by less than this part of the request's time explains nothing.
const LEAST_PART: u64 = 20;

/// What makes requests comparable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The service that the request came in by.
    pub service: String,
    /// The method and route of its span, or its name.
    pub place: String,
    /// The first route that a server told, where `place` has none.
    pub route: Option<String>,
}

/// A service and what it spent time on → nanoseconds.
type Parts = BTreeMap<(String, Spent), u64>;

/// What is usual, while it is being counted.
#[derive(Debug)]
pub struct Baseline {
    trace: TraceId,
    route: Route,
    took: u64,
    parts: Parts,
    durations: Durations,
    usual: BTreeMap<(String, Spent), Durations>,
}

/// A request beside the others of its route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usual {
    /// What they have in common.
    pub route: Route,
    /// How many others there are.
    pub requests: u64,
    /// How long this one took, in nanoseconds.
    pub took: u64,
    /// Half of the others took no longer; 0 if there are none.
    pub p50: u64,
    /// 95 % of the others took no longer; 0 if there are none.
    pub p95: u64,
    /// What is the most above half of the others, if anything is.
    pub most: Option<Deviation>,
}

/// A part of the time that is longer than usual, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// Whose time it is.
    pub service: String,
    /// What it was spent on.
    pub spent: Spent,
    /// How long it took this time.
    pub took: u64,
    /// In half of the others it took no longer.
    pub p50: u64,
    /// In 95 % of the others it took no longer.
    pub p95: u64,
}

impl Baseline {
    /// Compares `story` with whatever is taken from now on; `None` if it has no span.
    pub fn new(story: &Story) -> Option<Self> {
        let mut spans: Vec<Brief> = story.spans().map(of_span).collect();
        spans.sort_unstable_by_key(|span| span.id);
        let (root, route) = route(&spans)?;
        Some(Self {
            trace: story.trace,
            took: root.duration(),
            parts: parts(&spans, root),
            route,
            durations: Durations::default(),
            usual: BTreeMap::new(),
        })
    }

    /// What the spans that are taken must tell.
    pub fn picks() -> Picks {
        Picks { spent: true, ..Picks::default() }
    }

    /// Takes the spans of one trace, sorted by id; the one that is compared is left out.
    pub fn take(&mut self, spans: &[Brief]) {
        let Some((root, route)) = route(spans).filter(|(root, _)| root.trace != self.trace) else { return };
        if route != self.route {
            return;
        }
        self.durations.add(root.duration());
        for (part, time) in parts(spans, root) {
            if self.usual.len() < MOST_PARTS || self.usual.contains_key(&part) {
                self.usual.entry(part).or_default().add(time);
            }
        }
    }

    /// The comparison.
    pub fn finish(self) -> Usual {
        let requests = self.durations.count();
        let usual = |part: &(String, Spent), of: f64| {
            self.usual.get(part).and_then(|times| among(times, requests, of)).unwrap_or(0)
        };
        let deviation = |(part, took): (&(String, Spent), &u64)| Deviation {
            service: part.0.clone(),
            spent: part.1,
            took: *took,
            p50: usual(part, 0.5),
            p95: usual(part, 0.95),
        };
        let above = |one: &Deviation| one.took.saturating_sub(one.p50);
        let matters = |one: &Deviation| requests > 0 && above(one) > self.took / LEAST_PART;
        // Of two the first one, in the order of the parts.
        let most = self.parts.iter().map(deviation).rev().max_by_key(above);
        Usual {
            requests,
            took: self.took,
            p50: self.durations.quantile(0.5).unwrap_or(0),
            p95: self.durations.quantile(0.95).unwrap_or(0),
            most: most.filter(matters),
            route: self.route,
        }
    }
}

impl Usual {
    /// Whether there are too few others to tell what is usual.
    pub fn are_few(&self) -> bool {
        self.requests < FEW
    }
}

/// The quantile of `times` among `all` of which the others took no time.
fn among(times: &Durations, all: u64, part: f64) -> Option<u64> {
    let rank = ((part * all as f64).ceil() as u64).clamp(1, all.max(1));
    let of_times = rank.checked_sub(all - times.count()).filter(|rank| *rank > 0)?;
    times.quantile(of_times as f64 / times.count() as f64)
}

/// The span that a request came in by, and its route.
fn route(spans: &[Brief]) -> Option<(&Brief, Route)> {
    let root = brief::root(spans)?;
    let what = root.what.as_deref();
    let place = what.map(What::place).unwrap_or_default();
    let told = |span: &Brief| span.what.as_ref().and_then(|what| what.route.as_deref()).map(str::to_owned);
    let servers = spans.iter().filter(|span| span.kind == Kind::Server);
    let route = match what.is_some_and(|what| what.route.is_some()) {
        true => None,
        false => servers
            .filter(|span| told(span).is_some())
            .min_by_key(|span| (span.start, span.id))
            .and_then(told),
    };
    Some((root, Route { service: root.service.to_string(), place, route }))
}

/// The own times of `root` and of what it caused while it ran, by service and kind.
fn parts(spans: &[Brief], root: &Brief) -> Parts {
    let mut children: HashMap<_, Vec<&Brief>> = HashMap::new();
    for span in spans {
        children.entry(span.parent).or_default().push(span);
    }
    children.values_mut().for_each(|siblings| siblings.sort_unstable_by_key(|span| (span.start, span.id)));
    let mut parts = Parts::new();
    let mut to_visit = vec![root];
    // A span has one parent, so it is visited once; a circle does not hang on the root, or is left at the root.
    while let Some(span) = to_visit.pop() {
        let caused = children.get(&Some(span.id)).map(Vec::as_slice).unwrap_or_default();
        let waited_for = caused.iter().filter(|child| child.kind != Kind::Consumer && child.id != root.id);
        let waits = waited_for.clone().map(|child| (child.start, child.end));
        let own = cover::divide((span.start, span.end), waits).own;
        let asks = span.kind == Kind::Client && caused.iter().any(|child| child.kind == Kind::Server);
        let spent = match span.spent {
            Some(spent) => spent,
            None if asks => Spent::Network,
            None if span.kind == Kind::Client => Spent::Call,
            None => Spent::Own,
        };
        if own > 0 {
            let part = parts.entry((span.service.to_string(), spent)).or_default();
            *part = part.saturating_add(own);
        }
        to_visit.extend(waited_for);
    }
    parts
}

/// A span of a story as those of other traces are read.
fn of_span(span: &Span) -> Brief {
    let text = |names: &[&str]| span.text(names).map(String::into_boxed_str);
    let tells = span.enters() || span.parent.is_none();
    let what = tells.then(|| What {
        name: span.name.as_str().into(),
        method: text(names::METHOD),
        route: text(names::ROUTE),
        ..What::default()
    });
    Brief {
        id: span.id,
        end: span.end,
        start: span.start,
        trace: span.trace,
        parent: span.parent,
        kind: span.kind,
        service: span.service.as_str().into(),
        failed: span.failed,
        has: 0,
        by: None,
        spent: verdict::of_span(span),
        what: what.map(Box::new),
        peer: None,
    }
}
