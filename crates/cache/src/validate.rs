//! Conditions: those of clients answered from a stored answer, and those by which a stored answer is validated
//! (RFC 9111 §4.3, RFC 9110 §13).

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, header};

use crate::freshness::date;

/// What a 304 says of itself and not of the answer it confirms, or what describes a body it does not have
/// (RFC 9111 §3.2).
const NOT_UPDATED: [HeaderName; 9] = [
    header::CONTENT_LENGTH,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
    header::CONTENT_RANGE,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];

/// What a 304 repeats of the answer it stands for (RFC 9110 §15.4.5), and what says that it came out of a cache.
const IN_NOT_MODIFIED: [HeaderName; 10] = [
    header::CACHE_CONTROL,
    header::CONTENT_LOCATION,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::VARY,
    header::VIA,
    header::AGE,
    HeaderName::from_static("cache-status"),
];

/// Whether the client's condition makes 304 the right answer where `stored` (a 200 received at `received`) is what
/// it would get. `If-None-Match`, compared weakly, goes before `If-Modified-Since` (RFC 9110 §13.2.2).
pub(crate) fn is_not_modified(asked: &HeaderMap, stored: &HeaderMap, received: SystemTime) -> bool {
    if asked.contains_key(header::IF_NONE_MATCH) {
        let own = stored.get(header::ETAG).map(|tag| opaque(tag.as_bytes()));
        let lines = asked.get_all(header::IF_NONE_MATCH).iter();
        return lines
            .flat_map(|line| tags(line.as_bytes()))
            .any(|tag| tag == b"*" || own == Some(opaque(tag)));
    }
    if asked.get_all(header::IF_MODIFIED_SINCE).iter().count() != 1 {
        return false;
    }
    let Some(since) = date(asked, &header::IF_MODIFIED_SINCE) else {
        return false;
    };
    // RFC 9111 §4.3.2: without `Last-Modified` the `Date` counts, without that the time of arrival.
    let modified =
        date(stored, &header::LAST_MODIFIED).or_else(|| date(stored, &header::DATE)).unwrap_or(received);
    modified <= since
}

/// The fields of a 304 that stands for an answer with these.
pub(crate) fn not_modified_fields(mut fields: HeaderMap) -> HeaderMap {
    let others: Vec<HeaderName> =
        fields.keys().filter(|name| !IN_NOT_MODIFIED.contains(name)).cloned().collect();
    for name in others {
        fields.remove(name);
    }
    fields
}

/// Makes a request ask whether `stored` is still right, in place of the client's own conditions; false where it has
/// nothing to be validated by, and the request stays as it is (RFC 9111 §4.3.1).
pub(crate) fn ask(request: &mut HeaderMap, stored: &HeaderMap) -> bool {
    let tag = stored.get(header::ETAG).filter(|tag| is_tag(tag.as_bytes()));
    let modified =
        stored.get(header::LAST_MODIFIED).filter(|_| date(stored, &header::LAST_MODIFIED).is_some());
    if tag.is_none() && modified.is_none() {
        return false;
    }
    for (name, value) in [(header::IF_NONE_MATCH, tag), (header::IF_MODIFIED_SINCE, modified)] {
        request.remove(&name);
        if let Some(value) = value {
            request.insert(name, value.clone());
        }
    }
    true
}

/// Whether a 304 is about `stored`: a validator that it carries must be the stored one (RFC 9111 §4.3.4).
pub(crate) fn confirms(answer: &HeaderMap, stored: &HeaderMap) -> bool {
    let tag = |fields: &HeaderMap| fields.get(header::ETAG).map(|tag| opaque(tag.as_bytes()).to_vec());
    match (tag(answer), tag(stored)) {
        (Some(new), own) => own == Some(new),
        (None, _) => match answer.get(header::LAST_MODIFIED) {
            Some(new) => stored.get(header::LAST_MODIFIED) == Some(new),
            None => true,
        },
    }
}

/// The stored fields as a 304 updates them: every field it carries replaces all lines of that name
/// (RFC 9111 §3.2).
pub(crate) fn updated(stored: &HeaderMap, answer: &HeaderMap) -> HeaderMap {
    let mut fields = stored.clone();
    // `Age` of the stored answer is no longer that of the confirmed one.
    fields.remove(header::AGE);
    for name in answer.keys().filter(|name| !NOT_UPDATED.contains(name)) {
        fields.remove(name);
        for value in answer.get_all(name) {
            fields.append(name.clone(), value.clone());
        }
    }
    fields
}

/// An entity tag without its mark of weakness: all that a weak comparison looks at (RFC 9110 §8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

fn is_tag(tag: &[u8]) -> bool {
    let tag = opaque(tag);
    tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\"") && !tag[1..tag.len() - 1].contains(&b'"')
}

