//! Parts of a stored answer: single byte ranges (RFC 9110 §14).
//!
//! Promises: whatever is not one byte range that can be read and satisfied beyond doubt is ignored or refused as the RFC
//! says, and never answered with other bytes.
//! Refuses: several ranges at once, which a server may answer with the whole (§14.2).

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use crate::{entry::Pieces, freshness::date};

/// Between `Last-Modified` and `Date` of an answer whose `Last-Modified` is a strong validator: it cannot have changed
/// again within the second that it names (RFC 9110 §8.8.2.2, which leaves how much to who compares).
const SETTLED: Duration = Duration::from_secs(60);

/// What of an answer is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes: not empty, within the body.
    Part(Range<u64>),
    /// Nothing that there is (416).
    Nothing,
}

/// Decides for a GET with these fields that gets a 200 with `stored` fields and a body of `length` bytes.
pub(crate) fn wanted(asked: &HeaderMap, stored: &HeaderMap, length: u64) -> Wanted {
    if !is_same(asked, stored) {
        return Wanted::Whole;
    }
    let mut lines = asked.get_all(header::RANGE).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => read(line.as_bytes(), length).unwrap_or(Wanted::Whole),
        _ => Wanted::Whole,
    }
}

/// `If-Range` (RFC 9110 §13.1.5): an entity tag compared strongly, or exactly the date of the last change.
fn is_same(asked: &HeaderMap, stored: &HeaderMap) -> bool {
    let mut lines = asked.get_all(header::IF_RANGE).iter();
    let (line, more) = (lines.next(), lines.next());
    let Some(line) = line.filter(|_| more.is_none()) else { return line.is_none() };
    if line.as_bytes().starts_with(b"\"") {
        return stored.get(header::ETAG) == Some(line);
    }
    let (Some(modified), Some(dated)) = (date(stored, &header::LAST_MODIFIED), date(stored, &header::DATE))
    else {
        return false;
    };
    let settled = dated.duration_since(modified).is_ok_and(|since| since >= SETTLED);
    settled && stored.get(header::LAST_MODIFIED) == Some(line)
}

/// One `ranges-specifier`; `None` for what is not one byte range.
fn read(line: &[u8], length: u64) -> Option<Wanted> {
    let (unit, spec) = std::str::from_utf8(line).ok()?.split_once('=')?;
    let (first, last) = spec.trim_matches([' ', '\t']).split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let range = match (first, last) {
        ("", suffix) => length.saturating_sub(number(suffix)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.start < range.end { Wanted::Part(range) } else { Wanted::Nothing })
}

/// Digits only; a number that is too large is larger than any body.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `Content-Range` of a part, or of a refusal (RFC 9110 §14.4).
pub(crate) fn content_range(part: Option<&Range<u64>>, length: u64) -> HeaderValue {
    let text = match part {
        Some(part) => format!("bytes {}-{}/{length}", part.start, part.end - 1),
        None => format!("bytes */{length}"),
    };
    HeaderValue::try_from(text).expect("digits and signs are a field value")
}

/// The part of a body; nothing is copied.
pub(crate) fn cut(body: &[Bytes], part: &Range<u64>) -> Pieces {
    let mut begin = 0;
    let mut pieces = Vec::new();
    for piece in body {
        let end = begin + piece.len() as u64;
        let (from, to) = (part.start.clamp(begin, end) - begin, part.end.clamp(begin, end) - begin);
        if let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to))
            && from < to
        {
            pieces.push(piece.slice(from..to));
        }
        begin = end;
    }
    pieces.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fields;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_a_part_and_what_cannot_be_read_is_ignored() {
        let check = |line: &str, expected: Wanted| {
            assert_eq!(wanted(&fields(&[("range", line)]), &fields(&[]), 10), expected, "{line}");
        };
        let part = |range| Wanted::Part(range);
        check("bytes=0-0", part(0..1));
        check("bytes=0-9", part(0..10));
        check("bytes=2-99", part(2..10));
        check("bytes=9-", part(9..10));
        check("bytes=-3", part(7..10));
        check("bytes=-99", part(0..10));
        check("Bytes=1-2", part(1..3));
        check("bytes= 1-2 ", part(1..3));
        check("bytes=0-99999999999999999999999", part(0..10));
        check("bytes=10-", Wanted::Nothing);
        check("bytes=10-12", Wanted::Nothing);
        check("bytes=-0", Wanted::Nothing);
        check("bytes=99999999999999999999999-", Wanted::Nothing);
        for ignored in [
            "bytes=2-1",
            "bytes=0-1,3-4",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "lines=0-1",
            "0-1",
            "bytes 0-1",
        ] {
            check(ignored, Wanted::Whole);
        }
        let twice = fields(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]);
        assert_eq!(wanted(&twice, &fields(&[]), 10), Wanted::Whole);
        assert_eq!(wanted(&fields(&[("range", "bytes=0-")]), &fields(&[]), 0), Wanted::Nothing);
    }

    #[test]
    fn if_range_wants_the_whole_of_another_answer() {
        const DATE: &str = "Thu, 01 Jan 1970 00:02:00 GMT";
        let check = |line: &str, stored: &[(&str, &str)], same: bool| {
            let asked = fields(&[("range", "bytes=0-1"), ("if-range", line)]);
            let expected = if same { Wanted::Part(0..2) } else { Wanted::Whole };
            assert_eq!(wanted(&asked, &fields(stored), 10), expected, "{line} {stored:?}");
        };
        check("\"a\"", &[("etag", "\"a\"")], true);
        check("\"a\"", &[("etag", "\"b\"")], false);
        check("W/\"a\"", &[("etag", "W/\"a\"")], false);
        check("\"a\"", &[("etag", "W/\"a\"")], false);
        check("\"a\"", &[], false);
        let (old, recent) = ("Thu, 01 Jan 1970 00:01:00 GMT", "Thu, 01 Jan 1970 00:01:01 GMT");
        check(old, &[("last-modified", old), ("date", DATE)], true);
        check(old, &[("last-modified", recent), ("date", DATE)], false);
        check(recent, &[("last-modified", recent), ("date", DATE)], false);
        check(old, &[("last-modified", old)], false);
        check("x", &[("last-modified", "x"), ("date", DATE)], false);
    }

    proptest! {
        #[test]
        fn a_cut_is_what_a_slice_of_the_whole_would_be(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..6),
            from in 0_usize..40, to in 0_usize..40,
        ) {
            let whole = pieces.concat();
            let body: Vec<Bytes> = pieces.into_iter().map(Bytes::from).collect();
            let (from, to) = (from.min(whole.len()), to.min(whole.len()));
            prop_assume!(from <= to);
            let cut = cut(&body, &(from as u64..to as u64));
            prop_assert_eq!(cut.concat(), &whole[from..to]);
            prop_assert!(cut.iter().all(|piece| !piece.is_empty()));
        }
    }
}
