//! One line of OTLP/JSON → spans in brief, without building what is not kept.
//!
//! The spellings are those of [`crate::otlp`]. A batch is read in one go; if something in it has an unknown form, it is
//! read again span by span, so that only the odd one is lost.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use memchr::memmem;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Brief, LONGEST_TEXT, MOST_HAS, Peer, Picks, What};
use crate::id::{SpanId, TraceId};
use crate::names;
use crate::objects;
use crate::span::Kind;
use crate::verdict::{self, Spent};

/// Adds the spans of `line` to `found`; `false` if something in it could not be understood. A line of something else,
/// as log lines and metrics, is only looked at from outside.
pub(crate) fn each(line: &[u8], picks: &Picks, found: &mut Vec<Brief>) -> bool {
    let may_have_spans = ["resourceSpans\"", "resource_spans\""];
    if !may_have_spans.iter().any(|member| memmem::find(line, member.as_bytes()).is_some()) {
        let is_nothing = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
        let mut something = line.iter().filter(|byte| !is_nothing(byte));
        return match (something.next(), something.next_back()) {
            (None, _) => true,
            (Some(first), last) => *first == b'{' && last == Some(&b'}'),
        };
    }
    let mut odd = 0;
    objects::each(line, |text| take(text, picks, found, &mut odd)) && odd == 0
}

/// Takes the object that `text` begins with and says how long it is; counts spans that cannot be read in `odd`.
fn take(text: &str, picks: &Picks, found: &mut Vec<Brief>, odd: &mut usize) -> Option<usize> {
    if let Some((request, length)) = parse::<Written<'_>>(text) {
        for of_resource in request.spans.into_iter().flatten() {
            of_resource.each(picks, Some, found, odd);
        }
        return Some(length);
    }
    let (request, length) = parse::<&RawValue>(text)?;
    for of_resource in request.spans.into_iter().flatten() {
        of_resource.each(picks, |span| serde_json::from_str(span.get()).ok(), found, odd);
    }
    Some(length)
}

fn parse<'a, S: Deserialize<'a>>(text: &'a str) -> Option<(Request<'a, S>, usize)> {
    let mut requests = serde_json::Deserializer::from_str(text).into_iter();
    let request = requests.next()?.ok()?;
    Some((request, requests.byte_offset()))
}

/// An export request of spans in the form `S`.
#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de>"))]
struct Request<'a, S> {
    #[serde(borrow, rename = "resourceSpans", alias = "resource_spans")]
    spans: Option<Vec<OfResource<'a, S>>>,
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de>"))]
struct OfResource<'a, S> {
    #[serde(borrow)]
    resource: Option<Resource<'a>>,
    #[serde(rename = "scopeSpans", alias = "scope_spans", alias = "instrumentationLibrarySpans")]
    scopes: Option<Vec<OfScope<S>>>,
}

#[derive(serde::Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    attributes: Option<Attributes<'a>>,
}

#[derive(serde::Deserialize)]
struct OfScope<S> {
    spans: Option<Vec<S>>,
}

/// A span as it is written, as far as it is looked at.
#[derive(serde::Deserialize)]
struct Written<'a> {
    #[serde(borrow, default, rename = "traceId", alias = "trace_id")]
    trace: Scalar<'a>,
    #[serde(borrow, default, rename = "spanId", alias = "span_id")]
    id: Scalar<'a>,
    #[serde(borrow, default, rename = "parentSpanId", alias = "parent_span_id")]
    parent: Scalar<'a>,
    #[serde(borrow, default)]
    name: Scalar<'a>,
    #[serde(borrow, default)]
    kind: Scalar<'a>,
    #[serde(borrow, default, rename = "startTimeUnixNano", alias = "start_time_unix_nano")]
    start: Scalar<'a>,
    #[serde(borrow, default, rename = "endTimeUnixNano", alias = "end_time_unix_nano")]
    end: Scalar<'a>,
    #[serde(borrow)]
    attributes: Option<Attributes<'a>>,
    #[serde(borrow)]
    status: Option<Status<'a>>,
    #[serde(borrow)]
    events: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    code: Scalar<'a>,
    #[serde(borrow, default)]
    message: Scalar<'a>,
}

#[derive(serde::Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    name: Scalar<'a>,
    #[serde(borrow)]
    attributes: Option<Attributes<'a>>,
}

