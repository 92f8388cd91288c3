//! Who calls whom: services, databases, queues, and what else they call, with how often, how well and how fast.
//!
//! A call is a SERVER or CONSUMER span whose parent is a span of another service, or one that asks (CLIENT, PRODUCER): as the
//! one tells it who was called. Where nobody answered with a span of their own (a database, a webhook's receiver, a replica
//! that is down), it is the CLIENT or PRODUCER span, as the caller tells it. An address at which a service answered other calls
//! is that service. Pure; bounds: [`MOST_EDGES`], the rest together in one; percentiles as in [`crate::stats`].

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::brief::{Brief, Peer, find};
use crate::id::SpanId;
use crate::span::Kind;
use crate::stats::Durations;

/// DOT and Mermaid.
mod drawing;
/// A table and JSON.
mod table;

/// Edges that are kept apart, and addresses that are remembered.
pub const MOST_EDGES: usize = 1000;

/// One end of an edge. The order is that of what is told first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// Whoever calls from where no span tells of it.
    Outside,
    /// A service, by its `service.name`.
    Service(Arc<str>),
    /// A queue or topic whose other side is in another trace, or tells nothing.
    Queue(Box<str>),
    /// A database.
    Database(Box<str>),
    /// Somebody who tells nothing of what was asked, by the name or address that the caller used.
    Silent(Box<str>),
    /// All the edges beyond [`MOST_EDGES`].
    Others,
}

/// Who, whom, and whether the caller does not wait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// Who calls.
    pub from: Node,
    /// Who is called.
    pub to: Node,
    /// Whether it goes through a queue.
    pub is_async: bool,
}

/// What is counted of an edge.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// How many of them failed.
    pub errors: u64,
    /// How long they took.
    pub durations: Durations,
}

/// What is to be in the map.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only edges at one of these services; all, if there is none.
    pub services: Vec<String>,
    /// Only calls that began then or later, in nanoseconds since 1970.
    pub since: Option<u64>,
    /// Only calls that began then or earlier.
    pub until: Option<u64>,
}

/// A map that is being made.
#[derive(Debug)]
pub struct Map {
    filter: Filter,
    edges: HashMap<Edge, Calls>,
    others: Calls,
    /// Who answers at an address; nobody in particular if several do.
    answers: HashMap<Box<str>, Option<Arc<str>>>,
    extent: Option<(u64, u64)>,
    most: usize,
}

/// What came of it: edges in the order in which calls go on, from outside inwards.
#[derive(Debug)]
pub struct Drawn {
    /// Each edge with its calls.
    pub edges: Vec<(Edge, Calls)>,
    /// The time that they lie in, in seconds: what was asked for, else from the first beginning to the last.
    pub seconds: f64,
}

impl Map {
    /// Nothing is in it yet.
    pub fn new(filter: Filter) -> Self {
        let (edges, answers) = (HashMap::new(), HashMap::new());
        Self { filter, edges, others: Calls::default(), answers, extent: None, most: MOST_EDGES }
    }

    /// Takes the spans of one trace, sorted; [`crate::brief::Picks::peers`] must have been wanted of them.
    pub fn take(&mut self, spans: &[Brief]) {
        let answered: HashSet<SpanId> =
            spans.iter().filter(|span| span.enters()).filter_map(|span| span.parent).collect();
        for span in spans {
            let is_before = self.filter.since.is_some_and(|since| span.start < since);
            if is_before || self.filter.until.is_some_and(|until| span.start > until) {
                continue;
            }
            let parent = span.parent.and_then(|parent| find(spans, parent));
            let Some(edge) = edge(span, parent, answered.contains(&span.id)) else { continue };
            if let (Some(Peer::Address(address)), true) =
                (parent.and_then(|parent| parent.peer.as_deref()), span.kind == Kind::Server)
            {
                self.learn(address, &span.service);
            }
            let (first, last) = self.extent.unwrap_or((span.start, span.start));
            self.extent = Some((first.min(span.start), last.max(span.start)));
            let has_room = self.edges.len() < self.most;
            let calls = match self.edges.get_mut(&edge) {
                Some(calls) => calls,
                None if has_room => self.edges.entry(edge).or_default(),
                None => &mut self.others,
            };
            calls.durations.add(span.duration());
            calls.errors += u64::from(span.failed);
        }
    }

