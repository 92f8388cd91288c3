//! `Cache-Control`, read as strictly as a shared cache must (RFC 9111 §5.2), and `CDN-Cache-Control` (RFC 9213).
//!
//! Promises: any spelling and case; what stands inside a quoted string is no directive; all lines count; numbers
//! saturate; whatever cannot be read restricts and never permits.
//! Refuses: deciding what follows from a directive; that is [`crate::storing`] and [`crate::freshness`].

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, Item, ListEntry};

use crate::structured;

/// Numbers beyond this mean this (RFC 9111 §1.2.2).
const GREATEST: u64 = 1 << 31;

/// The directives of one message that this cache knows; all others are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheControl {
    /// Something in it is no directive at all, so that one we must obey may hide in it.
    pub(crate) malformed: bool,
    pub(crate) no_store: bool,
    /// Also `no-cache="field"`: obeyed as if it named no field, which is stricter (§5.2.2.4).
    pub(crate) no_cache: bool,
    /// Also `private="field"`, likewise (§5.2.2.7).
    pub(crate) private: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    /// `must-revalidate` or `proxy-revalidate` in whatever form: never to be used stale (§5.2.2.2, §5.2.2.8).
    pub(crate) revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) only_if_cached: bool,
    /// Seconds; 0 when unreadable or said twice with different values (§4.2.1).
    pub(crate) max_age: Option<u64>,
    /// Likewise.
    pub(crate) s_maxage: Option<u64>,
    /// Seconds; boundless when unreadable.
    pub(crate) min_fresh: Option<u64>,
    /// Seconds (RFC 5861 §3); 0 when unreadable or said twice with different values.
    pub(crate) stale_while_revalidate: Option<u64>,
    /// Likewise (RFC 5861 §4); a request can say it too.
    pub(crate) stale_if_error: Option<u64>,
    /// It comes from a field for caches like this one (RFC 9213): `Expires` says nothing beside it.
    pub(crate) is_targeted: bool,
}

/// The field for caches between an origin and its public (RFC 9213 §3.1).
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Reads what an answer says to a cache like this one: `CDN-Cache-Control` where it can be read, and nothing else then
/// (RFC 9213 §2.2); otherwise `Cache-Control`.
pub(crate) fn of_answer(fields: &HeaderMap) -> CacheControl {
    targeted(fields).unwrap_or_else(|| read(fields))
}

/// A dictionary of structured fields, unlike `Cache-Control` (RFC 9213 §2.1). One that is empty or cannot be parsed is as if
/// it were not there. A value of a type that its directive does not have restricts and never permits.
fn targeted(fields: &HeaderMap) -> Option<CacheControl> {
    let dictionary: Dictionary = structured::read(fields, &CDN_CACHE_CONTROL)?;
    if dictionary.is_empty() {
        return None;
    }
    let mut found = CacheControl { is_targeted: true, ..CacheControl::default() };
    for (name, member) in &dictionary {
        let name = name.as_str().as_bytes();
        match member {
            ListEntry::Item(Item { bare_item: BareItem::Boolean(false), .. }) => {}
            ListEntry::Item(Item { bare_item: BareItem::Boolean(true), .. }) => found.add(name, None),
            ListEntry::Item(Item { bare_item: BareItem::Integer(number), .. }) => {
                found.add(name, Some(i64::from(*number).to_string().as_bytes()));
            }
            _ => found.add(name, Some(b"?")),
        }
    }
    Some(found)
}

/// Reads every `Cache-Control` line of a message.
pub(crate) fn read(fields: &HeaderMap) -> CacheControl {
    let mut found = CacheControl::default();
    for line in fields.get_all(http::header::CACHE_CONTROL) {
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            let (item, after) = split_item(rest);
            rest = after;
            match parse_item(item) {
                Read::Empty => {}
                Read::Malformed => found.malformed = true,
                Read::Directive(name, argument) => found.add(name, argument.as_deref()),
            }
        }
    }
    found
}