impl<S> OfResource<'_, S> {
    fn each<'s>(
        self,
        picks: &Picks,
        read: impl Fn(S) -> Option<Written<'s>>,
        found: &mut Vec<Brief>,
        odd: &mut usize,
    ) {
        let resource = self.resource.and_then(|resource| resource.attributes).unwrap_or_default();
        let service: Arc<str> = resource.text(&[names::SERVICE]).unwrap_or_default().as_ref().into();
        for span in self.scopes.into_iter().flatten().filter_map(|scope| scope.spans).flatten() {
            match read(span).and_then(|span| span.brief(&service, &resource, picks)) {
                Some(brief) => found.push(brief),
                None => *odd += 1,
            }
        }
    }
}

impl Written<'_> {
    /// `None` without ids.
    fn brief(&self, service: &Arc<str>, resource: &Attributes<'_>, picks: &Picks) -> Option<Brief> {
        let trace = TraceId::read(&self.trace.text()?)?;
        let id = SpanId::read(&self.id.text()?)?;
        let parent = self.parent.text().and_then(|text| SpanId::read(&text));
        let kind = Kind::read(self.kind.text().as_deref());
        let attributes = self.attributes.as_ref();
        let code = self.status.as_ref().and_then(|status| status.code.text());
        let says_so = matches!(code.as_deref(), Some("2" | "STATUS_CODE_ERROR"));
        let enters = matches!(kind, Kind::Server | Kind::Consumer);
        let what = (enters || parent.is_none() || says_so).then(|| self.what(says_so));
        let answered_5xx = what.as_ref().is_some_and(|what| kind == Kind::Server && what.status >= Some(500));
        let value = |name: &str| {
            let own = attributes.and_then(|attributes| attributes.get(name));
            own.or_else(|| resource.get(name)).and_then(Scalar::text)
        };
        let has = picks.has.iter().take(MOST_HAS).enumerate();
        Some(Brief {
            id,
            end: self.end.nanoseconds(),
            start: self.start.nanoseconds(),
            trace,
            parent,
            kind,
            service: service.clone(),
            failed: says_so || answered_5xx,
            has: has.fold(0, |bits, (at, (name, wanted))| match value(name) {
                Some(found) if found == wanted.as_str() => bits | 1 << at,
                _ => bits,
            }),
            by: picks.by.as_ref().filter(|_| enters).and_then(|name| value(name)).map(|text| cut(&text)),
            spent: if picks.spent {
                self.spent(kind, attributes.unwrap_or(&Attributes::default()))
            } else {
                None
            },
            what: what.map(Box::new),
            peer: attributes
                .filter(|_| picks.peers)
                .and_then(|attributes| peer(kind, attributes))
                .map(Box::new),
        })
    }

    fn spent(&self, kind: Kind, attributes: &Attributes<'_>) -> Option<Spent> {
        let name = self.name.text().unwrap_or_default();
        let text = |names: &[&str]| attributes.text(names);
        let (database, in_use) = (text(names::DATABASE), text(&[names::POOL_IN_USE]));
        verdict::told(&name, kind, database, in_use, text(&[names::CACHE_RESULT]))
    }

    fn what(&self, failed: bool) -> What {
        let nothing = Attributes::default();
        let attributes = self.attributes.as_ref().unwrap_or(&nothing);
        let text = |names: &[&str]| attributes.text(names).map(|text| cut(&text));
        let status: Option<u16> = attributes.text(names::STATUS).and_then(|text| text.parse().ok());
        let mut what = What {
            name: self.name.text().map(|name| cut(&name)).unwrap_or_default(),
            method: text(names::METHOD),
            route: text(names::ROUTE),
            path: text(names::PATH),
            status,
            error: None,
            message: None,
        };
        if failed || status >= Some(500) {
            let events: Vec<Event<'_>> =
                self.events.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
            let is_exception = |event: &&Event<'_>| event.name.text().as_deref() == Some(names::EXCEPTION);
            let exception = events.iter().rfind(is_exception).and_then(|event| event.attributes.as_ref());
            let of_exception = |name| exception.and_then(|exception| exception.text(&[name]));
            let message = self.status.as_ref().and_then(|status| status.message.text());
            let message = message.filter(|text| !text.is_empty());
            what.error = attributes
                .text(&[names::ERROR_TYPE])
                .or_else(|| of_exception(names::EXCEPTION_TYPE))
                .or_else(|| status.map(|status| status.to_string().into()))
                .map(|text| cut(&text));
            what.message = message.or_else(|| of_exception(names::EXCEPTION_MESSAGE)).map(|text| cut(&text));
        }
        what
    }
}

