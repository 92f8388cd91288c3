//! The binary form of a stored answer in the second level.
//!
//! ```text
//! "TLC"  version  checksum  payload         3 bytes, 1 byte, CRC-32 of the payload in 4 bytes
//! payload: status u16, age u64 and response delay u64 in microseconds,
//!          span that filled it (trace id 16, span id 8, flags 1 byte; all zero: unknown),
//!          key (u32 length, text),
//!          selection (u16 count; each: name, 0 | 1 value),
//!          fields (u16 count; each: name, value),     name: u16 length, bytes; value: u32 length, bytes
//!          body (the rest)
//! ```
//!
//! Numbers are big-endian. The age is that of the moment of writing. What decides about freshness, groups and
//! `Authorization` is not in it: who reads it derives that from the fields by its own rules, so that caches of two
//! versions or policies can share one second level.
//!
//! Promises: what is not exactly such a form, whole and unchanged, is [`Unreadable`], never a panic and never a wrong
//! answer. Refuses: compression.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use telemetry::SpanContext;

use crate::{entry::Entry, key::Key, vary::Selection};

const MAGIC: &[u8; 3] = b"TLC";

/// Raised with every change of the form; others' forms are unreadable.
const VERSION: u8 = 1;

/// Magic, version and checksum.
const HEAD: usize = 8;

/// Not a form of this version, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored form is unreadable")]
pub(crate) struct Unreadable;

/// A stored answer as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Form {
    pub(crate) key: Key,
    pub(crate) status: StatusCode,
    /// When it was written.
    pub(crate) age: Duration,
    pub(crate) response_delay: Duration,
    pub(crate) filled_by: SpanContext,
    pub(crate) selection: Selection,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
}

/// The form of an entry of `key` that is `age` old.
pub(crate) fn write(key: &Key, entry: &Entry, age: Duration) -> Vec<u8> {
    let head = &entry.head;
    let length = usize::try_from(entry.length()).unwrap_or(0);
    let mut form = Vec::with_capacity(length + key.len() + 64 * (head.fields.len() + 4));
    form.extend_from_slice(MAGIC);
    form.put_u8(VERSION);
    form.put_u32(0);
    form.put_u16(head.status.as_u16());
    form.put_u64(micros(age));
    form.put_u64(micros(head.freshness().response_delay));
    let filled_by = head.filled_by();
    form.extend_from_slice(&filled_by.trace_id().to_bytes());
    form.extend_from_slice(&filled_by.span_id().to_bytes());
    form.put_u8(filled_by.trace_flags().to_u8());
    put_long(&mut form, key.text().as_bytes());
    let selection = head.selection();
    form.put_u16(saturated(selection.parts().len()));
    for (name, value) in selection.parts() {
        put_short(&mut form, name.as_str().as_bytes());
        form.put_u8(u8::from(value.is_some()));
        if let Some(value) = value {
            put_long(&mut form, value);
        }
    }
    form.put_u16(saturated(head.fields.len()));
    for (name, value) in head.fields.iter() {
        put_short(&mut form, name.as_bytes());
        put_long(&mut form, value);
    }
    entry.body.iter().for_each(|piece| form.extend_from_slice(piece));
    let checksum = crc32fast::hash(&form[HEAD..]);
    form[HEAD - 4..HEAD].copy_from_slice(&checksum.to_be_bytes());
    form
}

/// Reads one.
pub(crate) fn read(form: &[u8]) -> Result<Form, Unreadable> {
    let payload =
        form.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&[VERSION])).ok_or(Unreadable)?;
    let (checksum, mut rest) = payload.split_first_chunk::<4>().ok_or(Unreadable)?;
    if crc32fast::hash(rest) != u32::from_be_bytes(*checksum) {
        return Err(Unreadable);
    }
    let rest = &mut rest;
    let status = rest.try_get_u16().ok().and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or(Unreadable)?;
    let age = Duration::from_micros(rest.try_get_u64().map_err(unreadable)?);
    let response_delay = Duration::from_micros(rest.try_get_u64().map_err(unreadable)?);
    let filled_by = span(take(rest, 25)?);
    let key = std::str::from_utf8(take_long(rest)?).ok().and_then(Key::from_text).ok_or(Unreadable)?;
    let mut selection = Vec::new();
    for _ in 0..rest.try_get_u16().map_err(unreadable)? {
        let name = name(rest)?;
        let value = match rest.try_get_u8().map_err(unreadable)? {
            0 => None,
            1 => Some(take_long(rest)?.into()),
            _ => return Err(Unreadable),
        };
        selection.push((name, value));
    }
    let mut fields = HeaderMap::new();
    for _ in 0..rest.try_get_u16().map_err(unreadable)? {
        let name = name(rest)?;
        let value = HeaderValue::from_bytes(take_long(rest)?).map_err(|_a_control_character| Unreadable)?;
        fields.try_append(name, value).map_err(|_too_many| Unreadable)?;
    }
    let selection = Selection::from_parts(selection);
    let body = Bytes::copy_from_slice(rest);
    Ok(Form { key, status, age, response_delay, filled_by, selection, fields, body })
}

