//! Fields as they are stored: one block of bytes, a tenth of the room that a map of them takes.
//!
//! ```text
//! block = count field*
//! field = 0 length name length value      a name that is spelt out
//!       | n length value                  the name at place n of NAMES, from 1
//! ```
//! `count` and `length` are numbers of seven bits a byte, the lowest first, the eighth bit saying that more follow.
//!
//! Promises: what is read out of it is what was put in, in the map's order and byte for byte; a map made of it holds
//! parts of the block and copies no value. Refuses: changing. A 304 makes a new block out of a changed map.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Names that are kept as one byte, in order: those of answers, standard or seen often.
static NAMES: [HeaderName; 64] = [
    header::ACCEPT_RANGES,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::AGE,
    header::ALLOW,
    header::ALT_SVC,
    header::CACHE_CONTROL,
    HeaderName::from_static("cache-groups"),
    HeaderName::from_static("cache-status"),
    HeaderName::from_static("cdn-cache-control"),
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
    HeaderName::from_static("cross-origin-embedder-policy"),
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-resource-policy"),
    header::DATE,
    HeaderName::from_static("deprecation"),
    HeaderName::from_static("digest"),
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    HeaderName::from_static("nel"),
    HeaderName::from_static("permissions-policy"),
    header::PRAGMA,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    header::REFERRER_POLICY,
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("repr-digest"),
    header::RETRY_AFTER,
    header::SERVER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("sunset"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("timing-allow-origin"),
    header::VARY,
    header::VIA,
    header::WARNING,
    HeaderName::from_static("x-cache"),
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_DNS_PREFETCH_CONTROL,
    HeaderName::from_static("x-download-options"),
    header::X_FRAME_OPTIONS,
    HeaderName::from_static("x-permitted-cross-domain-policies"),
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-robots-tag"),
    header::X_XSS_PROTECTION,
];

/// In place of a name's number: it is spelt out.
const SPELT: u8 = 0;

/// Stored fields. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fields(Arc<[u8]>);

impl Fields {
    /// All of a map, in its order.
    pub(crate) fn of(map: &HeaderMap) -> Fields {
        let mut block = Vec::with_capacity(512);
        write_number(&mut block, map.len());
        for (name, value) in map {
            match NAMES.binary_search_by(|known| known.as_str().cmp(name.as_str())) {
                Ok(place) => block.push(place as u8 + 1),
                Err(_unknown) => {
                    block.push(SPELT);
                    write_text(&mut block, name.as_str().as_bytes());
                }
            }
            write_text(&mut block, value.as_bytes());
        }
        Fields(block.into())
    }

    /// In order: names in lower case, and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.read().map(|(name, value)| {
            let name = match name {
                Name::Known(name) => name.as_str(),
                Name::Spelt(name) => std::str::from_utf8(name).expect("a field's name is ASCII"),
            };
            (name, value)
        })
    }

    /// As a map with room for so many names more.
    pub(crate) fn to_map(&self, more: usize) -> HeaderMap {
        let block = Bytes::from_owner(Arc::clone(&self.0));
        let mut map = HeaderMap::with_capacity(self.len() + more);
        for (name, value) in self.read() {
            let name = match name {
                Name::Known(name) => name.clone(),
                Name::Spelt(name) => HeaderName::from_bytes(name).expect("it was a field's name"),
            };
            let value =
                HeaderValue::from_maybe_shared(block.slice_ref(value)).expect("it was a field's value");
            map.append(name, value);
        }
        map
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        read_number(&mut &*self.0)
    }

    /// Bytes of the block.
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }

    fn read(&self) -> Read<'_> {
        let mut rest = &*self.0;
        read_number(&mut rest);
        Read { rest }
    }
}

enum Name<'a> {
    Known(&'static HeaderName),
    Spelt(&'a [u8]),
}

/// What is still to be read of a block.
struct Read<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Read<'a> {
    type Item = (Name<'a>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (place, rest) = self.rest.split_first()?;
        self.rest = rest;
        let name = match *place {
            SPELT => Name::Spelt(read_text(&mut self.rest)),
            place => Name::Known(&NAMES[usize::from(place) - 1]),
        };
        Some((name, read_text(&mut self.rest)))
    }
}

fn write_text(block: &mut Vec<u8>, text: &[u8]) {
    write_number(block, text.len());
    block.extend_from_slice(text);
}

fn write_number(block: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        block.push(number as u8 | 0x80);
        number >>= 7;
    }
    block.push(number as u8);
}

fn read_text<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = read_number(rest);
    let (text, after) = rest.split_at(length);
    *rest = after;
    text
}

fn read_number(rest: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, after)) = rest.split_first() {
        *rest = after;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fields;
    use proptest::prelude::*;

    /// What a map says, in its order.
    fn lines(map: &HeaderMap) -> Vec<(String, Vec<u8>)> {
        map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
    }

    fn check(map: &HeaderMap) {
        let stored = Fields::of(map);
        let listed: Vec<_> = stored.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        assert_eq!(listed, lines(map));
        let back = stored.to_map(0);
        assert_eq!(lines(&back), lines(map));
        assert_eq!(back, *map);
    }

    #[test]
    fn fields_come_back_as_they_were_stored() {
        check(&fields(&[]));
        check(&fields(&[("etag", "\"a\""), ("x-own", "1"), ("x-own", ""), ("date", "x"), ("x-own", "2")]));
        check(&fields(&[("vary", "a"), ("vary", "b"), ("set-cookie", "a=b"), ("set-cookie", "c=d")]));
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 70_000] {
            check(&fields(&[("x-long", &"v".repeat(length)), ("age", "1")]));
        }
        check(&fields(&[(&"n".repeat(300), "v")]));
        check(&HeaderMap::from_iter([(
            header::SERVER,
            HeaderValue::from_bytes(b"\xe9\t").expect("a value"),
        )]));
        check(
            &(0..300)
                .map(|nth| (HeaderName::try_from(format!("x-{nth}")).expect("a name"), nth.into()))
                .collect(),
        );
    }

    #[test]
    fn every_known_name_is_one_byte() {
        assert!(NAMES.is_sorted_by(|a, b| a.as_str() < b.as_str()), "they are searched by halves");
        for name in &NAMES {
            let map = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("v"))]);
            assert_eq!(Fields::of(&map).size(), 4, "{name}");
            check(&map);
        }
    }

    #[test]
    fn a_map_has_the_room_that_was_asked_for() {
        let stored = Fields::of(&fields(&[("etag", "\"a\""), ("x-own", "1")]));
        assert!(stored.to_map(40).capacity() >= 42);
    }

    proptest! {
        #[test]
        fn any_fields_come_back_as_they_were_stored(
            lines in proptest::collection::vec((0_usize..80, "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,20}", proptest::collection::vec(any::<u8>(), 0..200)), 0..40)
        ) {
            let mut map = HeaderMap::new();
            for (known, spelt, value) in lines {
                let name = NAMES.get(known).cloned();
                let name = name.unwrap_or_else(|| HeaderName::from_bytes(spelt.as_bytes()).expect("a name"));
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    map.append(name, value);
                }
            }
            check(&map);
        }
    }
}
