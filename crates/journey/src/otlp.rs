//! OTLP/JSON, as the Collector's file exporter writes it: one export request a line.
//!
//! Also read: ids in base64, numbers as text or as numbers, kinds and status codes by name, snake_case members,
//! `instrumentationLibrarySpans` of old Collectors. Unknown members are ignored. Only spans and records in whose text
//! the wanted id occurs are taken apart; the rest of a batch is skipped over.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::id::{SpanId, TraceId};
use crate::line::Line;
use crate::names;
use crate::scan::Needles;
use crate::span::{Attributes, Event, Kind, Link, Span, plain};

/// An export request; a line that is none has neither member.
#[derive(Deserialize)]
pub(crate) struct Request<'a> {
    #[serde(borrow, rename = "resourceSpans", alias = "resource_spans")]
    spans: Option<Vec<OfResource<'a>>>,
    #[serde(borrow, rename = "resourceLogs", alias = "resource_logs")]
    logs: Option<Vec<OfResource<'a>>>,
}

/// `ResourceSpans` or `ResourceLogs`.
#[derive(Deserialize)]
struct OfResource<'a> {
    resource: Option<Resource>,
    #[serde(
        borrow,
        rename = "scopeSpans",
        alias = "scope_spans",
        alias = "instrumentationLibrarySpans",
        alias = "scopeLogs",
        alias = "scope_logs"
    )]
    scopes: Option<Vec<OfScope<'a>>>,
}

#[derive(Deserialize)]
struct Resource {
    attributes: Option<Vec<Value>>,
}

/// `ScopeSpans` or `ScopeLogs`.
#[derive(Deserialize)]
struct OfScope<'a> {
    #[serde(alias = "instrumentationLibrary")]
    scope: Option<Scope>,
    #[serde(borrow, rename = "spans", alias = "logRecords", alias = "log_records")]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize, Default)]
struct Scope {
    #[serde(default)]
    name: String,
}

impl<'a> Request<'a> {
    /// Whether it is an export request at all.
    pub(crate) fn is_one(&self) -> bool {
        self.spans.is_some() || self.logs.is_some()
    }

    /// Without its spans.
    pub(crate) fn logs_only(self) -> Self {
        Self { spans: None, ..self }
    }

    /// Gives every span and every log line that may be wanted to `span` and `line`.
    pub(crate) fn each(self, needles: &Needles, mut span: impl FnMut(Span), mut line: impl FnMut(Line)) {
        for of_resource in self.spans.into_iter().flatten() {
            let resource = of_resource.attributes();
            for (_, item) in of_resource.items(needles) {
                if let Some(read) = read_span(&item, &resource) {
                    span(read);
                }
            }
        }
        for of_resource in self.logs.into_iter().flatten() {
            let resource = of_resource.attributes();
            for (scope, item) in of_resource.items(needles) {
                if let Some(read) = read_record(&item, scope, &resource) {
                    line(read);
                }
            }
        }
    }
}

impl<'a> OfResource<'a> {
    fn attributes(&self) -> Attributes {
        self.resource
            .as_ref()
            .and_then(|resource| resource.attributes.as_deref())
            .map(pairs)
            .unwrap_or_default()
    }

    /// The items that may be wanted, each with its scope's name.
    fn items<'s>(&'s self, needles: &'s Needles) -> impl Iterator<Item = (&'s str, Attributes)> {
        self.scopes.iter().flatten().flat_map(move |of_scope| {
            let scope = of_scope.scope.as_ref().map_or("", |scope| &scope.name);
            let wanted = of_scope.items.iter().flatten().filter(|item| needles.are_in(item.get().as_bytes()));
            // An item that is no object, or is nested too deep to be one, is no span: the rest of its batch still counts.
            wanted.filter_map(move |item| Some((scope, serde_json::from_str(item.get()).ok()?)))
        })
    }
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
fn read_record(item: &Attributes, scope: &str, resource: &Attributes) -> Option<Line> {
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
    let told = [
        ("timestamp", time.and_then(rfc3339)),
        ("level", member(item, "severityText", "severity_text").map(plain)),
        ("service", resource.get(names::SERVICE).map(plain)),
        ("instance", resource.get(names::INSTANCE).map(plain)),
        ("logger", Some(scope.to_owned())),
        (
            "span_id",
            member(item, "spanId", "span_id")
                .and_then(Value::as_str)
                .and_then(SpanId::read)
                .map(|id| id.to_string()),
        ),
        ("trace_id", TraceId::read(member(item, "traceId", "trace_id")?.as_str()?).map(|id| id.to_string())),
    ];
    for (field, value) in told {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            flat.insert(field.to_owned(), Value::String(value));
        }
    }
    let raw = Value::Object(flat.clone()).to_string();
    Line::from_object(flat, raw)
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
