//! One line of OTLP/JSON → spans in brief, in one go, without building what is not kept.
//!
//! The spellings are those of [`crate::batch`], which finds the spans for [`crate::otlp`] as well: both find the same ones.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memmem;

use super::{Brief, MOST_HAS, Peer, Picks, What};
use crate::batch::{self, Items, Take};
use crate::cursor::{Cursor, Scalar};
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

/// Takes the object that `text` begins with and says how long it is; counts what cannot be read in `odd`.
fn take(text: &str, picks: &Picks, found: &mut Vec<Brief>, odd: &mut usize) -> Option<usize> {
    let mut reader = Reader {
        picks,
        service: Arc::default(),
        resource: Attributes::default(),
        span: Written::default(),
        found,
        odd: 0,
    };
    let before = reader.found.len();
    let mut cursor = Cursor::new(text);
    if batch::walk(&mut cursor, &mut reader).is_none() {
        // Half of a request is none.
        reader.found.truncate(before);
        return None;
    }
    *odd += reader.odd;
    Some(cursor.at)
}

struct Reader<'r, 'a> {
    picks: &'r Picks,
    service: Arc<str>,
    resource: Attributes<'a>,
    /// Used for one span after the other.
    span: Written<'a>,
    found: &'r mut Vec<Brief>,
    odd: usize,
}

impl<'a> Take<'a> for Reader<'_, 'a> {
    fn next(&mut self) {
        self.resource.0.clear();
        self.service = Arc::default();
    }

    fn resource(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        self.next();
        let resource = &mut self.resource;
        object(cursor, |cursor, name| match name {
            "attributes" => resource.read(cursor),
            _ => cursor.pass(),
        })?;
        self.service = super::cut(&resource.text(&[names::SERVICE]).unwrap_or_default()).into();
        Some(())
    }

    fn item(&mut self, kind: Items, _scope: &str, cursor: &mut Cursor<'a>) -> Option<()> {
        if kind == Items::Records {
            return cursor.pass();
        }
        let mark = cursor.mark();
        self.span.read(cursor)?;
        let brief = self.span.brief(&self.service, &self.resource, self.picks);
        match brief.filter(|_| cursor.is_sound(mark)) {
            Some(brief) => self.found.push(brief),
            None => self.odd += 1,
        }
        Some(())
    }

    fn odd(&mut self) {
        self.odd += 1;
    }
}

/// Walks through an object; passes whatever else stands there.
fn object<'a>(cursor: &mut Cursor<'a>, take: impl FnMut(&mut Cursor<'a>, &str) -> Option<()>) -> Option<()> {
    if cursor.peek()? == b'{' { cursor.members(take) } else { cursor.pass() }
}

/// A span as it is written, as far as it is looked at.
#[derive(Default)]
struct Written<'a> {
    trace: Scalar<'a>,
    id: Scalar<'a>,
    parent: Scalar<'a>,
    name: Scalar<'a>,
    kind: Scalar<'a>,
    start: Scalar<'a>,
    end: Scalar<'a>,
    code: Scalar<'a>,
    message: Scalar<'a>,
    attributes: Attributes<'a>,
    /// The list of its events.
    events: &'a str,
}