/// The members of an `If-None-Match` line; a comma inside a tag's quotes is part of it.
fn tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let members = line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{at, fields};
    use http::HeaderValue;

    const EARLY: &str = "Thu, 01 Jan 1970 00:10:00 GMT";
    const LATE: &str = "Thu, 01 Jan 1970 00:20:00 GMT";

    #[test]
    fn a_clients_condition_is_judged_by_the_stored_answer() {
        let check = |asked: &[(&str, &str)], stored: &[(&str, &str)], expected: bool| {
            let found = is_not_modified(&fields(asked), &fields(stored), at(900.0));
            assert_eq!(found, expected, "{asked:?} {stored:?}");
        };
        let none_match = |tag: &'static str| [("if-none-match", tag)];
        let since = |date: &'static str| [("if-modified-since", date)];
        let tagged = [("etag", "\"a\""), ("last-modified", EARLY)];
        check(&[], &tagged, false);
        check(&none_match("\"a\""), &tagged, true);
        check(&none_match("W/\"a\""), &tagged, true);
        check(&none_match("\"a\""), &[("etag", "W/\"a\"")], true);
        check(&none_match("\"b\", \"a\""), &tagged, true);
        check(&[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], &tagged, true);
        check(&none_match("\"b\""), &tagged, false);
        check(&none_match("\"x,\"a\",y\""), &tagged, false);
        check(&none_match("*"), &[], true);
        check(&none_match("\"a\""), &[], false);
        check(&[none_match("\"b\"")[0], since(LATE)[0]], &tagged, false);
        check(&since(EARLY), &tagged, true);
        check(&since(LATE), &tagged, true);
        check(&since(EARLY), &[("last-modified", LATE)], false);
        check(&since(EARLY), &[("date", LATE)], false);
        check(&since(LATE), &[("date", EARLY)], true);
        check(&since(LATE), &[], true);
        check(&since(EARLY), &[], false);
        check(&since("soon"), &tagged, false);
        check(&[since(LATE)[0], since(LATE)[0]], &tagged, false);
    }

    #[test]
    fn a_stored_answer_is_validated_by_its_own_validators() {
        let check = |stored: &[(&str, &str)], expected: Option<&[(&str, &str)]>| {
            let mut request = fields(&[("if-none-match", "\"client\""), ("accept", "x")]);
            let asks = ask(&mut request, &fields(stored));
            let expected = expected.map(|lines| {
                let mut all = fields(lines);
                all.insert("accept", HeaderValue::from_static("x"));
                all
            });
            assert_eq!(asks.then_some(request), expected, "{stored:?}");
        };
        check(&[], None);
        check(&[("etag", "a")], None);
        check(&[("last-modified", "soon")], None);
        check(&[("etag", "\"a\"")], Some(&[("if-none-match", "\"a\"")]));
        check(&[("etag", "W/\"a\"")], Some(&[("if-none-match", "W/\"a\"")]));
        check(&[("last-modified", EARLY)], Some(&[("if-modified-since", EARLY)]));
    }

    #[test]
    fn a_304_updates_only_what_it_confirms() {
        let check = |answer: &[(&str, &str)], stored: &[(&str, &str)], expected: bool| {
            assert_eq!(confirms(&fields(answer), &fields(stored)), expected, "{answer:?} {stored:?}");
        };
        check(&[], &[("etag", "\"a\"")], true);
        check(&[("etag", "\"a\"")], &[("etag", "\"a\"")], true);
        check(&[("etag", "W/\"a\"")], &[("etag", "\"a\"")], true);
        check(&[("etag", "\"b\"")], &[("etag", "\"a\"")], false);
        check(&[("etag", "\"b\"")], &[("last-modified", EARLY)], false);
        check(&[("last-modified", EARLY)], &[("last-modified", EARLY)], true);
        check(&[("last-modified", LATE)], &[("last-modified", EARLY)], false);
    }

    #[test]
    fn a_304_replaces_every_field_it_carries() {
        let stored =
            fields(&[("age", "5"), ("x-a", "1"), ("x-a", "2"), ("x-b", "1"), ("content-length", "9")]);
        let answer = fields(&[("x-a", "3"), ("x-c", "4"), ("x-c", "5"), ("content-length", "0")]);
        let expected = [("x-a", "3"), ("x-b", "1"), ("x-c", "4"), ("x-c", "5"), ("content-length", "9")];
        assert_eq!(updated(&stored, &answer), fields(&expected));
    }

    #[test]
    fn a_304_to_a_client_repeats_what_it_must() {
        let stored =
            fields(&[("etag", "\"a\""), ("content-type", "x"), ("content-length", "9"), ("vary", "a")]);
        assert_eq!(not_modified_fields(stored), fields(&[("etag", "\"a\""), ("vary", "a")]));
    }
}
