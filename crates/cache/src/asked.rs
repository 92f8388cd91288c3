//! What a request asks of a cache: its key and everything else the decisions look at.
//!
//! Promises: a request that this cache does not understand wholly has a [`Bypass`], and is passed through untouched.

use http::{HeaderMap, HeaderName, Method, header, request::Parts};
use service::Interim;

use crate::{
    cache_control::{self, CacheControl},
    key::{self, Key},
};

/// Fields by which some origins answer for another target or method than the one in the request line: what comes
/// back must not be stored under the request line's.
const STEERING: [HeaderName; 6] = [
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];

/// A GET or HEAD that may be answered from the store.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) key: Key,
    /// HEAD: answered from what GET stored, and stores nothing itself.
    pub(crate) head: bool,
    pub(crate) control: CacheControl,
    /// It carries `Authorization`.
    pub(crate) authorized: bool,
    /// It carries `If-None-Match` or `If-Modified-Since`.
    pub(crate) conditional: bool,
    /// It is a GET with `Range`: answered from what is stored, or passed through untouched.
    pub(crate) ranged: bool,
    /// Its fields, for `Vary` and its conditions.
    pub(crate) fields: HeaderMap,
    /// Where interim responses to it go, once it goes forward.
    pub(crate) interim: Option<Interim>,
}

/// Why a request is passed through untouched; the word is that of `throughline.cache.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// Neither GET nor HEAD.
    Method,
    /// No target that is beyond doubt.
    Target,
    /// `Range`, of something that is not stored.
    Range,
    /// `Upgrade`.
    Upgrade,
    /// `If-Match` or `If-Unmodified-Since`: the origin's to judge (RFC 9111 §4.3.2).
    Precondition,
    /// A GET or HEAD with a body, whose meaning nobody defines (RFC 9110 §9.3.1).
    Body,
    /// A field that may turn it into a request for something else.
    Steering,
}

impl Bypass {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Bypass::Method => "method",
            Bypass::Target => "target",
            Bypass::Range => "range",
            Bypass::Upgrade => "upgrade",
            Bypass::Precondition => "precondition",
            Bypass::Body => "body",
            Bypass::Steering => "steering",
        }
    }
}

impl Asked {
    /// Reads a request's head and, where it may be answered from the store, takes its fields out of it; `has_body`
    /// says whether a body follows it.
    pub(crate) fn take(request: &mut Parts, has_body: bool) -> Result<Asked, Bypass> {
        let fields = &request.headers;
        let has = |name| fields.contains_key(name);
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Bypass::Method);
        }
        let key = Key::of(&request.uri, fields).ok_or(Bypass::Target)?;
        if has(header::UPGRADE) {
            return Err(Bypass::Upgrade);
        }
        if has(header::IF_MATCH) || has(header::IF_UNMODIFIED_SINCE) {
            return Err(Bypass::Precondition);
        }
        if has_body {
            return Err(Bypass::Body);
        }
        if is_steered(fields, key.host()) {
            return Err(Bypass::Steering);
        }
        Ok(Asked {
            key,
            head: request.method == Method::HEAD,
            control: read_control(fields),
            authorized: has(header::AUTHORIZATION),
            conditional: has(header::IF_NONE_MATCH) || has(header::IF_MODIFIED_SINCE),
            // Of a HEAD it means nothing (RFC 9110 §14.2).
            ranged: request.method == Method::GET && has(header::RANGE),
            fields: std::mem::take(&mut request.headers),
            interim: None,
        })
    }

    /// Whether its fetch may answer others, and others' fetch may answer it: a plain GET, alike for everybody.
    pub(crate) fn shares(&self) -> bool {
        !self.head && !self.ranged && !self.authorized && self.control == CacheControl::default()
    }
}

