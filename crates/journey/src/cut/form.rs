//! The spellings of OTLP/JSON: what was written in older or other ones is written again in today's.
//!
//! Ids are hex, 64-bit numbers are text, kinds and status codes are numbers, names are in camel case (the OTLP
//! specification's "JSON Protobuf Encoding"). Whatever is not known is left as it was, and so is what is nested deeper than
//! [`DEEPEST`]; members that are `null` say nothing and are left out.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::id::{SpanId, TraceId};

/// So deep values within values are looked at; each level is read once more than the one above it.
const DEEPEST: usize = 32;

/// What a member holds.
enum Form {
    Trace,
    Span,
    /// 64 bits, which JSON's numbers cannot hold everywhere.
    Long,
    /// One of these names, by its number.
    Names(&'static [&'static str]),
    One(&'static Shape),
    Many(&'static Shape),
}

/// The members of a message whose spelling may differ, by their names.
pub(super) struct Shape(&'static [(&'static str, Form)]);

const KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const CODES: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

pub(super) static RESOURCE_SPANS: Shape =
    Shape(&[("resource", Form::One(&WITH_ATTRIBUTES)), ("schemaUrl", PLAIN)]);
pub(super) static SCOPE_SPANS: Shape = Shape(&[("scope", Form::One(&WITH_ATTRIBUTES)), ("schemaUrl", PLAIN)]);
pub(super) static SPAN: Shape = Shape(&[
    ("traceId", Form::Trace),
    ("spanId", Form::Span),
    ("parentSpanId", Form::Span),
    ("traceState", PLAIN),
    ("kind", Form::Names(KINDS)),
    ("startTimeUnixNano", Form::Long),
    ("endTimeUnixNano", Form::Long),
    ("attributes", Form::Many(&KEY_VALUE)),
    ("droppedAttributesCount", PLAIN),
    ("events", Form::Many(&EVENT)),
    ("droppedEventsCount", PLAIN),
    ("links", Form::Many(&LINK)),
    ("droppedLinksCount", PLAIN),
    ("status", Form::One(&STATUS)),
]);
static WITH_ATTRIBUTES: Shape =
    Shape(&[("attributes", Form::Many(&KEY_VALUE)), ("droppedAttributesCount", PLAIN)]);
static EVENT: Shape = Shape(&[
    ("timeUnixNano", Form::Long),
    ("attributes", Form::Many(&KEY_VALUE)),
    ("droppedAttributesCount", PLAIN),
]);
static LINK: Shape = Shape(&[
    ("traceId", Form::Trace),
    ("spanId", Form::Span),
    ("traceState", PLAIN),
    ("attributes", Form::Many(&KEY_VALUE)),
    ("droppedAttributesCount", PLAIN),
]);
static STATUS: Shape = Shape(&[("code", Form::Names(CODES))]);
static KEY_VALUE: Shape = Shape(&[("value", Form::One(&ANY_VALUE))]);
static ANY_VALUE: Shape = Shape(&[
    ("stringValue", PLAIN),
    ("boolValue", PLAIN),
    ("intValue", Form::Long),
    ("doubleValue", PLAIN),
    ("bytesValue", PLAIN),
    ("arrayValue", Form::One(&VALUES)),
    ("kvlistValue", Form::One(&PAIRS)),
]);
static VALUES: Shape = Shape(&[("values", Form::Many(&ANY_VALUE))]);
static PAIRS: Shape = Shape(&[("values", Form::Many(&KEY_VALUE))]);
/// Only its name has another spelling: a list of no names.
const PLAIN: Form = Form::Names(&[]);

impl Shape {
    /// The object `text`, spelt as it should be; what is no object as it is.
    pub(super) fn write(&'static self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        self.object(text, 0, &mut out);
        out
    }

    fn object(&'static self, text: &str, depth: usize, out: &mut String) {
        let Some(members) = Members::read(text).filter(|_| depth < DEEPEST) else {
            return out.push_str(text);
        };
        out.push('{');
        self.members(&members, &[], depth, out);
        // Each has a comma behind it.
        if out.ends_with(',') {
            out.pop();
        }
        out.push('}');
    }

    /// All members but `left_out`, each with a comma behind it.
    fn members(&'static self, members: &Members<'_>, left_out: &[&str], depth: usize, out: &mut String) {
        for (written, value) in &members.0 {
            let name = today(written);
            if value.get() == "null" || left_out.contains(&&*name) {
                continue;
            }
            let known = self.0.iter().find(|(known, _)| *known == name);
            let name = known.map_or(written.as_str(), |(known, _)| known);
            out.push_str(&serde_json::Value::from(name).to_string());
            out.push(':');
            match known {
                Some((_, form)) => form.write(value, depth, out),
                None => out.push_str(value.get()),
            }
            out.push(',');
        }
    }
}

impl Form {
    fn write(&self, value: &RawValue, depth: usize, out: &mut String) {
        let text = value.get();
        let told = match self {
            Self::One(shape) => return shape.object(text, depth + 1, out),
            Self::Many(shape) => {
                let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else {
                    return out.push_str(text);
                };
                out.push('[');
                for (number, item) in items.into_iter().enumerate() {
                    out.push_str(if number == 0 { "" } else { "," });
                    shape.object(item.get(), depth + 1, out);
                }
                return out.push(']');
            }
            Self::Trace => plain(text).and_then(|id| TraceId::read(&id)).map(|id| format!("\"{id}\"")),
            Self::Span => plain(text).and_then(|id| SpanId::read(&id)).map(|id| format!("\"{id}\"")),
            Self::Long => long(text).map(|number| format!("\"{number}\"")),
            Self::Names(names) => plain(text)
                .and_then(|name| names.iter().position(|known| *known == name))
                .map(|number| number.to_string()),
        };
        out.push_str(told.as_deref().unwrap_or(text));
    }
}

/// Text, a number as it is written; `None` of anything else.
fn plain(text: &str) -> Option<Cow<'_, str>> {
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok().map(Cow::Owned),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

/// A whole number of 64 bits. Writers that keep numbers as floats have lost the last digits already.
fn long(text: &str) -> Option<i128> {
    let text = plain(text)?;
    let whole = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number as i128);
    text.parse()
        .ok()
        .or_else(whole)
        .filter(|number| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(number))
}

/// The name that a member has today: `trace_id` is `traceId`, a library is a scope.
fn today(name: &str) -> Cow<'_, str> {
    match name {
        "instrumentationLibrary" | "instrumentation_library" => return Cow::Borrowed("scope"),
        _ if !name.contains('_') => return Cow::Borrowed(name),
        _ => {}
    }
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    Cow::Owned(camel)
}

/// The members of an object, in the order in which they were written.
pub(super) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn of(value: &'a RawValue) -> Option<Self> {
        Self::read(value.get())
    }

    /// All that are called `name` in any spelling.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a RawValue> {
        self.0.iter().filter(move |(written, _)| today(written) == name).map(|(_, value)| *value)
    }

    /// The one called `name`, as text.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.all(name).last().and_then(|value| plain(value.get()))
    }

    /// All but `left_out`, spelt as `shape` has them, each with a comma behind it.
    pub(super) fn rest(&self, shape: &'static Shape, left_out: &[&str]) -> String {
        let mut out = String::new();
        shape.members(self, left_out, 0, &mut out);
        out
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The items of a list; what is no list has none.
pub(super) fn list(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_default()
}
