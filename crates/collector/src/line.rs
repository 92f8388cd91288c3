//! The flat log line: one record as one JSON object, by the mapping that `otel-collector.yaml` gives the Collector.
//!
//! The line's fields, each step winning over those before it where names meet:
//! 1. the entries of a body that is a map; a body that is text is `message`; other bodies have no place in a line;
//! 2. the attributes, those of ours without their `throughline.`;
//! 3. the attributes of [`names::LINE_FIELDS`], under the names of a line and no longer under their own;
//! 4. `timestamp` (observed time where the record has none), `level`, and where there is one: `service`, `instance`
//!    (the resource's), `logger` (the scope's name), `trace_id`, `span_id`.
//!
//! Nothing else of resource and scope is in a line. Fields stand in the order of their names. Values keep their
//! type: a nested map is an object with sorted keys, bytes are base64, an empty value is `null`.

use std::io::Write as _;

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
};
use telemetry::names;
use time::OffsetDateTime;

use crate::json;

/// Appends every record of the request as one line.
pub(crate) fn lines(out: &mut Vec<u8>, request: &ExportLogsServiceRequest) {
    let mut fields = Vec::new();
    for of_resource in &request.resource_logs {
        let attributes = of_resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let service = attribute(attributes, "service.name");
        let instance = attribute(attributes, "service.instance.id");
        for of_scope in &of_resource.scope_logs {
            let logger = of_scope.scope.as_ref().map_or("", |scope| &scope.name);
            for record in &of_scope.log_records {
                fields.clear();
                from_record(&mut fields, record);
                push_present(&mut fields, "service", service);
                push_present(&mut fields, "instance", instance);
                if !logger.is_empty() {
                    fields.push(("logger", Field::Text(logger)));
                }
                write_line(out, &mut fields);
            }
        }
    }
}

/// What a field of a line may hold, borrowed from the request.
#[derive(Clone, Copy)]
enum Field<'a> {
    Value(Option<&'a AnyValue>),
    Text(&'a str),
    Time(u64),
    Id(&'a [u8]),
}

fn from_record<'a>(fields: &mut Vec<(&'a str, Field<'a>)>, record: &'a LogRecord) {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(message)) => fields.push(("message", Field::Text(message))),
        Some(Value::KvlistValue(map)) => {
            fields.extend(
                own_names(&map.values).map(|(name, entry)| (name, Field::Value(entry.value.as_ref()))),
            );
        }
        _ => {}
    }
    fields.extend(
        own_names(&record.attributes).map(|(name, entry)| (name, Field::Value(entry.value.as_ref()))),
    );
    for (otel, field) in names::LINE_FIELDS {
        push_present(fields, field, attribute(&record.attributes, otel));
    }
    let time = match record.time_unix_nano {
        0 => record.observed_time_unix_nano,
        time => time,
    };
    fields.push(("timestamp", Field::Time(time)));
    fields.push(("level", Field::Text(&record.severity_text)));
    for (name, id) in [("trace_id", &record.trace_id), ("span_id", &record.span_id)] {
        if id.iter().any(|byte| *byte != 0) {
            fields.push((name, Field::Id(id)));
        }
    }
}

/// The entries that keep their name in a line, and that name: without our prefix.
fn own_names(entries: &[KeyValue]) -> impl Iterator<Item = (&str, &KeyValue)> {
    entries
        .iter()
        .filter(|entry| names::LINE_FIELDS.iter().all(|(otel, _)| *otel != entry.key))
        .map(|entry| (entry.key.strip_prefix(names::OWN_PREFIX).unwrap_or(&entry.key), entry))
}

/// An attribute's value, unless it is empty.
fn attribute<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a AnyValue> {
    let found = attributes.iter().rev().find(|attribute| attribute.key == name)?;
    found.value.as_ref().filter(|value| value.value.is_some())
}

fn push_present<'a>(fields: &mut Vec<(&'a str, Field<'a>)>, name: &'static str, value: Option<&'a AnyValue>) {
    if value.is_some() {
        fields.push((name, Field::Value(value)));
    }
}

fn write_line(out: &mut Vec<u8>, fields: &mut [(&str, Field<'_>)]) {
    write_sorted(out, fields, |out, field| match *field {
        Field::Value(value) => write_value(out, value),
        Field::Text(text) => json::text(out, text),
        Field::Time(nanoseconds) => write_time(out, nanoseconds),
        Field::Id(id) => json::hex(out, id),
    });
    out.push(b'\n');
}

/// An object of these members in the order of their names; of several with one name the last stands.
fn write_sorted<T>(out: &mut Vec<u8>, members: &mut [(&str, T)], write: impl Fn(&mut Vec<u8>, &T)) {
    // Stable, so that the last of equal names is the one that was put last.
    members.sort_by_key(|(name, _)| *name);
    out.push(b'{');
    for (at, (name, member)) in members.iter().enumerate() {
        if members.get(at + 1).is_some_and(|(next, _)| next == name) {
            continue;
        }
        json::comma(out);
        json::text(out, name);
        out.push(b':');
        write(out, member);
    }
    out.push(b'}');
}

fn write_value(out: &mut Vec<u8>, value: Option<&AnyValue>) {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(value)) => json::text(out, value),
        Some(Value::BoolValue(value)) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Some(Value::IntValue(value)) => json::integer(out, *value),
        Some(Value::DoubleValue(value)) => json::float(out, *value),
        Some(Value::BytesValue(bytes)) => json::base64(out, bytes),
        Some(Value::ArrayValue(array)) => {
            out.push(b'[');
            for value in &array.values {
                json::comma(out);
                write_value(out, Some(value));
            }
            out.push(b']');
        }
        Some(Value::KvlistValue(map)) => {
            let mut members: Vec<_> =
                map.values.iter().map(|entry| (entry.key.as_str(), entry.value.as_ref())).collect();
            write_sorted(out, &mut members, |out, value| write_value(out, *value));
        }
        Some(Value::StringValueStrindex(_)) | None => out.extend_from_slice(b"null"),
    }
}

/// RFC 3339 in UTC, cut to microseconds. What no signed 64 bits of nanoseconds can say wraps, as it does in Go.
fn write_time(out: &mut Vec<u8>, nanoseconds: u64) {
    let signed = i128::from(nanoseconds.cast_signed());
    let at = OffsetDateTime::from_unix_timestamp_nanos(signed)
        .expect("64 bits of nanoseconds are the years 1677 to 2262");
    write!(
        out,
        "\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z\"",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.microsecond()
    )
    .expect("a vector takes every byte");
}

#[cfg(test)]
mod tests;