fn span(bytes: &[u8]) -> SpanContext {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
    let trace = bytes.first_chunk::<16>().map_or(TraceId::INVALID, |id| TraceId::from_bytes(*id));
    let span = bytes.get(16..24).and_then(<[u8]>::first_chunk::<8>);
    let span = span.map_or(SpanId::INVALID, |id| SpanId::from_bytes(*id));
    let flags = TraceFlags::new(bytes.get(24).copied().unwrap_or(0));
    SpanContext::new(trace, span, flags, true, TraceState::NONE)
}

fn name(rest: &mut &[u8]) -> Result<HeaderName, Unreadable> {
    let length = rest.try_get_u16().map_err(unreadable)?;
    HeaderName::from_bytes(take(rest, length.into())?).map_err(|_no_name| Unreadable)
}

fn take_long<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Unreadable> {
    let length = rest.try_get_u32().map_err(unreadable)?;
    take(rest, usize::try_from(length).map_err(|_longer_than_memory| Unreadable)?)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Unreadable> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Unreadable)?;
    *rest = left;
    Ok(taken)
}

fn put_short(form: &mut Vec<u8>, bytes: &[u8]) {
    form.put_u16(saturated(bytes.len()));
    form.extend_from_slice(bytes);
}

fn put_long(form: &mut Vec<u8>, bytes: &[u8]) {
    form.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    form.extend_from_slice(bytes);
}

/// A count or length that the HTTP library keeps below this bound.
fn saturated(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn unreadable(_too_short: bytes::TryGetError) -> Unreadable {
    Unreadable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        entry::Head,
        policy::Policy,
        storing::may_store,
        tests::{asked, at, fields},
    };
    use http::Method;
    use proptest::prelude::*;

    fn entry(answer: &[(&str, &str)], body: &[&[u8]], filled_by: SpanContext) -> (Key, Entry) {
        let request = asked(Method::GET, "/a?b=c", &[("accept", "x , y")]);
        let answer =
            fields(&[answer, &[("cache-control", "max-age=60"), ("vary", "accept, x-absent")]].concat());
        let storable = may_store(&request, Policy::default(), StatusCode::OK, &answer, at(9.5), at(10.0))
            .expect("storable");
        let head = Head::new(StatusCode::OK, answer, storable, filled_by);
        let body: Vec<Bytes> = body.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
        (request.key, Entry::new(head, body.into(), 1))
    }

    fn known() -> SpanContext {
        span(&[7; 25])
    }

    #[test]
    fn what_was_written_is_read() {
        let answer = [("x-twice", "1"), ("etag", "\"a\""), ("x-twice", "2")];
        for (pieces, filled_by) in [(&[][..], SpanContext::NONE), (&[b"ab".as_slice(), b"c"], known())] {
            let (key, entry) = entry(&answer, pieces, filled_by.clone());
            let form = read(&write(&key, &entry, Duration::from_micros(1_500_001))).expect("readable");
            assert_eq!(form.key, key);
            assert_eq!(form.status, StatusCode::OK);
            assert_eq!(form.age, Duration::from_micros(1_500_001));
            assert_eq!(form.response_delay, Duration::from_millis(500));
            assert_eq!(form.filled_by.trace_id(), filled_by.trace_id());
            assert_eq!(form.filled_by.span_id(), filled_by.span_id());
            assert_eq!(form.selection, *entry.head.selection());
            let same = |fields: &HeaderMap| -> Vec<_> {
                fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
            };
            assert_eq!(same(&form.fields), same(&entry.head.fields.to_map(0)));
            assert_eq!(form.body, pieces.concat());
        }
    }

    #[test]
    fn what_is_no_form_is_unreadable() {
        let (key, entry) = entry(&[], &[b"body"], known());
        let whole = write(&key, &entry, Duration::ZERO);
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Err(Unreadable), "cut to {length}");
        }
        for changed in 0..whole.len() {
            for bit in 0..8 {
                let mut other = whole.clone();
                other[changed] ^= 1 << bit;
                assert_eq!(read(&other), Err(Unreadable), "bit {bit} of byte {changed}");
            }
        }
        assert_eq!(read(b""), Err(Unreadable));
        assert_eq!(read(&[whole, b"x".to_vec()].concat()), Err(Unreadable));
    }

    proptest! {
        /// Also where the checksum holds, as if somebody had meant it.
        #[test]
        fn garbage_with_a_good_checksum_never_panics(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let checksum = crc32fast::hash(&payload).to_be_bytes();
            let form = [&b"TLC\x01"[..], &checksum, &payload].concat();
            let _ = read(&form);
        }

        #[test]
        fn a_changed_payload_with_a_good_checksum_never_panics(at in 0usize..400, byte in any::<u8>()) {
            let (key, entry) = entry(&[("x", "y")], &[b"body"], known());
            let mut form = write(&key, &entry, Duration::ZERO);
            let at = HEAD + at % (form.len() - HEAD);
            form[at] = byte;
            let checksum = crc32fast::hash(&form[HEAD..]);
            form[4..HEAD].copy_from_slice(&checksum.to_be_bytes());
            let _ = read(&form);
        }
    }
}
