//! `tracestate` (W3C Trace Context Level 2 §3.3): what other tracing systems pass along, `vendor=value,…`.
//!
//! Promises: several headers count as one list, in their order; a list that is malformed or has more than 32 members is
//! dropped whole; what goes on is at least 512 characters where there were so many, and whole members only.
//! Limit: a key that OpenTelemetry's own type refuses although Level 2 allows it (two `@`, or more than 13 characters
//! after one) is left out by itself.

use http::{HeaderValue, header::GetAll};
use opentelemetry::trace::TraceState;

/// §3.3.1.1.
const MOST_MEMBERS: usize = 32;
/// Longest key and longest value, §3.3.1.3.
const LONGEST_PART: usize = 256;
/// What every hop should keep, §3.3.1.5.
const KEPT_LENGTH: usize = 512;
/// Members longer than this go first when the list is too long, §3.3.1.5.
const LONG_MEMBER: usize = 128;

/// The list of all headers; empty where it is malformed.
pub(crate) fn parse(headers: GetAll<'_, HeaderValue>) -> TraceState {
    let mut members: Vec<(&str, &str)> = Vec::new();
    let mut count = 0;
    for member in headers.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
        let member = trimmed(member);
        if member.is_empty() {
            continue;
        }
        let Some((key, value)) = member_of(member) else { return TraceState::NONE };
        count += 1;
        if count > MOST_MEMBERS {
            return TraceState::NONE;
        }
        // A key is there once: the left-most is the most recent.
        if !members.iter().any(|(known, _)| *known == key) {
            members.push((key, value));
        }
    }
    let fits = |member: &(&str, &str)| TraceState::from_key_value([*member]).is_ok();
    TraceState::from_key_value(members.iter().copied())
        .or_else(|_| TraceState::from_key_value(members.into_iter().filter(fits)))
        .unwrap_or_default()
}

/// The header's value; `None` where there is nothing to say.
pub(crate) fn write(state: &TraceState) -> Option<HeaderValue> {
    let mut members: Vec<(&str, &str)> = state.into_iter().collect();
    if members.is_empty() {
        return None;
    }
    if joined_length(&members) > KEPT_LENGTH {
        shorten(&mut members);
    }
    let mut text = String::with_capacity(joined_length(&members));
    for (key, value) in members {
        let separator = if text.is_empty() { "" } else { "," };
        text.extend([separator, key, "=", value]);
    }
    if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
}

/// Long members go first, from the right; then any, from the right.
fn shorten(members: &mut Vec<(&str, &str)>) {
    let mut place = members.len();
    while place > 0 && joined_length(members) > KEPT_LENGTH {
        place -= 1;
        if length(&members[place]) > LONG_MEMBER {
            members.remove(place);
        }
    }
    while joined_length(members) > KEPT_LENGTH {
        members.pop();
    }
}

fn joined_length(members: &[(&str, &str)]) -> usize {
    members.iter().map(length).sum::<usize>() + members.len().saturating_sub(1)
}

fn length((key, value): &(&str, &str)) -> usize {
    key.len() + 1 + value.len()
}