/// `Pragma: no-cache` counts as `no-cache` where there is no `Cache-Control` (RFC 9111 §5.4).
fn read_control(fields: &HeaderMap) -> CacheControl {
    let mut control = cache_control::read(fields);
    if !fields.contains_key(header::CACHE_CONTROL) {
        let mut lines = fields
            .get_all(header::PRAGMA)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        control.no_cache = lines.any(|item| item.trim_ascii().eq_ignore_ascii_case(b"no-cache"));
    }
    control
}

/// Whether a field asks for another host, target or method than the request line and `Host` do. A proxy's
/// `X-Forwarded-Host` and `Forwarded` that only repeat `Host` do not.
fn is_steered(fields: &HeaderMap, host: &str) -> bool {
    let same =
        |other: &str| key::origin("http", other.trim().trim_matches('"')).is_some_and(|other| other == host);
    let differs = |name: &str, split: &[char], prefix: &str| {
        fields.get_all(name).iter().any(|line| {
            let Ok(line) = line.to_str() else { return true };
            let parts = line.split(split).map(str::trim);
            let mut hosts = parts.filter_map(|part| {
                let head = part.get(..prefix.len())?;
                head.eq_ignore_ascii_case(prefix).then(|| &part[prefix.len()..])
            });
            hosts.any(|other| !same(other))
        })
    };
    STEERING.iter().any(|name| fields.contains_key(name))
        || differs("x-forwarded-host", &[','], "")
        || differs("forwarded", &[',', ';'], "host=")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::request;

    fn read(method: Method, lines: &[(&str, &str)], has_body: bool) -> Result<Asked, Bypass> {
        Asked::take(&mut request(method, "/a", lines), has_body)
    }

    #[test]
    fn what_is_not_understood_is_passed_through() {
        let check = |method: Method, lines: &[(&str, &str)], has_body, expected: Option<Bypass>| {
            assert_eq!(read(method.clone(), lines, has_body).err(), expected, "{method} {lines:?}");
        };
        check(Method::GET, &[], false, None);
        check(Method::HEAD, &[], false, None);
        check(Method::GET, &[], true, Some(Bypass::Body));
        check(Method::POST, &[], false, Some(Bypass::Method));
        check(Method::OPTIONS, &[], false, Some(Bypass::Method));
        check(Method::GET, &[("host", "a b")], false, Some(Bypass::Target));
        check(Method::GET, &[("range", "bytes=0-1")], false, None);
        check(Method::GET, &[("upgrade", "websocket")], false, Some(Bypass::Upgrade));
        check(Method::GET, &[("if-match", "\"a\"")], false, Some(Bypass::Precondition));
        check(Method::GET, &[("x-http-method-override", "POST")], false, Some(Bypass::Steering));
        check(Method::GET, &[("x-forwarded-host", "evil")], false, Some(Bypass::Steering));
        check(Method::GET, &[("x-forwarded-host", "E:80, e")], false, None);
        check(Method::GET, &[("x-forwarded-host", "e, evil")], false, Some(Bypass::Steering));
        check(Method::GET, &[("forwarded", "for=10.0.0.1;host=e;proto=http")], false, None);
        check(Method::GET, &[("forwarded", "for=10.0.0.1;Host=\"evil\"")], false, Some(Bypass::Steering));
    }

    #[test]
    fn only_plain_requests_share_a_fetch() {
        let check = |lines: &[(&str, &str)], expected: bool| {
            assert_eq!(read(Method::GET, lines, false).expect("cacheable").shares(), expected, "{lines:?}");
        };
        check(&[], true);
        check(&[("if-none-match", "\"a\"")], true);
        check(&[("cookie", "a=b")], true);
        check(&[("authorization", "Basic x")], false);
        check(&[("range", "bytes=0-1")], false);
        check(&[("if-range", "\"a\"")], true);
        check(&[("cache-control", "no-cache")], false);
        check(&[("cache-control", "max-age=0")], false);
        check(&[("pragma", "x, No-Cache")], false);
        check(&[("pragma", "x")], true);
        check(&[("pragma", "no-cache"), ("cache-control", "x")], true);
    }
}
