//! What a stretch of time was spent on, told from the span that it belongs to by OpenTelemetry's conventions.

use serde::Serialize;

use crate::names;
use crate::span::{Kind, Span};
use crate::verdict::view::View;

/// What time was spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spent {
    /// The service's own work, as far as no span of it tells more.
    Own,
    /// A statement at a database.
    Database,
    /// A look-up at a store of values by key.
    KeyValue,
    /// A connection of a pool that had none to spare.
    Pool,
    /// The wait queue of a proxy.
    WaitQueue,
    /// Another cache's fetch of what is asked for.
    CacheWait,
    /// Another request's fetch of the same, which a cache shares (collapsed, RFC 9211).
    SharedFetch,
    /// Between two hops: a client's time without that of the server that it asked.
    Network,
    /// A message on its way to who acts on it.
    TaskQueue,
    /// A call whose other end tells nothing: a webhook, a service without telemetry.
    Call,
    /// An earlier attempt that failed, and the pause after it.
    Retry,
    /// A hop whose span was never written.
    Unaccounted,
}

impl Spent {
    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Own => "own work",
            Self::Database => "database",
            Self::KeyValue => "look-up by key",
            Self::Pool => "waiting for a connection",
            Self::WaitQueue => "wait queue",
            Self::CacheWait => "waiting for another cache",
            Self::SharedFetch => "sharing another's fetch",
            Self::Network => "network",
            Self::TaskQueue => "task queue",
            Self::Call => "outgoing call",
            Self::Retry => "failed attempt",
            Self::Unaccounted => "unaccounted for",
        }
    }

    /// Whether nothing was done in it but to wait for one's turn.
    pub fn is_wait(self) -> bool {
        matches!(self, Self::Pool | Self::WaitQueue | Self::TaskQueue | Self::CacheWait | Self::SharedFetch)
    }
}

/// What the time of the node at `index` was spent on in which none of its children ran, and which other node it has to do with.
pub(super) fn of(view: &View<'_>, index: usize) -> (Spent, Option<usize>) {
    let nodes = &view.story.nodes;
    let Some(span) = &nodes[index].span else { return (Spent::Unaccounted, None) };
    if let Some(spent) = of_span(span) {
        return (spent, None);
    }
    let asked = |kind: Kind| {
        let is_asked = |span: &Span| span.kind == kind;
        nodes[index].children.iter().copied().find(|child| nodes[*child].span.as_ref().is_some_and(is_asked))
    };
    let consumer = || asked(Kind::Consumer).filter(|child| !view.is_left_for_later(*child));
    match span.kind {
        Kind::Client if view.adopted(index).is_some() => (Spent::Unaccounted, view.adopted(index)),
        Kind::Client => match asked(Kind::Server) {
            Some(server) => (Spent::Network, Some(server)),
            None => (Spent::Call, None),
        },
        Kind::Producer => match consumer() {
            Some(consumer) => (Spent::TaskQueue, Some(consumer)),
            None if nodes[index].children.iter().all(|child| view.is_left_for_later(*child)) => {
                (Spent::Call, None)
            }
            None => (Spent::Own, None),
        },
        Kind::Internal | Kind::Server | Kind::Consumer => (Spent::Own, None),
    }
}

/// What a span's own time was spent on, where its name and attributes tell by themselves.
pub(crate) fn of_span(span: &Span) -> Option<Spent> {
    let text = |names: &[&str]| span.text(names);
    told(
        &span.name,
        span.kind,
        text(names::DATABASE),
        text(&[names::POOL_IN_USE]),
        text(&[names::CACHE_RESULT]),
    )
}

/// The same from what is looked at: `database`, `in_use` and `result` are the values of [`names::DATABASE`],
/// [`names::POOL_IN_USE`] and [`names::CACHE_RESULT`].
pub(crate) fn told(
    name: &str,
    kind: Kind,
    database: Option<impl AsRef<str>>,
    in_use: Option<impl AsRef<str>>,
    result: Option<impl AsRef<str>>,
) -> Option<Spent> {
    if let Some(system) = database {
        let is_key_value = names::KEY_VALUE_SYSTEMS.contains(&&*system.as_ref().to_ascii_lowercase());
        return Some(if is_key_value { Spent::KeyValue } else { Spent::Database });
    }
    let is_collapsed =
        kind == Kind::Server && result.is_some_and(|result| result.as_ref() == names::COLLAPSED);
    match name {
        _ if in_use.is_some() || names::POOL_WAIT_SPANS.contains(&name) => Some(Spent::Pool),
        _ if names::WAIT_QUEUE_SPANS.contains(&name) => Some(Spent::WaitQueue),
        _ if names::CACHE_WAIT_SPANS.contains(&name) => Some(Spent::CacheWait),
        _ if is_collapsed => Some(Spent::SharedFetch),
        _ => None,
    }
}
