//! OTLP/JSON as the Collector's file exporter writes it (pdata's JSON marshaller), from the decoded request.
//!
//! Members are in the order of the protocol's files; empty texts, zero numbers, empty lists and all-zero ids are left
//! out; `resource`, `scope`, `value`, `status`, `positive` and `negative` always stand, be they empty; 64-bit
//! integers are text, enumerations numbers, ids lower-case hex, bytes base64; infinities and NaN are text.
//! What the protocol has and pdata does not (the string tables of profiles) is left out.

/// Metrics and their points.
mod metrics;
/// Spans, their events and links.
mod traces;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};

use crate::json;

pub(crate) use metrics::metrics;
pub(crate) use traces::traces;

/// `{…}`.
fn object(out: &mut Vec<u8>, members: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'{');
    members(out);
    out.push(b'}');
}

/// `"name":{…}`, also where nothing is in it.
fn member(out: &mut Vec<u8>, name: &str, members: impl FnOnce(&mut Vec<u8>)) {
    json::key(out, name);
    object(out, members);
}

/// `"name":[…]`, left out when empty.
fn list<T>(out: &mut Vec<u8>, name: &str, items: &[T], mut item: impl FnMut(&mut Vec<u8>, &T)) {
    if items.is_empty() {
        return;
    }
    json::key(out, name);
    out.push(b'[');
    for one in items {
        json::comma(out);
        item(out, one);
    }
    out.push(b']');
}

/// Left out when empty.
fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    if !value.is_empty() {
        json::key(out, name);
        json::text(out, value);
    }
}

/// A number of at most 32 bits or an enumeration, left out when zero.
fn number(out: &mut Vec<u8>, name: &str, value: impl Into<i64>) {
    let value = value.into();
    if value != 0 {
        json::key(out, name);
        json::integer(out, value);
    }
}

/// A number of 64 bits, as text, left out when zero.
fn long(out: &mut Vec<u8>, name: &str, value: u64) {
    if value != 0 {
        json::key(out, name);
        long_text(out, value);
    }
}

fn long_text(out: &mut Vec<u8>, value: impl Into<i128>) {
    out.push(b'"');
    json::integer(out, value);
    out.push(b'"');
}

/// A number that is known to be there, zero or not.
fn float(out: &mut Vec<u8>, name: &str, value: f64) {
    json::key(out, name);
    json::float(out, value);
}

/// An id, left out when empty or all zero.
fn id(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if value.iter().any(|byte| *byte != 0) {
        json::key(out, name);
        json::hex(out, value);
    }
}

fn attributes(out: &mut Vec<u8>, name: &str, attributes: &[KeyValue]) {
    list(out, name, attributes, attribute);
}

fn attribute(out: &mut Vec<u8>, attribute: &KeyValue) {
    object(out, |out| {
        text(out, "key", &attribute.key);
        json::key(out, "value");
        any_value(out, attribute.value.as_ref());
    });
}

/// As deep as the decoder lets it be: both decoders refuse more than about a hundred levels.
fn any_value(out: &mut Vec<u8>, value: Option<&AnyValue>) {
    object(out, |out| match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(value)) => {
            json::key(out, "stringValue");
            json::text(out, value);
        }
        Some(Value::BoolValue(value)) => {
            json::key(out, "boolValue");
            out.extend_from_slice(if *value { b"true" } else { b"false" });
        }
        Some(Value::IntValue(value)) => {
            json::key(out, "intValue");
            long_text(out, *value);
        }
        Some(Value::DoubleValue(value)) => float(out, "doubleValue", *value),
        Some(Value::ArrayValue(array)) => member(out, "arrayValue", |out| {
            list(out, "values", &array.values, |out, value| any_value(out, Some(value)));
        }),
        Some(Value::KvlistValue(map)) => member(out, "kvlistValue", |out| {
            attributes(out, "values", &map.values);
        }),
        Some(Value::BytesValue(bytes)) => {
            json::key(out, "bytesValue");
            json::base64(out, bytes);
        }
        Some(Value::StringValueStrindex(_)) | None => {}
    });
}

/// `"resource":{…}`.
fn resource(out: &mut Vec<u8>, resource: Option<&Resource>) {
    member(out, "resource", |out| {
        let Some(resource) = resource else { return };
        attributes(out, "attributes", &resource.attributes);
        number(out, "droppedAttributesCount", resource.dropped_attributes_count);
        list(out, "entityRefs", &resource.entity_refs, entity);
    });
}

fn entity(out: &mut Vec<u8>, entity: &EntityRef) {
    object(out, |out| {
        text(out, "schemaUrl", &entity.schema_url);
        text(out, "type", &entity.r#type);
        list(out, "idKeys", &entity.id_keys, |out, key| json::text(out, key));
        list(out, "descriptionKeys", &entity.description_keys, |out, key| json::text(out, key));
    });
}

/// `"scope":{…}`.
fn scope(out: &mut Vec<u8>, scope: Option<&InstrumentationScope>) {
    member(out, "scope", |out| {
        let Some(scope) = scope else { return };
        text(out, "name", &scope.name);
        text(out, "version", &scope.version);
        attributes(out, "attributes", &scope.attributes);
        number(out, "droppedAttributesCount", scope.dropped_attributes_count);
    });
}

#[cfg(test)]
mod tests;
