//! `traceparent`, strictly (W3C Trace Context Level 2 §3.2):
//!
//! ```text
//! 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03
//! version  trace id, not zero          parent id, not zero  flags: 01 sampled, 02 the trace id is random
//! ```
//!
//! Promises: what is not exactly this is refused, and the sender never fails for it: a new trace starts.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The whole of a version 00 value; of a later version, the part that every version begins with (§3.2.4).
pub(crate) const LENGTH: usize = 55;
/// The trace id is random, at least in its right-most 7 bytes (§3.2.2.3.2).
pub(crate) const RANDOM: TraceFlags = TraceFlags::new(0x02);
/// The flags that Level 2 knows; others are ignored and go out as zero.
const KNOWN_FLAGS: TraceFlags = TraceFlags::new(0x03);

/// What a value says; `None` where it is malformed.
pub(crate) fn parse(value: &[u8], state: impl FnOnce() -> TraceState) -> Option<SpanContext> {
    let (head, rest) = value.split_at_checked(LENGTH)?;
    let [b'-', b'-', b'-'] = [head[2], head[35], head[52]] else { return None };
    let version = hex(&head[..2])? as u8;
    let later_version_goes_on = rest.first() == Some(&b'-');
    match version {
        0xff => return None,
        0 if !rest.is_empty() => return None,
        _ if !rest.is_empty() && !later_version_goes_on => return None,
        _ => {}
    }
    let trace_id = TraceId::from(hex(&head[3..35])?);
    let parent_id = SpanId::from(hex(&head[36..52])? as u64);
    let flags = TraceFlags::new(hex(&head[53..])? as u8) & KNOWN_FLAGS;
    if trace_id == TraceId::INVALID || parent_id == SpanId::INVALID {
        return None;
    }
    Some(SpanContext::new(trace_id, parent_id, flags, true, state()))
}

/// The value that makes `span` the parent: version 00.
pub(crate) fn write(span: &SpanContext, flags: TraceFlags) -> [u8; LENGTH] {
    let mut value = [b'-'; LENGTH];
    write_hex(&[0], &mut value[..2]);
    write_hex(&span.trace_id().to_bytes(), &mut value[3..35]);
    write_hex(&span.span_id().to_bytes(), &mut value[36..52]);
    write_hex(&[(flags & KNOWN_FLAGS).to_u8()], &mut value[53..]);
    value
}

/// Lower-case digits only, as §3.2.2 has them; at most 32.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn parsed(value: &str) -> Option<String> {
        parse(value.as_bytes(), TraceState::default)
            .map(|span| format!("{} {} {:02x}", span.trace_id(), span.span_id(), span.trace_flags()))
    }

    #[test]
    fn what_is_well_formed_is_read() {
        let table = [
            ("00", "01", "", "01"),
            ("00", "03", "", "03"),
            ("00", "00", "", "00"),
            ("00", "ff", "", "03"),
            ("01", "01", "", "01"),
            ("cc", "02", "-what-the-future-will-be-like", "02"),
            ("fe", "01", "-", "01"),
        ];
        for (version, flags, rest, kept) in table {
            let value = format!("{version}-{TRACE}-b7ad6b7169203331-{flags}{rest}");
            assert_eq!(parsed(&value), Some(format!("{TRACE} b7ad6b7169203331 {kept}")), "{value}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let table = [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-.0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319cc-b7ad6b7169203331-01",
            "00-af7651916cd43dd8448eb211c80319c-0b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319.-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333.-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "000-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ".0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what-the-future",
        ];
        for value in table {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            parse(&value, TraceState::default);
        }

        #[test]
        fn one_changed_byte_is_refused_or_read_as_something_else(place in 0..LENGTH, byte: u8) {
            let span = SpanContext::new(1.into(), 1.into(), TraceFlags::SAMPLED, true, TraceState::NONE);
            let mut value = write(&span, span.trace_flags());
            prop_assume!(value[place] != byte);
            value[place] = byte;
            let read = parse(&value, TraceState::default);
            // A later version, and flags that are not known, say nothing that we keep.
            prop_assert!(!(2..53).contains(&place) || read.as_ref() != Some(&span));
        }

        #[test]
        fn what_is_written_is_read_back(trace in 1u128.., parent in 1u64.., flags in 0u8..4) {
            let flags = TraceFlags::new(flags);
            let span = SpanContext::new(trace.into(), parent.into(), flags, true, TraceState::NONE);
            prop_assert_eq!(parse(&write(&span, flags), TraceState::default), Some(span));
        }
    }
}
