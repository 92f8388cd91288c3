//! What an audit keeps of a span and of a log line, and how both are read.
//!
//! Texts that are only compared are kept as hashes, so that what is held is bounded by the number of spans.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use crate::brief;
use crate::id::{SpanId, TraceId};
use crate::line;
use crate::names;
use crate::objects;
use crate::otlp;
use crate::span::{Attributes, Kind, Span, plain};

/// OTLP's `flags` of a span: the low byte is W3C's, of which this bit is `sampled`.
const SAMPLED: u64 = 0x1;
/// Whether it is known where the parent ran.
const KNOWS_PARENT: u64 = 0x100;
/// The parent ran in another process.
const PARENT_IS_REMOTE: u64 = 0x200;

/// A span, as far as an audit looks at it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hop {
    pub(crate) id: SpanId,
    pub(crate) trace: TraceId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) kind: Kind,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) service: Arc<str>,
    /// The process; the service's name where it does not tell.
    pub(crate) instance: Arc<str>,
    pub(crate) asked: Asked,
    /// Of a client: where it sent its request; 0 if it does not say.
    pub(crate) peer: u64,
    /// Whether it asks somebody who may have spans of his own: not a database, and not a mere description.
    pub(crate) is_call: bool,
    /// Whether an answer came back.
    pub(crate) is_answered: bool,
    /// The answer is neither a refusal nor a failure.
    pub(crate) is_fine: bool,
    /// Whether its parent ran in another process; `None` if its writer does not say.
    pub(crate) is_remote: Option<bool>,
    /// Whether its flags say that it is sampled. Many writers leave them out.
    pub(crate) is_sampled: bool,
    /// The first span of another trace that it is linked to.
    pub(crate) link: Option<(TraceId, SpanId)>,
    pub(crate) says: Says,
    /// Of everything that two spans of one id must have in common.
    pub(crate) digest: u64,
}

/// What was asked, as hashes; 0 where it is not told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// The method of a request, else a message's destination, else the span's name.
    pub(crate) what: u64,
    /// The path of a request, else a message's id.
    pub(crate) which: u64,
}

/// What a span, or a log line within it, says of the context that came with its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Says {
    #[default]
    Nothing,
    /// A `traceparent` came, and could not be read.
    Malformed,
    /// A `traceparent` came, and was not believed.
    NotTrusted,
}

/// A log line, as far as an audit looks at it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) trace: Option<TraceId>,
    pub(crate) span: Option<SpanId>,
    pub(crate) service: Arc<str>,
    pub(crate) instance: Arc<str>,
    /// Nanoseconds since 1970; 0 if it does not say.
    pub(crate) time: u64,
    /// Whether it tells of a request.
    pub(crate) is_of_request: bool,
    /// Whether it sums one up that is over, or a task's run.
    pub(crate) sums_up: bool,
    pub(crate) says: Says,
}

/// What is in a block of lines.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) hops: Vec<Hop>,
    pub(crate) told: Vec<Told>,
    /// Lines that were understood only in part or not at all.
    pub(crate) odd: u64,
    /// The same text is kept once.
    names: HashMap<String, Arc<str>>,
}

impl Asked {
    /// Whether both may be one request.
    pub(crate) fn may_be(self, other: Self) -> bool {
        let agree = |a: u64, b: u64| a == 0 || b == 0 || a == b;
        agree(self.what, other.what) && agree(self.which, other.which)
    }
}

impl Seen {
    /// Adds what is in `line`.
    pub(crate) fn take(&mut self, line: &[u8]) {
        let is_understood = objects::each(line, |text| self.take_object(text));
        self.odd += u64::from(!is_understood);
    }

    /// How far in time it has come: the middle one of all moments in it, so that a few that are wrong change nothing;
    /// `None` if there is none.
    pub(crate) fn reached(&self) -> Option<u64> {
        let of_hops = self.hops.iter().map(|hop| hop.end);
        let mut times: Vec<u64> = of_hops.chain(self.told.iter().map(|told| told.time)).collect();
        times.retain(|time| *time > 0);
        let middle = times.len() / 2;
        (!times.is_empty()).then(|| *times.select_nth_unstable(middle).1)
    }