impl CacheControl {
    fn add(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("public") {
            // These two permit something, so only their exact form counts.
            self.public |= argument.is_none();
        } else if is("must-revalidate") {
            self.must_revalidate |= argument.is_none();
            self.revalidate = true;
        } else if is("proxy-revalidate") {
            self.revalidate = true;
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate = permitted(self.stale_while_revalidate, argument);
        } else if is("stale-if-error") {
            self.stale_if_error = permitted(self.stale_if_error, argument);
        } else if is("max-age") {
            self.max_age = Some(agreed(self.max_age, seconds(argument).unwrap_or(0)));
        } else if is("s-maxage") {
            self.s_maxage = Some(agreed(self.s_maxage, seconds(argument).unwrap_or(0)));
        } else if is("min-fresh") {
            let wanted = seconds(argument).unwrap_or(u64::MAX);
            self.min_fresh = Some(self.min_fresh.map_or(wanted, |before| before.max(wanted)));
        }
    }
}

/// Seconds that permit something: 0, which permits nothing, when unreadable or said twice with different values.
fn permitted(before: Option<u64>, argument: Option<&[u8]>) -> Option<u64> {
    Some(agreed(before, seconds(argument).unwrap_or(0)))
}

/// RFC 9111 §4.2.1: a response with conflicting values is to be considered stale.
fn agreed(before: Option<u64>, now: u64) -> u64 {
    match before {
        Some(before) if before != now => 0,
        _ => now,
    }
}

/// `delta-seconds` (RFC 9111 §1.2.2): digits only; `None` for anything else.
pub(crate) fn seconds(text: Option<&[u8]>) -> Option<u64> {
    let digits = text?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add).min(GREATEST))
}

enum Read<'a> {
    /// `,,` is allowed in any list (RFC 9110 §5.6.1).
    Empty,
    Malformed,
    Directive(&'a [u8], Option<Vec<u8>>),
}

/// The text before the next comma outside a quoted string, and what follows that comma.
fn split_item(line: &[u8]) -> (&[u8], &[u8]) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (&line[..at], &line[at + 1..]),
            _ => {}
        }
    }
    (line, &[])
}

fn parse_item(item: &[u8]) -> Read<'_> {
    let item = item.trim_ascii();
    if item.is_empty() {
        return Read::Empty;
    }
    let (name, argument) = match item.iter().position(|byte| *byte == b'=') {
        None => (item, None),
        Some(at) => match unquote(&item[at + 1..]) {
            None => return Read::Malformed,
            argument => (&item[..at], argument),
        },
    };
    if is_token(name) { Read::Directive(name, argument) } else { Read::Malformed }
}

/// A token as it is, a quoted string without its quotes and escapes; `None` for anything else.
fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let Some(inner) = text.strip_prefix(b"\"") else {
        return is_token(text).then(|| text.to_vec());
    };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return bytes.as_slice().is_empty().then_some(plain),
            b'\\' => plain.push(*bytes.next()?),
            byte => plain.push(*byte),
        }
    }
    None
}

