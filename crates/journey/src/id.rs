//! Ids of traces and spans, in every spelling that files hold, and what a person may type for one.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::names;

/// Fewer digits than this name too many traces to be worth a search.
pub const SHORTEST_PREFIX: usize = 4;

/// A trace's id: 16 bytes, never all zero (W3C Trace Context §3.2.2.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

/// A span's id: 8 bytes, never all zero; unique only together with its trace's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

impl TraceId {
    /// Reads hex of either case or base64 (protobuf's own mapping to JSON); nothing else is an id.
    pub fn read(text: &str) -> Option<Self> {
        read(text).filter(|id| *id != [0; 16]).map(Self)
    }

    /// The bytes, in network order.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// Before every id.
    pub(crate) const LEAST: Self = Self([0; 8]);

    /// As [`TraceId::read`].
    pub fn read(text: &str) -> Option<Self> {
        read(text).filter(|id| *id != [0; 8]).map(Self)
    }

    /// The bytes, in network order.
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

fn read<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() == 2 * N {
        return hex(text.as_bytes());
    }
    STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?.try_into().ok()
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is being looked for: one trace, or every trace whose id begins so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This trace.
    Trace(TraceId),
    /// Traces whose id begins with these lower-case hex digits, at least [`SHORTEST_PREFIX`] and fewer than 32.
    Prefix(String),
}

/// Text in which no trace id can be seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnId {
    /// Neither an id nor the beginning of one.
    #[error(
        "expected a trace id (32 hex digits), its first {SHORTEST_PREFIX} or more, or text that holds one: a `traceparent`, an `x-trace-id` header"
    )]
    NoId,
    /// The id that stands for none.
    #[error("a trace id of zeros names no trace (W3C Trace Context §3.2.2.3)")]
    Zero,
    /// Which one is meant cannot be told.
    #[error("more than one trace id is in it: {}", .0.join(", "))]
    Several(Vec<String>),
}

impl FromStr for Wanted {
    type Err = NotAnId;

    /// Understands an id, the beginning of one, and any text that holds exactly one: a `traceparent`, a header's whole
    /// line, an address of a trace's page.
    fn from_str(typed: &str) -> Result<Self, NotAnId> {
        let typed = typed.trim();
        let is_hex = typed.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && (SHORTEST_PREFIX..32).contains(&typed.len()) {
            return Ok(Self::Prefix(typed.to_ascii_lowercase()));
        }
        if let Some(trace) = of_line(typed) {
            return Ok(Self::Trace(trace));
        }
        let mut ids: Vec<String> = typed
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|word| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(str::to_ascii_lowercase)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        match ids.as_slice() {
            [] => Err(NotAnId::NoId),
            [id] => TraceId::read(id).map(Self::Trace).ok_or(NotAnId::Zero),
            _ => Err(NotAnId::Several(ids)),
        }
    }
}

/// A log line says which trace is its own, whatever else in it looks like an id: a path may hold one.
fn of_line(typed: &str) -> Option<TraceId> {
    // Most of what is typed is no JSON.
    let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(typed).ok()?;
    names::LINE_TRACE.iter().find_map(|name| line.get(*name)?.as_str()).and_then(TraceId::read)
}

impl Wanted {
    /// Whether `trace` is one that is looked for.
    pub fn is(&self, trace: TraceId) -> bool {
        match self {
            Self::Trace(wanted) => *wanted == trace,
            Self::Prefix(prefix) => trace.to_string().starts_with(prefix),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace(id) => id.fmt(f),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn an_id_is_read_from_every_spelling_that_files_hold() {
        for spelling in [ID, &ID.to_uppercase(), "S/kvNXezTaajzpKdDg5HNg==", "S/kvNXezTaajzpKdDg5HNg"] {
            assert_eq!(TraceId::read(spelling).map(|id| id.to_string()).as_deref(), Some(ID), "{spelling}");
        }
        for spelling in ["00f067aa0ba902b7", "APBnqgupArc="] {
            let id = SpanId::read(spelling).map(|id| id.to_string());
            assert_eq!(id.as_deref(), Some("00f067aa0ba902b7"), "{spelling}");
        }
    }

    #[test]
    fn what_is_no_id_is_not_read_as_one() {
        for text in [
            "",
            "0",
            &ID[1..],
            &format!("{ID}0"),
            &"0".repeat(32),
            &"g".repeat(32),
            "+bf92f3577b34da6a3ce929d0e0e4736",
            "é",
        ] {
            assert_eq!(TraceId::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_person_may_type_an_id_its_beginning_or_what_holds_one() {
        let whole = Ok(Wanted::Trace(TraceId::read(ID).unwrap()));
        let prefix = |digits: &str| Ok(Wanted::Prefix(digits.to_owned()));
        let check = |typed: &str, expected: Result<Wanted, NotAnId>| {
            assert_eq!(typed.parse::<Wanted>(), expected, "{typed}");
        };
        check(ID, whole.clone());
        check(&format!(" {}\n", ID.to_uppercase()), whole.clone());
        check(&format!("00-{ID}-00f067aa0ba902b7-01"), whole.clone());
        check(&format!("x-trace-id: {ID}\r\n"), whole.clone());
        check(&format!("traceparent: 00-{ID}-00f067aa0ba902b7-01"), whole.clone());
        check(&format!("http://localhost:16686/trace/{ID}?uiFind=x"), whole.clone());
        check(&format!(r#"{{"trace_id":"{ID}","span_id":"00f067aa0ba902b7"}}"#), whole.clone());
        let other = "a".repeat(32);
        check(&format!(r#"{{"trace_id":"{ID}","path":"/baskets/{other}"}}"#), whole.clone());
        check(&format!("{ID} {ID}"), whole);
        check("4bf9", prefix("4bf9"));
        check("4BF92f3577b34da6a3ce929d0e0e473", prefix("4bf92f3577b34da6a3ce929d0e0e473"));
        check("4bf", Err(NotAnId::NoId));
        check("", Err(NotAnId::NoId));
        check("bookings", Err(NotAnId::NoId));
        check(&format!("{ID}0"), Err(NotAnId::NoId));
        check(&"0".repeat(32), Err(NotAnId::Zero));
        check(&format!("{other} {ID}"), Err(NotAnId::Several(vec![ID.to_owned(), other])));
    }
}
