//! A span as it was written, in terms of OpenTelemetry's data model, whatever the spelling of its file.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::id::{SpanId, TraceId};

/// Attributes by name; values as JSON has them, bytes as base64 text.
pub type Attributes = Map<String, Value>;

/// What one service did within one trace, from `start` to `end`.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// The span that caused it; `None` at the trace's root.
    pub parent: Option<SpanId>,
    /// `service.name` of its resource; empty where the resource has none.
    pub service: String,
    /// `service.instance.id` of its resource.
    pub instance: Option<String>,
    /// What it did, in few words.
    pub name: String,
    /// Its part in an exchange.
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970; before `start` if its writer's clock jumped.
    pub end: u64,
    /// Whether it says that it failed.
    pub failed: bool,
    /// What it says about its failure; often empty.
    pub status_message: String,
    /// What else it tells.
    pub attributes: Attributes,
    /// Moments within it.
    pub events: Vec<Event>,
    /// Spans, mostly of other traces, that it has to do with.
    pub links: Vec<Link>,
}

/// A span's part in an exchange (OpenTelemetry's `SpanKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Within one service, or not told.
    Internal,
    /// Answers somebody else's request.
    Server,
    /// Asks somebody else and waits.
    Client,
    /// Leaves a message for later.
    Producer,
    /// Acts on a message.
    Consumer,
}

/// A moment within a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// What happened.
    pub name: String,
    /// What else is known of it.
    pub attributes: Attributes,
}

/// Another span that a span has to do with, without being its child.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The other span's trace.
    pub trace: TraceId,
    /// The other span.
    pub span: SpanId,
    /// What the link itself tells.
    pub attributes: Attributes,
}

impl Span {
    /// Nanoseconds from start to end; 0 if the end lies before the start.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The first of `names` that is an attribute, as text.
    pub fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.attributes.get(*name)).map(plain).filter(|text| !text.is_empty())
    }

    /// The first of `names` that is an attribute, as a whole number, also from a number that was written as text.
    pub fn number(&self, names: &[&str]) -> Option<u64> {
        self.text(names).and_then(|text| text.parse().ok())
    }

    /// Whether it stands where a request enters a service.
    pub fn enters(&self) -> bool {
        matches!(self.kind, Kind::Server | Kind::Consumer)
    }

    /// The other traces that its own goes on from: of a consumer that begins a trace, those that it is linked to.
    pub fn goes_on_from(&self) -> impl Iterator<Item = TraceId> {
        let begins = self.kind == Kind::Consumer && self.parent.is_none();
        self.links.iter().map(|link| link.trace).filter(move |trace| begins && *trace != self.trace)
    }
}

impl Kind {
    /// Reads its number or its name in OTLP/JSON; what is neither is told by nobody, and internal.
    pub(crate) fn read(text: Option<&str>) -> Self {
        match text {
            Some("2" | "SPAN_KIND_SERVER") => Self::Server,
            Some("3" | "SPAN_KIND_CLIENT") => Self::Client,
            Some("4" | "SPAN_KIND_PRODUCER") => Self::Producer,
            Some("5" | "SPAN_KIND_CONSUMER") => Self::Consumer,
            _ => Self::Internal,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        })
    }
}

/// A value as a person reads it: text without quotes, all else as JSON.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
