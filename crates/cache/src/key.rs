//! The key under which answers to one target are stored (RFC 9111 §2).
//!
//! Promises: two requests share a key only if scheme, host, port, path and query are the same, host and port as in
//! `Host`; no other field of a request is ever part of it, so that none can poison it.
//! Refuses: guessing. Where the target is not beyond doubt there is no key, and the request is passed through.

use std::{borrow::Cow, fmt, hash::Hasher, sync::Arc};

use http::{HeaderMap, Uri, uri::Authority};

/// A normalised target: `http://host[:port]/path[?query]`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key(Arc<str>);

impl Key {
    /// The key of a request's target, or `None` where host or form leave a doubt: no `Host` or several, one with user
    /// information, one that differs from an absolute-form target's (RFC 9112 §3.2.2), `*` and authority forms.
    pub(crate) fn of(target: &Uri, fields: &HeaderMap) -> Option<Key> {
        let scheme = match target.scheme_str() {
            None if target.authority().is_some() => return None,
            None | Some("http") => "http",
            Some("https") => "https",
            Some(_) => return None,
        };
        let mut hosts = fields.get_all(http::header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(only), None) => Some(origin(scheme, only.to_str().ok()?)?),
            (None, _) => None,
            (Some(_), Some(_)) => return None,
        };
        let authority = match target.authority() {
            Some(authority) => Some(origin(scheme, authority.as_str())?),
            None => None,
        };
        let host = match (host, authority) {
            (Some(host), Some(authority)) if host != authority => return None,
            (Some(host), _) | (None, Some(host)) => host,
            (None, None) => return None,
        };
        let path_and_query = target.path_and_query().map_or("/", |text| text.as_str());
        path_and_query.starts_with('/').then(|| Key([scheme, "://", &host, path_and_query].concat().into()))
    }

    /// What [`Key::text`] said; `None` for what is no such text.
    pub(crate) fn from_text(text: &str) -> Option<Key> {
        let after_scheme = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme))?;
        (after_scheme.find('/')? > 0).then(|| Key(text.into()))
    }

    /// The whole of it.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The key of another target on the same host.
    pub(crate) fn sibling(&self, path_and_query: &str) -> Key {
        Key([self.origin(), path_and_query].concat().into())
    }

    /// Where the path begins. A host has no slash and is not empty.
    fn path(&self) -> usize {
        const NO_PATH: usize = "http://h".len();
        let slash = self.0.as_bytes()[NO_PATH..].iter().position(|byte| *byte == b'/');
        NO_PATH + slash.expect("a key has a path")
    }

    /// Scheme, host and port (RFC 9110 §4.3.1).
    pub(crate) fn origin(&self) -> &str {
        &self.0[..self.path()]
    }

    /// Path and query, as they came.
    pub(crate) fn path_and_query(&self) -> &str {
        &self.0[self.path()..]
    }

    /// Host and port, normalised.
    pub(crate) fn host(&self) -> &str {
        self.origin().split_once("://").map_or("", |(_, host)| host)
    }

    /// Whether its text begins with another's.
    pub(crate) fn begins_with(&self, prefix: &Key) -> bool {
        self.0.starts_with(&*prefix.0)
    }

    /// Bytes of its text.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A number that is the same in every process: for consistent hashing and for stripes.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(self.0.as_bytes());
        hasher.finish()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host in lower case, and the port where it is not the scheme's own (RFC 3986 §6.2.3). `None` for what is no host.
pub(crate) fn origin<'a>(scheme: &str, authority: &'a str) -> Option<Cow<'a, str>> {
    let own = if scheme == "https" { 443 } else { 80 };
    if is_normal(authority, own) {
        return Some(Cow::Borrowed(authority));
    }
    let parsed: Authority = authority.parse().ok()?;
    let host = parsed.host();
    if host.is_empty() || authority.contains('@') {
        return None;
    }
    let digits = authority.get(host.len()..)?;
    let port = match digits.strip_prefix(':') {
        None if digits.is_empty() => None,
        Some("") => None,
        Some(digits) => Some(digits.parse::<u16>().ok()?),
        None => return None,
    };
    let host = host.to_ascii_lowercase();
    Some(Cow::Owned(match port {
        Some(port) if port != own => format!("{host}:{port}"),
        _ => host,
    }))
}