    fn take_object(&mut self, text: &str) -> Option<usize> {
        let Self { hops, told, names, .. } = self;
        let mut name = |text: &str| keep(names, text);
        let mut found = Vec::new();
        let span = |span: Span, flags| hops.push(Hop::of(&span, flags, &mut name));
        let (is_request, length) = otlp::every(text, span, |record| found.push(record))?;
        if is_request {
            told.extend(found.into_iter().map(|record| Told::of(&record, &mut name)));
            return Some(length);
        }
        let object: Attributes = serde_json::from_str(&text[..length]).ok()?;
        let Self { told, names, .. } = self;
        told.push(Told::of(&object, &mut |text| keep(names, text)));
        Some(length)
    }
}

fn keep(names: &mut HashMap<String, Arc<str>>, text: &str) -> Arc<str> {
    if let Some(kept) = names.get(text) {
        return kept.clone();
    }
    let kept: Arc<str> = brief::cut(text).into();
    names.insert(text.to_owned(), kept.clone());
    kept
}

impl Hop {
    fn of(span: &Span, flags: u64, name: &mut dyn FnMut(&str) -> Arc<str>) -> Self {
        let status = span.number(names::STATUS);
        let service = name(&span.service);
        let says = match span.text(&[names::TRACEPARENT]).as_deref() {
            Some("malformed") => Says::Malformed,
            Some("untrusted") => Says::NotTrusted,
            _ if span.events.iter().any(|event| says_malformed(&event.name)) => Says::Malformed,
            _ => Says::Nothing,
        };
        let link = span.links.iter().find(|link| link.trace != span.trace);
        let link = link.map(|link| (link.trace, link.span));
        let asked = asked(span);
        let about = (&span.service, &span.instance, &span.name, span.start, span.end, span.parent);
        let digest = hash((about, span.kind, flags, asked, status, span.failed, link));
        Self {
            id: span.id,
            trace: span.trace,
            parent: span.parent,
            kind: span.kind,
            start: span.start,
            end: span.end.max(span.start),
            instance: span.instance.as_deref().map_or_else(|| service.clone(), &mut *name),
            asked,
            peer: peer(span),
            is_call: span.kind == Kind::Client && span.text(names::DATABASE).is_none(),
            is_answered: status.is_some() || !span.failed,
            is_fine: status.is_none_or(|status| status < 400) && !span.failed,
            is_remote: (flags & KNOWS_PARENT != 0).then_some(flags & PARENT_IS_REMOTE != 0),
            is_sampled: flags & SAMPLED != 0,
            link,
            says,
            digest,
            service,
        }
    }

    /// Whether it stands where a request enters a service.
    pub(crate) fn enters(&self) -> bool {
        matches!(self.kind, Kind::Server | Kind::Consumer)
    }

    /// Whether its parent ran in another process, as far as can be told.
    pub(crate) fn comes_from_elsewhere(&self) -> bool {
        self.is_remote.unwrap_or(self.enters())
    }
}

impl Told {
    fn of(object: &Attributes, name: &mut dyn FnMut(&str) -> Arc<str>) -> Self {
        let text = |names: &[&str]| names.iter().find_map(|name| object.get(*name)).map(plain);
        let service = name(&text(names::LINE_SERVICE).unwrap_or_default());
        let message = text(names::LINE_MESSAGE).unwrap_or_default();
        let has = |attributes: &[&str]| {
            let as_field = |(attribute, field): &(&str, &'static str)| {
                attributes.contains(attribute) && object.contains_key(*field)
            };
            attributes.iter().any(|name| object.contains_key(*name))
                || names::LINE_FIELDS.iter().any(as_field)
        };
        let time = names::LINE_TIMESTAMP.iter().find_map(|name| object.get(*name)).and_then(line::moment);
        Self {
            trace: text(names::LINE_TRACE).and_then(|id| TraceId::read(&id)),
            span: text(names::LINE_SPAN).and_then(|id| SpanId::read(&id)),
            instance: text(names::LINE_INSTANCE).map_or_else(|| service.clone(), |instance| name(&instance)),
            time: time.unwrap_or(0),
            is_of_request: has(names::METHOD) && has(names::PATH)
                || message == names::REQUEST_MESSAGE && has(names::STATUS),
            sums_up: has(&[names::LINE_RESPONSE_TIME, names::LINE_RUN_TIME])
                || message == names::REQUEST_MESSAGE,
            says: match says_malformed(&message) || tells_malformed(object) {
                true => Says::Malformed,
                false => Says::Nothing,
            },
            service,
        }
    }
}