/// `token` (RFC 9110 §5.6.2).
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn lines(lines: &[&[u8]]) -> CacheControl {
        let mut fields = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line).expect("a field value");
            fields.append(http::header::CACHE_CONTROL, value);
        }
        read(&fields)
    }

    fn check(line: &str, expected: CacheControl) {
        assert_eq!(lines(&[line.as_bytes()]), expected, "{line}");
    }

    #[test]
    fn directives_are_known_in_any_spelling() {
        let none = CacheControl::default();
        check("", none);
        check(" , ,, ", none);
        check("no-store", CacheControl { no_store: true, ..none });
        check("No-Store", CacheControl { no_store: true, ..none });
        check("NO-STORE=yes", CacheControl { no_store: true, ..none });
        check("no-store=\"a, b\"", CacheControl { no_store: true, ..none });
        check("PRIVATE", CacheControl { private: true, ..none });
        check("private=\"x-user, x-id\"", CacheControl { private: true, ..none });
        check("no-cache=\"set-cookie\"", CacheControl { no_cache: true, ..none });
        check(
            "public,\tMust-Revalidate",
            CacheControl { public: true, must_revalidate: true, revalidate: true, ..none },
        );
        check("foo, bar=baz, x=\"y\"", none);
    }

    #[test]
    fn a_quoted_string_hides_directives() {
        let none = CacheControl::default();
        check("x=\"no-store, private, max-age=1\"", none);
        check("x=\"\\\", no-store\"", none);
        check("x=\"\\\\\", no-store", CacheControl { no_store: true, ..none });
    }

    #[test]
    fn permission_needs_the_exact_form() {
        let none = CacheControl::default();
        check("public=1", none);
        check("must-revalidate=no", CacheControl { revalidate: true, ..none });
        check("proxy-revalidate", CacheControl { revalidate: true, ..none });
        check("publi", none);
    }

    #[test]
    fn numbers_are_read_strictly_and_saturate() {
        let age = |seconds| CacheControl { max_age: Some(seconds), ..CacheControl::default() };
        check("max-age=10", age(10));
        check("Max-Age=\"10\"", age(10));
        check("max-age=0010", age(10));
        check("max-age=99999999999999999999999999999999", age(1 << 31));
        check("max-age", age(0));
        check("max-age=-1", age(0));
        check("max-age=+1", age(0));
        check("max-age=1.5", age(0));
        check("max-age='10'", age(0));
        check("max-age=0x10", age(0));
        check("max-age=10, max-age=10", age(10));
        check("max-age=10, max-age=20", age(0));
        let stale = |seconds| CacheControl { stale_if_error: Some(seconds), ..CacheControl::default() };
        check("stale-if-error=9", stale(9));
        check("stale-if-error=9, stale-if-error=8", stale(0));
        check("stale-if-error", stale(0));
        check(
            "Stale-While-Revalidate=\"9\"",
            CacheControl { stale_while_revalidate: Some(9), ..CacheControl::default() },
        );
        check("min-fresh=x", CacheControl { min_fresh: Some(u64::MAX), ..CacheControl::default() });
    }

    #[test]
    fn what_is_no_directive_is_said() {
        let malformed = |line: &str| assert!(lines(&[line.as_bytes()]).malformed, "{line}");
        malformed("max-age=10 no-store");
        malformed("max-age=10; no-store");
        malformed("no-store; max-age=10");
        malformed("max-age = 10");
        malformed("max-age= 10");
        malformed("max-age=");
        malformed("x=\"no-store");
        malformed("x=\"a\"b");
        malformed("x=\"a\\");
        malformed("=5");
    }

    #[test]
    fn a_field_for_caches_like_this_one_goes_before() {
        let plain = ("cache-control", "no-store");
        let check = |line: &str, expected: Option<CacheControl>| {
            let fields = crate::tests::fields(&[plain, ("cdn-cache-control", line)]);
            let expected = expected.map(|found| CacheControl { is_targeted: true, ..found });
            assert_eq!(of_answer(&fields), expected.unwrap_or_else(|| read(&fields)), "{line}");
        };
        let none = CacheControl::default();
        check("max-age=600", Some(CacheControl { max_age: Some(600), ..none }));
        check("max-age=600;x=1, public", Some(CacheControl { max_age: Some(600), public: true, ..none }));
        check("max-age=60, max-age=600", Some(CacheControl { max_age: Some(600), ..none }));
        check("no-store", Some(CacheControl { no_store: true, ..none }));
        check("no-store=?0, max-age=1", Some(CacheControl { max_age: Some(1), ..none }));
        check("private=\"set-cookie\"", Some(CacheControl { private: true, ..none }));
        check("max-age=\"600\"", Some(CacheControl { max_age: Some(0), ..none }));
        check("max-age=-1", Some(CacheControl { max_age: Some(0), ..none }));
        check("max-age=1.5", Some(CacheControl { max_age: Some(0), ..none }));
        check("public=1", Some(none));
        check("x", Some(none));
        check("", None);
        check("max-age=600,", None);
        check("Max-Age=600", None);
        check("max-age=600 no-store", None);
        let lines = [plain, ("cdn-cache-control", "max-age=1"), ("cdn-cache-control", "no-cache")];
        let both = of_answer(&crate::tests::fields(&lines));
        assert!(both.no_cache && both.max_age == Some(1), "{both:?}");
    }

    #[test]
    fn every_line_counts() {
        let read = lines(&[b"max-age=60", b"public", b"no-store"]);
        assert!(read.no_store && read.public && read.max_age == Some(60));
        assert!(lines(&[b"max-age=60, x=\"", b"no-store\""]).malformed);
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut fields = HeaderMap::new();
                fields.insert(http::header::CACHE_CONTROL, value);
                read(&fields);
            }
        }

        #[test]
        fn spelling_and_order_make_no_difference(upper in any::<[bool; 8]>(), swap in any::<bool>()) {
            let spelt: String = "no-store".chars().zip(upper)
                .map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c }).collect();
            let line = if swap { format!("max-age=9,{spelt}") } else { format!("{spelt} ,max-age=9") };
            let read = lines(&[line.as_bytes()]);
            prop_assert!(read.no_store && read.max_age == Some(9) && !read.malformed);
        }
    }
}
