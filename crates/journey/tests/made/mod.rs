//! Traces made up in a few words: spans by short ids, times in milliseconds, one thing changed after the other.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::collections::BTreeMap;

use journey::span::{Attributes, Kind, Span};
use journey::{SpanId, Story, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{TRACE, ZERO};

/// The table of culprits.
pub(crate) mod culprits;

/// A trace that is being made up.
#[derive(Debug, Clone)]
pub(crate) struct Trace(BTreeMap<u64, Span>);

impl Trace {
    pub(crate) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Answers a GET.
    pub(crate) fn server(self, id: u64, parent: u64, service: &str, times: [f64; 2]) -> Self {
        self.named(id, parent, service, "GET", Kind::Server, times)
            .status(id, 200)
            .with(id, "http.request.method", json!("GET"))
            .with(id, "url.path", json!("/x"))
    }

    /// Asks for one.
    pub(crate) fn client(self, id: u64, parent: u64, service: &str, times: [f64; 2]) -> Self {
        self.named(id, parent, service, "GET", Kind::Client, times).with(
            id,
            "http.request.method",
            json!("GET"),
        )
    }

    /// Asks the database of the parent's service.
    pub(crate) fn statement(self, id: u64, parent: u64, name: &str, times: [f64; 2]) -> Self {
        let service = self.0[&parent].service.clone();
        self.named(id, parent, &service, name, Kind::Client, times).system(id, "postgresql")
    }

    /// The same of a parent that was never written.
    pub(crate) fn statement_of(
        self,
        service: &str,
        id: u64,
        parent: u64,
        name: &str,
        times: [f64; 2],
    ) -> Self {
        self.named(id, parent, service, name, Kind::Client, times).system(id, "postgresql")
    }

    /// Nobody is known to have caused it.
    pub(crate) fn root(self, id: u64) -> Self {
        self.change(id, |span| span.parent = None)
    }

    /// Waits for a connection of the pool of the parent's service.
    pub(crate) fn pool(self, id: u64, parent: u64, times: [f64; 2]) -> Self {
        let service = self.0[&parent].service.clone();
        self.named(id, parent, &service, "pool.acquire", Kind::Internal, times)
            .with(id, "throughline.pool.in_use", json!(10))
            .with(id, "throughline.pool.size", json!(10))
            .with(id, "throughline.pool.waiting", json!(4))
    }

    pub(crate) fn named(
        mut self,
        id: u64,
        parent: u64,
        service: &str,
        name: &str,
        kind: Kind,
        times: [f64; 2],
    ) -> Self {
        let parent = Some(parent).filter(|parent| *parent > 0);
        let span = plain(id, parent, 0, 0);
        self.0.insert(id, Span { service: service.to_owned(), name: name.to_owned(), kind, ..span });
        self.times(id, times)
    }

    pub(crate) fn times(self, id: u64, [start, end]: [f64; 2]) -> Self {
        let at = |ms: f64| ZERO.saturating_add_signed((ms * 1e6) as i64);
        self.change(id, |span| (span.start, span.end) = (at(start), at(end)))
    }

    /// Moves these by so many milliseconds.
    pub(crate) fn later(self, ms: f64, ids: &[u64]) -> Self {
        let moved = |time: u64| time.saturating_add_signed((ms * 1e6) as i64);
        ids.iter().fold(self, |trace, id| {
            trace.change(*id, |span| (span.start, span.end) = (moved(span.start), moved(span.end)))
        })
    }

    /// These were written by this process of their service.
    pub(crate) fn on(self, instance: &str, ids: &[u64]) -> Self {
        ids.iter().fold(self, |trace, id| trace.change(*id, |span| span.instance = Some(instance.to_owned())))
    }

    pub(crate) fn service(self, id: u64, service: &str) -> Self {
        self.change(id, |span| span.service = service.to_owned())
    }

    pub(crate) fn failed(self, id: u64, kind: &str) -> Self {
        self.with(id, "error.type", json!(kind)).change(id, |span| span.failed = true)
    }

    pub(crate) fn status(self, id: u64, status: u64) -> Self {
        self.with(id, "http.response.status_code", json!(status))
            .change(id, |span| span.failed = status >= 500)
    }

    /// The attempt's number, counted from 0.
    pub(crate) fn attempt(self, id: u64, number: u64) -> Self {
        self.with(id, "http.request.resend_count", json!(number)).with(
            id,
            "throughline.replica",
            json!(format!("10.0.0.{}:80", number + 1)),
        )
    }

    pub(crate) fn system(self, id: u64, system: &str) -> Self {
        self.with(id, "db.system.name", json!(system))
    }

    /// These were never written.
    pub(crate) fn without(mut self, ids: &[u64]) -> Self {
        self.0.retain(|id, _| !ids.contains(id));
        self
    }

    pub(crate) fn with(self, id: u64, name: &str, value: serde_json::Value) -> Self {
        self.change(id, |span| _ = span.attributes.insert(name.to_owned(), value))
    }

    fn change(mut self, id: u64, change: impl FnOnce(&mut Span)) -> Self {
        change(self.0.get_mut(&id).unwrap());
        self
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.0.values().cloned().collect()
    }

    pub(crate) fn story(&self) -> Story {
        Story::new(TraceId::read(TRACE).unwrap(), self.spans(), Vec::new())
    }
}

/// A span that says nothing but when.
pub(crate) fn plain(id: u64, parent: Option<u64>, start: u64, end: u64) -> Span {
    let id_of = |id: u64| SpanId::read(&format!("{id:016x}")).unwrap();
    Span {
        trace: TraceId::read(TRACE).unwrap(),
        id: id_of(id),
        parent: parent.map(id_of),
        service: format!("s{}", id % 3),
        instance: None,
        name: "work".to_owned(),
        kind: Kind::Internal,
        start,
        end,
        failed: false,
        status_message: String::new(),
        attributes: Attributes::new(),
        events: Vec::new(),
        links: Vec::new(),
    }
}

/// Few ids, so that duplicates, circles, self-parents, several roots and missing parents are common; times that lie within one
/// another or at the ends of their range.
pub(crate) fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let time = || prop_oneof![8 => 0..4000_u64, 4 => (0..40_u64).prop_map(|ms| ms * 1_000_000), 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let names = prop_oneof![Just("work"), Just("pool.acquire"), Just("upstream.wait"), Just("\u{1b}[2J")];
    let parts =
        (1..12_u64, proptest::option::of(1..14_u64), time(), time(), names, 0..5_u8, any::<bool>(), 0..4_u64);
    let span = parts.prop_map(|(id, parent, start, end, name, kind, failed, more)| {
        let kinds = [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];
        let mut attributes = Attributes::from_iter([("http.request.method".to_owned(), json!("GET"))]);
        attributes.insert("http.request.resend_count".to_owned(), json!(more));
        if more == 3 {
            attributes.insert("db.system".to_owned(), json!("mysql"));
        }
        let kind = kinds[usize::from(kind)];
        Span { name: name.to_owned(), kind, failed, attributes, ..plain(id, parent, start, end) }
    });
    vec(span, 0..30)
}
