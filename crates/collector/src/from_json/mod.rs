//! OTLP/JSON as it comes in over HTTP, made into the messages that gRPC brings (OTLP 1.x, "JSON Protobuf Encoding").
//!
//! Ids are hex of either case, bytes base64; a 64-bit integer may be text or number, an enumeration number or name,
//! a double also `"NaN"` or `"Infinity"`; what is missing or `null` has its default; unknown members are skipped.
//! Refuses a member of the wrong kind by its name: nothing is guessed, so nothing is accepted and then lost.

/// Metrics and their points.
mod metrics;
/// Spans and log records.
mod signals;

use base64::Engine as _;
use opentelemetry_proto::tonic::{
    common::v1::{
        AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
        any_value::Value as Any,
    },
    resource::v1::Resource,
};
use serde_json::{Map, Value};

use crate::malformed::Malformed;

pub(crate) use metrics::metrics;
pub(crate) use signals::{logs, traces};

type Result<T> = std::result::Result<T, Malformed>;

/// An object whose members are taken out one by one.
struct Object(Map<String, Value>);

fn wrong<T>(member: &'static str, expected: &'static str) -> Result<T> {
    Err(Malformed::Member { member, expected })
}

/// The request itself.
fn document(text: &[u8]) -> Result<Object> {
    match serde_json::from_slice(text)? {
        Value::Object(members) => Ok(Object(members)),
        _ => wrong("request", "an object"),
    }
}

impl Object {
    /// What is there and not `null`.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &'static str) -> Result<String> {
        match self.take(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => wrong(name, "text"),
        }
    }

    fn boolean(&mut self, name: &'static str) -> Result<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => wrong(name, "`true` or `false`"),
        }
    }

    fn unsigned(&mut self, name: &'static str) -> Result<u64> {
        self.take(name).map_or(Ok(0), |value| unsigned(name, &value))
    }

    fn count(&mut self, name: &'static str) -> Result<u32> {
        u32::try_from(self.unsigned(name)?).or_else(|_| wrong(name, "an integer of 32 bits"))
    }

    fn small(&mut self, name: &'static str) -> Result<i32> {
        let Some(value) = self.take(name) else { return Ok(0) };
        i32::try_from(signed(name, &value)?).or_else(|_| wrong(name, "an integer of 32 bits"))
    }

    /// An enumeration: a number, or a name that `named` knows.
    fn enumeration(&mut self, name: &'static str, named: impl Fn(&str) -> Option<i32>) -> Result<i32> {
        match self.0.get(name).and_then(Value::as_str).and_then(named) {
            Some(number) => Ok(number),
            None => self.small(name),
        }
    }

    fn float(&mut self, name: &'static str) -> Result<Option<f64>> {
        self.take(name).map(|value| float(name, &value)).transpose()
    }

    fn id(&mut self, name: &'static str) -> Result<Vec<u8>> {
        let digits = self.text(name)?;
        unhex(&digits).map_or_else(|| wrong(name, "hex digits"), Ok)
    }

    fn object(&mut self, name: &'static str) -> Result<Option<Object>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Object(members))),
            Some(_) => wrong(name, "an object"),
        }
    }

    fn values<T>(&mut self, name: &'static str, item: impl Fn(Value) -> Result<T>) -> Result<Vec<T>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values.into_iter().map(item).collect(),
            Some(_) => wrong(name, "a list"),
        }
    }

    fn list<T>(&mut self, name: &'static str, item: impl Fn(Object) -> Result<T>) -> Result<Vec<T>> {
        self.values(name, |value| match value {
            Value::Object(members) => item(Object(members)),
            _ => wrong(name, "a list of objects"),
        })
    }

    fn attributes(&mut self, name: &'static str) -> Result<Vec<KeyValue>> {
        self.list(name, |mut entry| {
            let value = entry.object("value")?.map(any_value).transpose()?;
            Ok(KeyValue { key: entry.text("key")?, value, ..KeyValue::default() })
        })
    }
}

fn unsigned(name: &'static str, value: &Value) -> Result<u64> {
    let read = match value {
        Value::String(digits) => digits.parse().ok(),
        value => value.as_u64(),
    };
    read.map_or_else(|| wrong(name, "an unsigned integer, as text or number"), Ok)
}

fn signed(name: &'static str, value: &Value) -> Result<i64> {
    let read = match value {
        Value::String(digits) => digits.parse().ok(),
        value => value.as_i64(),
    };
    read.map_or_else(|| wrong(name, "an integer, as text or number"), Ok)
}

/// Rust reads `NaN`, `Infinity`, `-Infinity` and `+Inf` in any case.
fn float(name: &'static str, value: &Value) -> Result<f64> {
    let read = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    };
    read.map_or_else(|| wrong(name, "a number"), Ok)
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// The JSON reader has bounded the depth.
fn any_value(mut value: Object) -> Result<AnyValue> {
    let value = if let Some(Value::String(text)) = value.0.get_mut("stringValue") {
        Some(Any::StringValue(std::mem::take(text)))
    } else if value.0.contains_key("boolValue") {
        Some(Any::BoolValue(value.boolean("boolValue")?))
    } else if let Some(number) = value.take("intValue") {
        Some(Any::IntValue(signed("intValue", &number)?))
    } else if let Some(number) = value.float("doubleValue")? {
        Some(Any::DoubleValue(number))
    } else if let Some(mut array) = value.object("arrayValue")? {
        let values = array.list("values", any_value)?;
        Some(Any::ArrayValue(ArrayValue { values }))
    } else if let Some(mut map) = value.object("kvlistValue")? {
        Some(Any::KvlistValue(KeyValueList { values: map.attributes("values")? }))
    } else if value.0.contains_key("bytesValue") {
        let bytes = base64::engine::general_purpose::STANDARD.decode(value.text("bytesValue")?);
        Some(Any::BytesValue(bytes.or_else(|_| wrong("bytesValue", "base64"))?))
    } else if value.take("stringValue").is_some() {
        return wrong("stringValue", "text");
    } else {
        None
    };
    Ok(AnyValue { value })
}

fn resource(mut resource: Object) -> Result<Resource> {
    Ok(Resource {
        attributes: resource.attributes("attributes")?,
        dropped_attributes_count: resource.count("droppedAttributesCount")?,
        entity_refs: resource.list("entityRefs", entity)?,
    })
}

fn entity(mut entity: Object) -> Result<EntityRef> {
    let text = |name| {
        move |value| match value {
            Value::String(text) => Ok(text),
            _ => wrong(name, "a list of texts"),
        }
    };
    Ok(EntityRef {
        schema_url: entity.text("schemaUrl")?,
        r#type: entity.text("type")?,
        id_keys: entity.values("idKeys", text("idKeys"))?,
        description_keys: entity.values("descriptionKeys", text("descriptionKeys"))?,
    })
}

fn scope(mut scope: Object) -> Result<InstrumentationScope> {
    Ok(InstrumentationScope {
        name: scope.text("name")?,
        version: scope.text("version")?,
        attributes: scope.attributes("attributes")?,
        dropped_attributes_count: scope.count("droppedAttributesCount")?,
    })
}

#[cfg(test)]
mod tests;