/// Whether it is what it would become, as most are: that is seen without taking it apart. False where in doubt.
fn is_normal(authority: &str, own: u16) -> bool {
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let in_a_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && !port.starts_with('0')
            && port.parse::<u16>().is_ok_and(|port| port != own)
    };
    !host.is_empty() && host.bytes().all(in_a_name) && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(target: &str, hosts: &[&str]) -> Option<String> {
        let mut fields = HeaderMap::new();
        for host in hosts {
            fields.append(http::header::HOST, host.parse().expect("a field value"));
        }
        Key::of(&target.parse().expect("a target"), &fields).map(|key| format!("{key:?}"))
    }

    fn check(target: &str, hosts: &[&str], expected: Option<&str>) {
        assert_eq!(key(target, hosts).as_deref(), expected, "{target} {hosts:?}");
    }

    #[test]
    fn host_and_target_make_the_key() {
        check("/a?b=c", &["example.com"], Some("http://example.com/a?b=c"));
        check("/a?b=c", &["EXAMPLE.com:80"], Some("http://example.com/a?b=c"));
        check("/a", &["example.com:"], Some("http://example.com/a"));
        check("/a", &["example.com:8080"], Some("http://example.com:8080/a"));
        check("/a", &["[::1]:8080"], Some("http://[::1]:8080/a"));
        check("/A%2fb", &["e"], Some("http://e/A%2fb"));
        check("/a?", &["e"], Some("http://e/a?"));
        check("http://e:80/a", &["e"], Some("http://e/a"));
        check("https://e:443/a", &["e"], Some("https://e/a"));
        check("http://e", &["e"], Some("http://e/"));
        check("http://e/a", &[], Some("http://e/a"));
    }

    #[test]
    fn a_doubtful_target_has_no_key() {
        check("/a", &[], None);
        check("/a", &["e", "f"], None);
        check("/a", &["e", "e"], None);
        check("/a", &["u@e"], None);
        check("/a", &["e:99999"], None);
        check("/a", &["e/x"], None);
        check("/a", &[""], None);
        check("*", &["e"], None);
        check("http://e/a", &["f"], None);
        check("ftp://e/a", &["e"], None);
        check("e:443", &["e:443"], None);
    }

    proptest! {
        /// Seen at once or taken apart, a host comes to the same.
        #[test]
        fn a_normal_host_is_its_own_form(host in "[a-z0-9.-]{0,5}", port in "(:[0-9]{0,6})?", https in any::<bool>()) {
            let (scheme, own) = if https { ("https", 443) } else { ("http", 80) };
            let authority = format!("{host}{port}");
            if is_normal(&authority, own) {
                // Upper case is never normal.
                let shouted = authority.to_ascii_uppercase();
                prop_assume!(shouted != authority);
                let origin = origin(scheme, &shouted);
                prop_assert_eq!(origin.as_deref(), Some(&*authority));
            }
        }
    }

    #[test]
    fn a_key_is_read_back_from_its_text() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let key = Key::from_text(text);
            assert_eq!(key.as_ref().map(|key| (key.origin(), key.path_and_query())), expected, "{text}");
        };
        check("http://e:81/a/b?c", Some(("http://e:81", "/a/b?c")));
        check("https://[::1]/", Some(("https://[::1]", "/")));
        check("http://e", None);
        check("http:///a", None);
        check("a://b/", None);
        check("ftp://e.example/a", None);
        check("e/a", None);
        check("", None);
    }

    #[test]
    fn a_sibling_keeps_the_host() {
        let mut fields = HeaderMap::new();
        fields.insert(http::header::HOST, "e:81".parse().expect("a field value"));
        let key = Key::of(&"/a/b?c".parse().expect("a target"), &fields).expect("a key");
        assert_eq!(format!("{:?}", key.sibling("/x?y")), "http://e:81/x?y");
        assert_eq!((key.host(), key.path_and_query()), ("e:81", "/a/b?c"));
    }
}