/// Whether a field tells of a `traceparent` that could not be read.
fn tells_malformed(object: &Attributes) -> bool {
    let tells = |name: &&str| object.get(*name).and_then(Value::as_str).is_some_and(says_malformed);
    [names::EXCEPTION_MESSAGE, "error"].iter().any(tells)
}

/// Whether words tell of a `traceparent` that could not be read.
fn says_malformed(text: &str) -> bool {
    if text.len() < "traceparent".len() {
        return false;
    }
    let text = text.to_ascii_lowercase();
    let names_it = ["traceparent", "trace context", "tracecontext"].iter().any(|word| text.contains(word));
    let words = ["malformed", "invalid", "unreadable", "parse", "corrupt"];
    names_it && words.iter().any(|word| text.contains(word))
}

fn asked(span: &Span) -> Asked {
    if let Some(method) = span.text(names::METHOD) {
        let path = span.text(names::PATH);
        return Asked { what: hash(method), which: path.map_or(0, |path| hash(path_of(&path))) };
    }
    if matches!(span.kind, Kind::Producer | Kind::Consumer) {
        let id = span.text(&[names::MESSAGE_ID]).map_or(0, hash);
        return Asked { what: span.text(names::MESSAGE_KIND).map_or(0, hash), which: id };
    }
    Asked { what: hash(&span.name), which: 0 }
}

/// The path in a URL, or in a target with its query.
fn path_of(text: &str) -> &str {
    let rest = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => text,
    };
    rest.split(['?', '#']).next().unwrap_or(rest)
}

fn peer(span: &Span) -> u64 {
    let address = |(name, port): &(&str, &str)| Some((span.text(&[name])?, span.text(&[port])));
    names::PEER.iter().find_map(address).map_or(0, hash)
}

/// The same in every run, and not 0.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_in_a_url_and_in_a_target() {
        for (text, expected) in [
            ("/a/b", "/a/b"),
            ("/a?x=1", "/a"),
            ("http://127.0.0.1:80/a/b?x#y", "/a/b"),
            ("http://host", "/"),
            ("", ""),
        ] {
            assert_eq!(path_of(text), expected, "{text}");
        }
    }

    #[test]
    fn words_about_an_unreadable_context_are_known() {
        for (text, expected) in [
            ("malformed traceparent: a new trace starts", true),
            ("Failed to parse Traceparent header", true),
            ("invalid trace context", true),
            ("traceparent", false),
            ("malformed body", false),
            ("", false),
        ] {
            assert_eq!(says_malformed(text), expected, "{text}");
        }
    }

    #[test]
    fn a_line_of_a_request_is_known_in_either_spelling() {
        let check = |line: &str, expected: (bool, bool)| {
            let mut seen = Seen::default();
            seen.take(line.as_bytes());
            let told = &seen.told[0];
            assert_eq!((told.is_of_request, told.trace.is_some()), expected, "{line}");
        };
        check(r#"{"message":"request","status":200}"#, (true, false));
        check(r#"{"message":"listening"}"#, (false, false));
        check(r#"{"method":"GET","path":"/x","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}"#, (true, true));
        check(
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"},"attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"url.path","value":{"stringValue":"/"}}]}]}]}]}"#,
            (true, false),
        );
    }
}