impl<'a> Written<'a> {
    /// Reads the object that the cursor stands before.
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.0.clear();
        *self = Self { attributes, ..Self::default() };
        cursor.members(|cursor, name| {
            match name {
                "traceId" | "trace_id" => self.trace = cursor.scalar()?,
                "spanId" | "span_id" => self.id = cursor.scalar()?,
                "parentSpanId" | "parent_span_id" => self.parent = cursor.scalar()?,
                "name" => self.name = cursor.scalar()?,
                "kind" => self.kind = cursor.scalar()?,
                "startTimeUnixNano" | "start_time_unix_nano" => self.start = cursor.scalar()?,
                "endTimeUnixNano" | "end_time_unix_nano" => self.end = cursor.scalar()?,
                "attributes" => self.attributes.read(cursor)?,
                "status" => object(cursor, |cursor, name| {
                    match name {
                        "code" => self.code = cursor.scalar()?,
                        "message" => self.message = cursor.scalar()?,
                        _ => cursor.pass()?,
                    }
                    Some(())
                })?,
                "events" => {
                    let from = cursor.at;
                    cursor.pass()?;
                    self.events = cursor.since(from);
                }
                _ => cursor.pass()?,
            }
            Some(())
        })
    }

    /// `None` without ids.
    fn brief(&self, service: &Arc<str>, resource: &Attributes<'_>, picks: &Picks) -> Option<Brief> {
        let (Scalar::Text(trace), Scalar::Text(id)) = (&self.trace, &self.id) else { return None };
        let (trace, id) = (TraceId::read(trace)?, SpanId::read(id)?);
        let parent = self.parent.text().and_then(|text| SpanId::read(&text));
        let kind = Kind::read(self.kind.text().as_deref());
        let says_so = matches!(self.code.text().as_deref(), Some("2" | "STATUS_CODE_ERROR"));
        let enters = matches!(kind, Kind::Server | Kind::Consumer);
        let what = (enters || parent.is_none() || says_so).then(|| self.what(says_so));
        let answered_5xx = what.as_ref().is_some_and(|what| kind == Kind::Server && what.status >= Some(500));
        let value =
            |name: &str| self.attributes.get(name).or_else(|| resource.get(name)).and_then(Scalar::text);
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
            spent: if picks.spent { self.spent(kind) } else { None },
            what: what.map(Box::new),
            peer: if picks.peers { peer(kind, &self.attributes).map(Box::new) } else { None },
        })
    }

    fn spent(&self, kind: Kind) -> Option<Spent> {
        let name = self.name.text().unwrap_or_default();
        let text = |names: &[&str]| self.attributes.text(names);
        let (database, in_use) = (text(names::DATABASE), text(&[names::POOL_IN_USE]));
        verdict::told(&name, kind, database, in_use, text(&[names::CACHE_RESULT]))
    }

    fn what(&self, failed: bool) -> What {
        let text = |names: &[&str]| self.attributes.text(names).map(|text| cut(&text));
        let status: Option<u16> = self.attributes.text(names::STATUS).and_then(|text| text.parse().ok());
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
            let exception = exception(self.events).unwrap_or_default();
            let message = self.message.text().filter(|text| !text.is_empty());
            what.error = self
                .attributes
                .text(&[names::ERROR_TYPE])
                .or_else(|| exception.text(&[names::EXCEPTION_TYPE]))
                .or_else(|| status.map(|status| status.to_string().into()))
                .map(|text| cut(&text));
            what.message =
                message.or_else(|| exception.text(&[names::EXCEPTION_MESSAGE])).map(|text| cut(&text));
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

/// The attributes of the last exception among `events`.
fn exception(events: &str) -> Option<Attributes<'_>> {
    let (mut cursor, mut last) = (Cursor::new(events), None);
    if cursor.peek()? != b'[' {
        return None;
    }
    cursor.items(|cursor| {
        let (mut name, mut attributes) = (Scalar::Nothing, Attributes::default());
        object(cursor, |cursor, member| {
            match member {
                "name" => name = cursor.scalar()?,
                "attributes" => attributes.read(cursor)?,
                _ => cursor.pass()?,
            }
            Some(())
        })?;
        if name.text().as_deref() == Some(names::EXCEPTION) {
            last = Some(attributes);
        }
        Some(())
    })?;
    last
}

fn cut(text: &str) -> Box<str> {
    super::cut(text).into()
}

/// OTLP's list of keys and values, those that are scalars.
#[derive(Default)]
struct Attributes<'a>(Vec<(Cow<'a, str>, Scalar<'a>)>);

impl<'a> Attributes<'a> {
    /// Adds those of the list that the cursor stands before; passes whatever else stands there.
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        if cursor.peek()? != b'[' {
            return cursor.pass();
        }
        cursor.items(|cursor| {
            let (mut key, mut value) = (Scalar::Nothing, Scalar::Nothing);
            object(cursor, |cursor, name| {
                match name {
                    "key" => key = cursor.scalar()?,
                    "value" => value = any_value(cursor)?,
                    _ => cursor.pass()?,
                }
                Some(())
            })?;
            if let Scalar::Text(key) = key {
                self.0.push((key, value));
            }
            Some(())
        })
    }

    /// Of a key that occurs twice the last counts.
    fn get(&self, name: &str) -> Option<&Scalar<'a>> {
        self.0.iter().rfind(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The first of `names` that has a text or a number.
    fn text(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        names.iter().find_map(|name| self.get(name)).and_then(Scalar::text).filter(|text| !text.is_empty())
    }
}

/// OTLP's `AnyValue`, if it holds a scalar: its first member, whatever its form.
fn any_value<'a>(cursor: &mut Cursor<'a>) -> Option<Scalar<'a>> {
    let mut first = None;
    object(cursor, |cursor, _| {
        match first {
            None => first = Some(cursor.scalar()?),
            Some(_) => cursor.pass()?,
        }
        Some(())
    })?;
    Some(first.unwrap_or_default())
}
