//! A span in brief: the little of it that questions over all spans need, read in one go without keeping the rest.
//!
//! [`Story`](crate::Story) reads whole spans of one trace; here hundreds of thousands pass by. Texts are cut to
//! [`LONGEST_TEXT`], so that what is kept is bounded by the number of spans.

use std::sync::Arc;

use crate::id::{SpanId, TraceId};
use crate::span::Kind;
use crate::verdict::Spent;

/// OTLP/JSON → spans in brief.
mod read;

pub(crate) use read::each;

/// Bytes of a text that are kept.
pub const LONGEST_TEXT: usize = 256;
/// So many attributes can be asked for at once: a bit each.
pub const MOST_HAS: usize = 32;

/// Which attributes are looked at beside those that every question needs.
#[derive(Debug, Clone, Default)]
pub struct Picks {
    /// Names and values; the bit of [`Brief::has`] is the place in this list. Those beyond [`MOST_HAS`] are not looked at.
    pub has: Vec<(String, String)>,
    /// The attribute whose value is kept in [`Brief::by`].
    pub by: Option<String>,
    /// Whether [`Brief::spent`] is kept.
    pub spent: bool,
    /// Whether [`Brief::peer`] is kept.
    pub peers: bool,
}

/// What is kept of a span. Attributes are those of the span, else of its resource; only texts, numbers and truth values
/// are compared.
///
/// The order of its fields is the order in which spans of one trace are sorted: by id, and of one id the last one is the
/// one that ended last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Brief {
    /// Its own id.
    pub id: SpanId,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// Its part in an exchange.
    pub kind: Kind,
    /// `service.name` of its resource; empty where the resource has none.
    pub service: Arc<str>,
    /// Whether it says that it failed, or is a server's that answered 5xx.
    pub failed: bool,
    /// Which of [`Picks::has`] it has.
    pub has: u32,
    /// The value of [`Picks::by`], of spans at which a request enters a service.
    pub by: Option<Box<str>>,
    /// What its own time was spent on, where name and attributes tell by themselves; only if [`Picks::spent`] is set.
    pub spent: Option<Spent>,
    /// What it did: of spans at which a request enters a service, of roots, and of those that failed.
    pub what: Option<Box<What>>,
    /// Of spans that ask others, and of those that act on a message: whom, or where it came from, as they say it.
    pub peer: Option<Box<Peer>>,
}

/// The other end of a call, as a span names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// An address, or a name that was given to it.
    Address(Box<str>),
    /// A database: its system, and its address where that is told.
    Database(Box<str>),
    /// A queue or topic.
    Queue(Box<str>),
}

/// What a span did, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct What {
    /// The span's name.
    pub name: Box<str>,
    /// The request's method.
    pub method: Option<Box<str>>,
    /// The template that the path matched.
    pub route: Option<Box<str>>,
    /// The request's path.
    pub path: Option<Box<str>>,
    /// The answer's status.
    pub status: Option<u16>,
    /// Of a span that failed: the kind of failure.
    pub error: Option<Box<str>>,
    /// Of a span that failed: what it says about it.
    pub message: Option<Box<str>>,
}

impl Brief {
    /// Nanoseconds from start to end; 0 if the end lies before the start.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it stands where a request enters a service.
    pub fn enters(&self) -> bool {
        matches!(self.kind, Kind::Server | Kind::Consumer)
    }

    /// About how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len() + 16);
        let what = self.what.as_ref().map_or(0, |what| {
            let texts = [&what.method, &what.route, &what.path, &what.error, &what.message];
            size_of::<What>() + 16 + what.name.len() + texts.into_iter().map(text).sum::<usize>()
        });
        let peer = self.peer.as_ref().map_or(0, |peer| {
            let (Peer::Address(name) | Peer::Database(name) | Peer::Queue(name)) = &**peer;
            size_of::<Peer>() + 16 + name.len()
        });
        size_of::<Self>() + text(&self.by) + what + peer
    }
}

impl What {
    /// As [`place`].
    pub fn place(&self) -> String {
        place(self.method.as_deref(), self.route.as_deref(), &self.name)
    }
}

/// Method and route, or the name where there are not both: of few different values, as conventions want it.
pub(crate) fn place(method: Option<&str>, route: Option<&str>, name: &str) -> String {
    match (method, route) {
        (Some(method), Some(route)) => format!("{method} {route}"),
        _ => name.to_owned(),
    }
}

/// Cut to [`LONGEST_TEXT`], between letters.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Sorts the spans of one trace and keeps each id once: of one id, the span that ended last.
pub(crate) fn keep_each_once(spans: &mut Vec<Brief>) {
    spans.sort_unstable_by(|a, b| a.id.cmp(&b.id).then_with(|| b.cmp(a)));
    spans.dedup_by_key(|span| span.id);
}

/// The requests among `spans` of one trace, sorted: SERVER and CONSUMER spans whose parent is of no span of their own
/// service.
pub fn requests(spans: &[Brief]) -> impl Iterator<Item = &Brief> {
    let parent = |span: &Brief| find(spans, span.parent?);
    spans
        .iter()
        .filter(move |span| span.enters() && parent(span).is_none_or(|parent| parent.service != span.service))
}

/// The span of this id among `spans`, which are sorted.
pub(crate) fn find(spans: &[Brief], id: SpanId) -> Option<&Brief> {
    spans.binary_search_by_key(&id, |span| span.id).ok().map(|at| &spans[at])
}

/// The span that `spans`, sorted, begin with: one without a parent before one whose parent is not there, the earliest,
/// the one with the least id. Of a circle, the earliest.
pub(crate) fn root(spans: &[Brief]) -> Option<&Brief> {
    let rank = |span: &Brief| match span.parent {
        None => 0,
        Some(parent) if find(spans, parent).is_none() => 1,
        Some(_) => 2,
    };
    spans.iter().min_by_key(|span| (rank(span), span.start, span.id))
}