    fn learn(&mut self, address: &str, service: &Arc<str>) {
        let has_room = self.answers.len() < self.most;
        match self.answers.get_mut(address) {
            Some(known) if known.as_ref() == Some(service) => {}
            Some(known) => *known = None,
            None if has_room => {
                self.answers.insert(address.into(), Some(service.clone()));
            }
            None => {}
        }
    }

    /// The map.
    pub fn finish(self) -> Drawn {
        let Self { filter, edges, others, answers, extent, .. } = self;
        let mut told: BTreeMap<Edge, Calls> = BTreeMap::new();
        for (mut edge, calls) in edges {
            if let Node::Silent(address) = &edge.to
                && let Some(Some(service)) = answers.get(address)
            {
                edge.to = Node::Service(service.clone());
            }
            let known = told.entry(edge).or_default();
            known.errors += calls.errors;
            known.durations.add_all(&calls.durations);
        }
        let is_wanted = |node: &Node| match node {
            Node::Service(name) => filter.services.iter().any(|wanted| **wanted == **name),
            _ => false,
        };
        told.retain(|edge, _| filter.services.is_empty() || is_wanted(&edge.from) || is_wanted(&edge.to));
        let mut edges = in_order(told);
        if others.durations.count() > 0 {
            edges.push((Edge { from: Node::Others, to: Node::Others, is_async: false }, others));
        }
        let (first, last) = extent.unwrap_or_default();
        let range = filter.until.unwrap_or(last).saturating_sub(filter.since.unwrap_or(first));
        Drawn { edges, seconds: range as f64 / 1e9 }
    }
}

impl Calls {
    /// How many there are in a second; `None` where there is no time between them.
    pub fn per_second(&self, seconds: f64) -> Option<f64> {
        (seconds > 0.0).then(|| self.durations.count() as f64 / seconds)
    }

    /// How many of a hundred failed.
    pub fn error_percent(&self) -> f64 {
        self.errors as f64 * 100.0 / (self.durations.count().max(1)) as f64
    }
}

/// The edge that `span` is a call on, if it is one.
fn edge(span: &Brief, parent: Option<&Brief>, is_answered: bool) -> Option<Edge> {
    let peer = || {
        Some(match span.peer.as_deref()? {
            Peer::Address(name) => Node::Silent(name.clone()),
            Peer::Database(name) => Node::Database(name.clone()),
            Peer::Queue(name) => Node::Queue(name.clone()),
        })
    };
    let this = || Node::Service(span.service.clone());
    let (from, to) = match span.kind {
        Kind::Server | Kind::Consumer => match parent {
            Some(parent) if parent.service != span.service || asks(parent) => {
                (Node::Service(parent.service.clone()), this())
            }
            // What goes on within a service is no call.
            Some(_) => return None,
            None => (peer().unwrap_or(Node::Outside), this()),
        },
        Kind::Client | Kind::Producer if !is_answered => (this(), peer()?),
        Kind::Client | Kind::Producer | Kind::Internal => return None,
    };
    Some(Edge { from, to, is_async: matches!(span.kind, Kind::Consumer | Kind::Producer) })
}

fn asks(span: &Brief) -> bool {
    matches!(span.kind, Kind::Client | Kind::Producer)
}

/// Edges as calls go on: those from outside first, then those of whom they lead to; what none of them leads to begins anew.
fn in_order(edges: BTreeMap<Edge, Calls>) -> Vec<(Edge, Calls)> {
    let mut of_node: BTreeMap<Node, Vec<(Edge, Calls)>> = BTreeMap::new();
    let mut called: HashSet<Node> = HashSet::new();
    for (edge, calls) in edges {
        called.insert(edge.to.clone());
        of_node.entry(edge.from.clone()).or_default().push((edge, calls));
    }
    let mut starts: Vec<Node> = of_node.keys().cloned().collect();
    // Nobody calls them; what is called only in circles comes last.
    starts.sort_by_key(|node| called.contains(node));
    let mut told = Vec::new();
    for start in starts {
        let mut to_visit = VecDeque::from([start]);
        while let Some(node) = to_visit.pop_front() {
            let Some(mut edges) = of_node.remove(&node) else { continue };
            edges.sort_by_key(|(_, calls)| std::cmp::Reverse(calls.durations.count()));
            to_visit.extend(edges.iter().map(|(edge, _)| edge.to.clone()));
            told.extend(edges);
        }
    }
    told
}