/// Whom a span of this kind asks, or where the message came from that it acts on.
fn peer(kind: Kind, attributes: &Attributes<'_>) -> Option<Peer> {
    let address = || {
        let (host, port) =
            names::PEER.iter().find_map(|(host, port)| Some((attributes.text(&[host])?, port)))?;
        let port = attributes.text(&[port]).map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{host}{port}"))
    };
    match kind {
        Kind::Client => match attributes.text(names::DATABASE) {
            Some(system) => {
                let address = address().map(|address| format!(" {address}")).unwrap_or_default();
                Some(Peer::Database(cut(&format!("{system}{address}"))))
            }
            None => {
                let named = attributes.text(names::PEER_SERVICE).map(Cow::into_owned);
                named.or_else(address).map(|name| Peer::Address(cut(&name)))
            }
        },
        Kind::Producer | Kind::Consumer => {
            let queue =
                attributes.text(names::MESSAGE_KIND).or_else(|| attributes.text(names::MESSAGE_SYSTEM));
            queue.map(|name| Peer::Queue(cut(&name)))
        }
        Kind::Internal | Kind::Server => None,
    }
}

/// Cut to [`LONGEST_TEXT`], between letters.
fn cut(text: &str) -> Box<str> {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// OTLP's list of keys and values.
#[derive(Default)]
struct Attributes<'a>(Vec<(Scalar<'a>, Scalar<'a>)>);

impl<'a> Attributes<'a> {
    /// Of a key that occurs twice the last counts.
    fn get(&self, name: &str) -> Option<&Scalar<'a>> {
        let named = |(key, _): &&(Scalar<'_>, Scalar<'_>)| matches!(key, Scalar::Text(key) if key == name);
        self.0.iter().rfind(named).map(|(_, value)| value)
    }

    /// The first of `names` that has a text or a number.
    fn text(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        names.iter().find_map(|name| self.get(name)).and_then(Scalar::text).filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Pair<'a> {
            #[serde(borrow, default)]
            key: Scalar<'a>,
            #[serde(borrow, default)]
            value: AnyValue<'a>,
        }
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Attributes<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of keys and values")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some(Pair { key, value }) = list.next_element()? {
                    pairs.push((key, value.0));
                }
                Ok(Attributes(pairs))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// OTLP's `AnyValue`, if it holds a scalar.
#[derive(Default)]
struct AnyValue<'a>(Scalar<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for AnyValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = AnyValue<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value and its form")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let first = map.next_entry::<IgnoredAny, Scalar<'de>>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(AnyValue(first.map(|(_, value)| value).unwrap_or_default()))
            }
        }
        deserializer.deserialize_map(Form)
    }
}

/// Text, a number or a truth value; whatever else stands there is nothing.
#[derive(Default)]
enum Scalar<'a> {
    #[default]
    Nothing,
    Text(Cow<'a, str>),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Truth(bool),
}

impl Scalar<'_> {
    fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Nothing => return None,
            Self::Text(text) => Cow::Borrowed(text),
            Self::Unsigned(number) => number.to_string().into(),
            Self::Signed(number) => number.to_string().into(),
            // With `.0` where it is whole, as JSON has it.
            Self::Float(number) => format!("{number:?}").into(),
            Self::Truth(truth) => truth.to_string().into(),
        })
    }

    fn nanoseconds(&self) -> u64 {
        match self {
            Self::Text(text) => text.parse().unwrap_or(0),
            Self::Unsigned(number) => *number,
            // Writers that keep numbers as floats lose the last digits, no more.
            Self::Float(number) => *number as u64,
            Self::Nothing | Self::Signed(_) | Self::Truth(_) => 0,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Unsigned(number))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Signed(number))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Float(number))
            }
            fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Truth(truth))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Nothing)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nothing)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nothing)
            }
        }
        deserializer.deserialize_any(Any)
    }
}
