//! OTLP/JSON, as the Collector's file exporter writes it: one export request a line.
//!
//! Also read: ids in base64, numbers as text or as numbers, kinds and status codes by name, and whatever [`crate::batch`]
//! knows. Only spans and records in whose text the wanted id occurs are built; the rest of a batch is passed over.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::batch::{self, Items, Take};
use crate::cursor::Cursor;
use crate::id::{SpanId, TraceId};
use crate::line::Line;
use crate::names;
use crate::scan::Needles;
use crate::span::{Attributes, Event, Kind, Link, Span, plain};

/// What an object is.
pub(crate) enum Object {
    /// An export request: what in it may be wanted.
    Request(Vec<Span>, Vec<Line>),
    /// Something else.
    Other,
}

/// What the object that `text` begins with is, and how long it is; `None` if it is no JSON, or only half of an object.
pub(crate) fn read(text: &str, needles: &Needles) -> Option<(Object, usize)> {
    let (mut spans, mut lines) = (Vec::new(), Vec::new());
    let is_wanted = |_, text: &[u8]| needles.are_in(text);
    let (is_request, length) = walk(text, is_wanted, |kind, item, scope, resource| match kind {
        Items::Spans => spans.extend(read_span(item, resource)),
        Items::Records => lines.extend(line(flatten(item, scope, resource))),
    })?;
    Some((if is_request { Object::Request(spans, lines) } else { Object::Other }, length))
}

/// Gives every span of the export request that `text` begins with to `span`, with its `flags`, and every record to `record`,
/// as the flat line that it becomes. Whether it is one, and how long it is; `None` as [`read`].
pub(crate) fn every(
    text: &str,
    mut span: impl FnMut(Span, u64),
    mut record: impl FnMut(Attributes),
) -> Option<(bool, usize)> {
    walk(
        text,
        |_, _| true,
        |kind, item, scope, resource| match kind {
            Items::Spans => {
                let flags = item.get("flags").and_then(Value::as_u64).unwrap_or(0);
                if let Some(read) = read_span(item, resource) {
                    span(read, flags);
                }
            }
            Items::Records => record(flatten(item, scope, resource)),
        },
    )
}

/// Gives every record of the export request that `text` begins with to `record`, as [`every`]; passes spans over.
pub(crate) fn records(text: &str, mut record: impl FnMut(Attributes)) -> Option<(bool, usize)> {
    walk(
        text,
        |kind, _| kind == Items::Records,
        |_, item, scope, resource| record(flatten(item, scope, resource)),
    )
}

/// The line that a record has become; `None` if it is of no trace.
pub(crate) fn line(flat: Attributes) -> Option<Line> {
    let raw = Value::Object(flat.clone()).to_string();
    Line::from_object(flat, raw)
}

/// Gives those items to `take` that `is_wanted` wants by kind and text, each with its scope's name and its
/// resource's attributes.
fn walk(
    text: &str,
    is_wanted: impl Fn(Items, &[u8]) -> bool,
    take: impl FnMut(Items, &Attributes, &str, &Attributes),
) -> Option<(bool, usize)> {
    let mut cursor = Cursor::new(text);
    let mut reader = Reader { is_wanted, take, resource: Attributes::new() };
    let is_request = batch::walk(&mut cursor, &mut reader)?;
    Some((is_request, cursor.at))
}

struct Reader<W, T> {
    is_wanted: W,
    take: T,
    resource: Attributes,
}

impl<'a, W, T> Take<'a> for Reader<W, T>
where
    W: Fn(Items, &[u8]) -> bool,
    T: FnMut(Items, &Attributes, &str, &Attributes),
{
    fn next(&mut self) {
        self.resource.clear();
    }

    fn resource(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        let from = cursor.at;
        cursor.pass()?;
        // What is no object has no attributes.
        let resource: Attributes = serde_json::from_str(cursor.since(from)).unwrap_or_default();
        self.resource = attributes(&resource);
        Some(())
    }

    fn item(&mut self, kind: Items, scope: &str, cursor: &mut Cursor<'a>) -> Option<()> {
        let from = cursor.at;
        cursor.pass()?;
        let text = cursor.since(from);
        if (self.is_wanted)(kind, text.as_bytes()) {
            // An item that is no object, or is nested too deep to be one, is no span: the rest of its batch still counts.
            if let Ok(item) = serde_json::from_str(text) {
                (self.take)(kind, &item, scope, &self.resource);
            }
        }
        Some(())
    }

    fn odd(&mut self) {}
}

fn read_span(item: &Attributes, resource: &Attributes) -> Option<Span> {
    let status = member(item, "status", "status").and_then(Value::as_object);
    Some(Span {
        trace: TraceId::read(member(item, "traceId", "trace_id")?.as_str()?)?,
        id: SpanId::read(member(item, "spanId", "span_id")?.as_str()?)?,
        parent: member(item, "parentSpanId", "parent_span_id").and_then(Value::as_str).and_then(SpanId::read),
        service: resource.get(names::SERVICE).map(plain).unwrap_or_default(),
        instance: resource.get(names::INSTANCE).map(plain),
        name: member(item, "name", "name").map(plain).unwrap_or_default(),
        kind: Kind::read(member(item, "kind", "kind").map(plain).as_deref()),
        start: nanoseconds(item, "startTimeUnixNano", "start_time_unix_nano").unwrap_or(0),
        end: nanoseconds(item, "endTimeUnixNano", "end_time_unix_nano").unwrap_or(0),
        failed: status.and_then(|status| status.get("code")).is_some_and(is_error),
        status_message: status.and_then(|status| status.get("message")).map(plain).unwrap_or_default(),
        attributes: attributes(item),
        events: objects(item, "events").filter_map(read_event).collect(),
        links: objects(item, "links").filter_map(read_link).collect(),
    })
}

