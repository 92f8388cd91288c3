//! Blanking secrets in what others send, before it is written: the rules of `otel-collector.yaml`.
//!
//! Under a blocked key the whole value becomes `****`, whatever it was; in any other text every blocked part does.
//! Reached are the attributes of resources, scopes, spans, events, links, log records, points and exemplars, also
//! nested ones, log bodies, and the free texts of a span: its name, its events' names and its status message.
//! That is more than the Collector's processors reach (they leave the attributes of links and exemplars alone); where both
//! reach, the result is the same, except that the Collector makes a text of a map or an array with a secret in it.
//! Refuses: bytes, ids, `tracestate`, names and units of metrics.

/// Every place of a request where a secret may be.
mod reach;

use std::sync::LazyLock;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use regex::bytes::{Regex, RegexBuilder};

pub(crate) use reach::{logs, metrics, traces};

/// Keys whose values are blanked: `blocked_key_patterns` of the redaction processor, where `$` is written `$$`.
pub const BLOCKED_KEY_PATTERNS: &[&str] =
    &[r"(?i)authorization|cookie|passw(or)?d|secret|api[-_.]?key|(^|[._-])token($|[._-])"];

/// Parts of values that are blanked: `blocked_values` of the redaction processor, applied in this order.
pub const BLOCKED_VALUES: &[&str] = &[
    // A member of JSON in a text, by its key: its value, or all that follows where that is an object or an array.
    r#"(?is)"(?:[^"]*(?:authorization|cookie|passw(?:or)?d|secret|api[-_.]?key)[^"]*|(?:[^"]*[._-])?token(?:[._-][^"]*)?)"\s*:\s*(?:"(?:[^"\\]|\\.)*"?|[\[{].*|[^,}\]]+)"#,
    r"(?i)bearer\s+[A-Za-z0-9._~+/=-]+",
    r"(?i)(password|passwd|secret|token|api[_-]?key)=[^\s&]+",
    r"\b4[0-9]{12}(?:[0-9]{3})?\b",
];

const BLANK: &str = "****";

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    key: compile(&any_of(BLOCKED_KEY_PATTERNS)),
    value: compile(&any_of(BLOCKED_VALUES)),
    values: BLOCKED_VALUES.iter().map(|pattern| compile(pattern)).collect(),
});

struct Rules {
    key: Regex,
    /// Any of `values`: almost no text matches, and one search says so.
    value: Regex,
    values: Vec<Regex>,
}

fn any_of(patterns: &[&str]) -> String {
    patterns.iter().map(|pattern| format!("(?:{pattern})")).collect::<Vec<_>>().join("|")
}

/// ASCII classes and boundaries, as in Go, and no tables of Unicode.
fn compile(pattern: &str) -> Regex {
    RegexBuilder::new(pattern)
        .unicode(false)
        .build()
        .expect("the patterns are constants, and a test compiles them")
}

/// Blanks what these attributes, or entries of a map, must not say.
fn attributes(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        if RULES.key.is_match(attribute.key.as_bytes()) {
            attribute.value =
                Some(AnyValue { value: Some(Value::StringValue(blank(attribute.value.as_ref()))) });
        } else if let Some(value) = &mut attribute.value {
            any_value(value);
        }
    }
}

fn any_value(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::StringValue(value)) => text(value),
        // No blocked text is a shorter number.
        Some(Value::IntValue(number)) if number.unsigned_abs() >= 1_000_000_000_000 => {
            let mut written = number.to_string();
            text(&mut written);
            if written.contains(BLANK) {
                value.value = Some(Value::StringValue(written));
            }
        }
        Some(Value::ArrayValue(array)) => array.values.iter_mut().for_each(any_value),
        Some(Value::KvlistValue(map)) => attributes(&mut map.values),
        _ => {}
    }
}

fn text(text: &mut String) {
    if !RULES.value.is_match(text.as_bytes()) {
        return;
    }
    for rule in &RULES.values {
        if rule.is_match(text.as_bytes()) {
            let blanked = rule.replace_all(text.as_bytes(), BLANK.as_bytes());
            *text = String::from_utf8_lossy(&blanked).into_owned();
        }
    }
}

/// What stands for a value under a blocked key: a mark for each line of it, as the Collector does.
fn blank(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.split('\n').map(|_| BLANK).collect::<Vec<_>>().join("\n"),
        _ => BLANK.to_owned(),
    }
}

#[cfg(test)]
mod tests;
