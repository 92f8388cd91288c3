//! The key under which answers to one target are stored (RFC 9111 §2).
//!
//! Promises: two requests share a key only if scheme, host, port, path and query are the same, host and port as in
//! `Host`; no other field of a request is ever part of it, so that none can poison it.
//! Refuses: guessing. Where the target is not beyond doubt there is no key, and the request is passed through.

use std::{fmt, hash::Hasher, sync::Arc};

use http::{HeaderMap, Uri, uri::Authority};

/// A normalised target: `http://host[:port]/path[?query]`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    text: Arc<str>,
    /// Where the path begins in `text`.
    path: usize,
}

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
        path_and_query.starts_with('/').then(|| Key::join(scheme, &host, path_and_query))
    }

    /// What [`Key::text`] said; `None` for what is no such text.
    pub(crate) fn from_text(text: &str) -> Option<Key> {
        let host = text.find("://")? + 3;
        let path = host + text.get(host..)?.find('/')?;
        (path > host).then(|| Key { text: text.into(), path })
    }

    /// The whole of it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The key of another target on the same host.
    pub(crate) fn sibling(&self, path_and_query: &str) -> Key {
        let origin = self.origin();
        Key { text: format!("{origin}{path_and_query}").into(), path: self.path }
    }

    fn join(scheme: &str, host: &str, path_and_query: &str) -> Key {
        let text = format!("{scheme}://{host}{path_and_query}");
        Key { path: text.len() - path_and_query.len(), text: text.into() }
    }

    /// Scheme, host and port (RFC 9110 §4.3.1).
    pub(crate) fn origin(&self) -> &str {
        &self.text[..self.path]
    }

    /// Path and query, as they came.
    pub(crate) fn path_and_query(&self) -> &str {
        &self.text[self.path..]
    }

    /// Host and port, normalised.
    pub(crate) fn host(&self) -> &str {
        self.origin().split_once("://").map_or("", |(_, host)| host)
    }

    /// Whether its text begins with another's.
    pub(crate) fn begins_with(&self, prefix: &Key) -> bool {
        self.text.starts_with(&*prefix.text)
    }

    /// Bytes of its text.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// A number that is the same in every process: for consistent hashing and for stripes.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(self.text.as_bytes());
        hasher.finish()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Host in lower case, and the port where it is not the scheme's own (RFC 3986 §6.2.3). `None` for what is no host.
pub(crate) fn origin(scheme: &str, authority: &str) -> Option<String> {
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
    let own = if scheme == "https" { 443 } else { 80 };
    let host = host.to_ascii_lowercase();
    Some(match port {
        Some(port) if port != own => format!("{host}:{port}"),
        _ => host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