fn read_event(item: &Attributes) -> Option<Event> {
    Some(Event {
        time: nanoseconds(item, "timeUnixNano", "time_unix_nano")?,
        name: member(item, "name", "name").map(plain).unwrap_or_default(),
        attributes: attributes(item),
    })
}

fn read_link(item: &Attributes) -> Option<Link> {
    Some(Link {
        trace: TraceId::read(member(item, "traceId", "trace_id")?.as_str()?)?,
        span: SpanId::read(member(item, "spanId", "span_id")?.as_str()?)?,
        attributes: attributes(item),
    })
}

/// A log record becomes the flat line that the Collector's own configuration makes of it, so that it need not matter
/// in which form a file holds it.
fn flatten(item: &Attributes, scope: &str, resource: &Attributes) -> Attributes {
    let mut flat = Attributes::new();
    match member(item, "body", "body").map(any_value) {
        Some(Value::Object(body)) => flat.extend(body),
        Some(Value::Null) | None => {}
        Some(body) => drop(flat.insert("message".to_owned(), body)),
    }
    for (name, value) in attributes(item) {
        let own = name.strip_prefix(names::OWN_PREFIX);
        let field =
            names::LINE_FIELDS.iter().find(|(attribute, _)| *attribute == name).map(|(_, field)| *field);
        flat.insert(field.or(own).map(str::to_owned).unwrap_or(name), value);
    }
    let time = nanoseconds(item, "timeUnixNano", "time_unix_nano")
        .filter(|time| *time != 0)
        .or_else(|| nanoseconds(item, "observedTimeUnixNano", "observed_time_unix_nano"));
    let text = |camel: &str, snake: &str| member(item, camel, snake).and_then(Value::as_str);
    let told = [
        ("timestamp", time.and_then(rfc3339)),
        ("level", level(item)),
        ("service", resource.get(names::SERVICE).map(plain)),
        ("instance", resource.get(names::INSTANCE).map(plain)),
        ("logger", Some(scope.to_owned())),
        ("span_id", text("spanId", "span_id").and_then(SpanId::read).map(|id| id.to_string())),
        ("trace_id", text("traceId", "trace_id").and_then(TraceId::read).map(|id| id.to_string())),
    ];
    for (field, value) in told {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            flat.insert(field.to_owned(), Value::String(value));
        }
    }
    flat
}

/// How grave a record is, as it says in words, else by its number.
fn level(item: &Attributes) -> Option<String> {
    let said = member(item, "severityText", "severity_text").map(plain).filter(|text| !text.is_empty());
    said.or_else(|| {
        let number = member(item, "severityNumber", "severity_number")?.as_u64()?;
        let names = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
        names.get(usize::try_from(number.checked_sub(1)? / 4).ok()?).map(|name| (*name).to_owned())
    })
}

fn rfc3339(nanoseconds: u64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanoseconds)).ok()?.format(&Rfc3339).ok()
}

fn member<'v>(item: &'v Attributes, camel: &str, snake: &str) -> Option<&'v Value> {
    item.get(camel).or_else(|| item.get(snake))
}

fn objects<'v>(item: &'v Attributes, name: &str) -> impl Iterator<Item = &'v Attributes> {
    item.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn nanoseconds(item: &Attributes, camel: &str, snake: &str) -> Option<u64> {
    match member(item, camel, snake)? {
        Value::String(text) => text.parse().ok(),
        // Writers that keep numbers as floats lose the last digits, no more.
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|number| number as u64)),
        _ => None,
    }
}

fn is_error(code: &Value) -> bool {
    matches!(plain(code).as_str(), "2" | "STATUS_CODE_ERROR")
}

fn attributes(item: &Attributes) -> Attributes {
    item.get("attributes").and_then(Value::as_array).map(|list| pairs(list)).unwrap_or_default()
}

/// OTLP's list of keys and values as a map; of a key that occurs twice the last counts.
fn pairs(list: &[Value]) -> Attributes {
    let pair = |item: &Value| Some((item.get("key")?.as_str()?.to_owned(), any_value(item.get("value")?)));
    list.iter().filter_map(pair).collect()
}

/// OTLP's `AnyValue` as plain JSON. The depth is bounded: the text was parsed by a parser that bounds it.
fn any_value(value: &Value) -> Value {
    let Some((form, value)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    let values = |value: &Value| value.get("values").and_then(Value::as_array).cloned().unwrap_or_default();
    match form.as_str() {
        "intValue" | "int_value" => match value.as_str().and_then(|text| text.parse::<i64>().ok()) {
            Some(number) => number.into(),
            None => value.clone(),
        },
        "arrayValue" | "array_value" => values(value).iter().map(any_value).collect(),
        "kvlistValue" | "kvlist_value" => Value::Object(pairs(&values(value))),
        _ => value.clone(),
    }
}