/// OWS is spaces and tabs (RFC 9110 §5.6.3).
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Key and value of a well-formed member.
fn member_of(member: &[u8]) -> Option<(&str, &str)> {
    let equals = member.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let key_begins = matches!(key.first()?, b'a'..=b'z' | b'0'..=b'9');
    let key_goes_on =
        key.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@'));
    let value_is_printable = value.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'=');
    let lengths_fit = key.len() <= LONGEST_PART && (1..=LONGEST_PART).contains(&value.len());
    if key_begins && key_goes_on && value_is_printable && lengths_fit {
        Some((str::from_utf8(key).ok()?, str::from_utf8(value).ok()?))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName};
    use proptest::prelude::*;

    const NAME: HeaderName = HeaderName::from_static("tracestate");

    fn parsed(values: &[&str]) -> String {
        let headers: HeaderMap =
            values.iter().map(|value| (NAME, HeaderValue::from_str(value).unwrap())).collect();
        parse(headers.get_all(NAME)).header()
    }

    #[test]
    fn what_is_well_formed_is_kept_in_order() {
        let table: &[(&[&str], &str)] = &[
            (&["foo=1"], "foo=1"),
            (&["foo=1,bar=2"], "foo=1,bar=2"),
            (&["foo=1", "bar=2"], "foo=1,bar=2"),
            (&["foo=1,bar=2", "rojo=1,congo=2"], "foo=1,bar=2,rojo=1,congo=2"),
            (&["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
            (&["foo=1,", ",bar=2", ""], "foo=1,bar=2"),
            (&["  foo=a b c  "], "foo=a b c"),
            (&["0x=1,t@v=2,a-_*/=~!"], "0x=1,t@v=2,a-_*/=~!"),
            (&["foo=1,foo=2,bar=3"], "foo=1,bar=3"),
            (&["foo@bar@baz=1,bar=2"], "bar=2"),
        ];
        for (values, expected) in table {
            assert_eq!(parsed(values), *expected, "{values:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_dropped_whole() {
        let too_long_key = format!("{}=1,bar=2", "z".repeat(257));
        let too_long_value = format!("foo={},bar=2", "v".repeat(257));
        let table: &[&[&str]] = &[
            &["foo"],
            &["foo,bar=2"],
            &["foo=,bar=3"],
            &["=1,bar=2"],
            &["foo=1=2,bar=3"],
            &["foo =1,bar=2"],
            &["FOO=1,bar=2"],
            &["foo.bar=1,bar=2"],
            &["@foo=1,bar=2"],
            &["_foo=1,bar=2"],
            &["foo=a\tb,bar=2"],
            &["foo=\u{e4},bar=2"],
            &["foo=1", "bar"],
            &[&too_long_key],
            &[&too_long_value],
        ];
        for values in table {
            assert_eq!(parsed(values), "", "{values:?}");
        }
    }

    #[test]
    fn thirty_two_members_go_on_and_thirty_three_do_not() {
        let list = |members: u32| (0..members).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(parsed(&[&list(32)]), list(32));
        assert_eq!(parsed(&[&list(33)]), "");
        assert_eq!(parsed(&[&list(20), &list(13)]), "");
    }

    #[test]
    fn a_long_list_loses_long_members_first_and_then_the_rightmost() {
        let long = |key: &str| format!("{key}={}", "v".repeat(200));
        let short = |key: &str| format!("{key}={}", "v".repeat(100));
        let table = [
            (vec![long("a"), long("b")], vec![long("a"), long("b")]),
            (vec![long("a"), short("b"), long("c"), short("d")], vec![long("a"), short("b"), short("d")]),
            (["a", "b", "c", "d", "e", "f"].map(short).into(), ["a", "b", "c", "d"].map(short).into()),
        ];
        for (members, kept) in table {
            let headers: HeaderMap =
                members.iter().map(|member| (NAME, HeaderValue::from_str(member).unwrap())).collect();
            let written = write(&parse(headers.get_all(NAME))).unwrap();
            assert_eq!(written, kept.join(","));
        }
    }

    #[test]
    fn an_empty_list_is_not_written() {
        assert_eq!(write(&TraceState::NONE), None);
    }

    proptest! {
        #[test]
        fn no_value_panics_and_what_is_written_is_short_and_read_back(
            values in proptest::collection::vec("[ -~\t]{0,300}", 0..4)
        ) {
            let headers: HeaderMap =
                values.iter().map(|value| (NAME, HeaderValue::from_str(value).unwrap())).collect();
            parse(headers.get_all(NAME));
        }

        #[test]
        fn well_formed_lists_survive(
            members in proptest::collection::btree_map("[a-z0-9][a-z0-9_*/-]{0,40}", "[!-+\\--<>-~]{1,60}", 1..32)
        ) {
            let headers: HeaderMap = members
                .iter()
                .map(|(key, value)| (NAME, HeaderValue::from_str(&format!("{key}={value}")).unwrap()))
                .collect();
            let state = parse(headers.get_all(NAME));
            prop_assert_eq!(state.into_iter().len(), members.len());
            if let Some(written) = write(&state) {
                prop_assert!(written.len() <= KEPT_LENGTH);
                let again: HeaderMap = [(NAME, written.clone())].into_iter().collect();
                prop_assert_eq!(write(&parse(again.get_all(NAME))), Some(written));
            }
        }
    }
}
