//! What a request says of itself, as it is written down at both edges: bounded, printable, and without what may be a
//! secret. Pure: parts of a request in, text out.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, HeaderValue, Method, Uri, Version, header::HOST};

/// Methods that are written as they are; every other one is `_OTHER`, so that a label has bounded values.
/// RFC 9110 §9, RFC 5789, and QUERY, as the semantic conventions list them.
pub(crate) const METHODS: [&str; 11] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "_OTHER"];
const OTHER: usize = METHODS.len() - 1;

/// More of a path, query, user agent or unknown method than this is cut, and ends with `…`.
const LONGEST_TEXT: usize = 1024;
/// A host name has at most 253 characters (RFC 1035 §2.3.4); what is longer names nothing.
const LONGEST_HOST: usize = 255;
const CUT: &str = "…";
const REDACTED: &str = "REDACTED";

/// A method's place in [`METHODS`].
pub(crate) fn method(method: &Method) -> usize {
    METHODS[..OTHER].iter().position(|known| *known == method.as_str()).unwrap_or(OTHER)
}

/// The first word of a span's name: a method, or `HTTP` for one that is not known.
pub(crate) fn span_word(method: usize) -> &'static str {
    if method == OTHER { "HTTP" } else { METHODS[method] }
}

/// What the client sent, where it is not one of [`METHODS`].
pub(crate) fn method_original(method: &Method) -> Option<String> {
    let is_known = METHODS[..OTHER].contains(&method.as_str());
    (!is_known).then(|| printable(method.as_str()).into_owned())
}

/// The path without its query. An empty one is `/` (RFC 9110 §4.2.3).
pub(crate) fn path(uri: &Uri) -> Cow<'_, str> {
    match uri.path() {
        "" => "/".into(),
        path => printable(path),
    }
}

/// The query with its names and without its values. What has no `=` may itself be the secret and counts as a value.
/// `None` where there is no query.
pub(crate) fn query(uri: &Uri) -> Option<String> {
    let query = uri.query().filter(|query| !query.is_empty())?;
    let mut text = String::with_capacity(query.len().min(LONGEST_TEXT) + REDACTED.len());
    for (number, pair) in query.split('&').enumerate() {
        if number > 0 {
            text.push('&');
        }
        if let Some((name, _)) = pair.split_once('=') {
            text.extend([&*printable(name), "="]);
        }
        text.push_str(REDACTED);
        if text.len() > LONGEST_TEXT {
            break;
        }
    }
    Some(cut(text))
}

/// Text as it came where it is printable ASCII; any other byte percent-encoded, as in a URI; cut where it is too long.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if text.len() <= LONGEST_TEXT && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.into();
    }
    let mut written = String::with_capacity(text.len().min(LONGEST_TEXT) + CUT.len());
    for byte in text.bytes().take(LONGEST_TEXT + 1) {
        if matches!(byte, b' '..=b'~') {
            written.push(char::from(byte));
        } else {
            let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
            written.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    cut(written).into()
}

/// A header's value as text; bytes that are not ASCII become `?`. `None` where it is empty.
pub(crate) fn header_text(value: &HeaderValue) -> Option<String> {
    match value.to_str() {
        Ok("") => None,
        Ok(text) => Some(printable(text).into_owned()),
        // Not ASCII, and of no known encoding (RFC 9110 §5.5): what can be read of it is kept.
        Err(_) => {
            let bytes = value.as_bytes().iter();
            let text: String =
                bytes.map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
            Some(printable(&text).into_owned())
        }
    }
}

/// Host and port that a request is for: of its absolute URI, else of `Host` (RFC 9112 §3.2.2).
pub(crate) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<(&'a str, Option<u16>)> {
    match uri.authority() {
        Some(authority) => split_host(authority.as_str()),
        None => split_host(headers.get(HOST)?.to_str().ok()?),
    }
}

/// `network.protocol.version`.
pub(crate) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// The client as `X-Forwarded-For` tells it: the nearest address, seen from here, that is not itself a believed proxy.
/// `None` where there is no such header; what is not an address ends the search, for nobody knows who wrote the rest.
pub(crate) fn forwarded_client(headers: &HeaderMap, believed: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut client = None;
    for value in headers.get_all("x-forwarded-for").iter().rev() {
        for word in value.to_str().ok()?.rsplit(',') {
            match address(word.trim()) {
                Some(address) if believed(address) => client = Some(address),
                Some(address) => return Some(address),
                None => return client,
            }
        }
    }
    client
}

fn address(word: &str) -> Option<IpAddr> {
    let bare = word.strip_prefix('[').and_then(|word| word.split(']').next()).unwrap_or(word);
    bare.parse().ok().or_else(|| word.parse().ok().map(|socket: std::net::SocketAddr| socket.ip()))
}

/// `host`, `host:port`, `[v6]:port`; user information is left out. `None` for what cannot be a host.
fn split_host(authority: &str) -> Option<(&str, Option<u16>)> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']')?;
            (name, rest.strip_prefix(':'))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let is_name =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'~' | b'%');
    let is_host = (1..=LONGEST_HOST).contains(&name.len()) && name.bytes().all(is_name);
    is_host.then(|| (name, port.and_then(|port| port.parse().ok())))
}

/// Only for printable ASCII, where every place is between two characters.
fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(LONGEST_TEXT);
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn only_methods_that_http_knows_are_written_as_they_are() {
        for (text, written, word, original) in [
            ("GET", "GET", "GET", None),
            ("PATCH", "PATCH", "PATCH", None),
            ("QUERY", "QUERY", "QUERY", None),
            ("get", "_OTHER", "HTTP", Some("get")),
            ("PURGE", "_OTHER", "HTTP", Some("PURGE")),
            ("_OTHER", "_OTHER", "HTTP", Some("_OTHER")),
        ] {
            let sent = Method::from_bytes(text.as_bytes()).unwrap();
            let place = method(&sent);
            assert_eq!((METHODS[place], span_word(place)), (written, word));
            assert_eq!(method_original(&sent).as_deref(), original);
        }
    }

    #[test]
    fn paths_are_printable_and_bounded() {
        let long = format!("/{}", "a".repeat(2000));
        let cut = format!("/{}…", "a".repeat(LONGEST_TEXT - 1));
        for (text, expected) in [
            ("/api/bookings?x=1", "/api/bookings"),
            ("http://example.org", "/"),
            ("example.org:443", "/"),
            ("*", "*"),
            ("/a%20b%0a", "/a%20b%0a"),
            ("/\u{9b}31m", "/%C2%9B31m"),
            ("/gr\u{fc}n", "/gr%C3%BCn"),
            (&long, &cut),
        ] {
            assert_eq!(path(&uri(text)), expected, "{text}");
        }
        assert_eq!(printable("\x1b[31m\r\n\x7f\t"), "%1B[31m%0D%0A%7F%09");
    }

    #[test]
    fn a_querys_values_are_never_written() {
        let long = format!("/?{}", "name=value&".repeat(300));
        for (text, expected) in [
            ("/", None),
            ("/?", None),
            ("/?a=1", Some("a=REDACTED")),
            ("/?a=1&b=&a=2", Some("a=REDACTED&b=REDACTED&a=REDACTED")),
            ("/?token", Some("REDACTED")),
            ("/?a=b=c;d=e", Some("a=REDACTED")),
            ("/?\u{e4}=1", Some("%C3%A4=REDACTED")),
        ] {
            assert_eq!(query(&uri(text)).as_deref(), expected, "{text}");
        }
        let written = query(&uri(&long)).unwrap();
        assert!(written.len() <= LONGEST_TEXT + CUT.len() && written.ends_with(CUT), "{}", written.len());
    }

    #[test]
    fn the_host_is_the_uris_or_the_headers() {
        let long = "a".repeat(256);
        for (target, header, expected) in [
            ("/", "example.org", Some(("example.org", None))),
            ("/", "example.org:8080", Some(("example.org", Some(8080)))),
            ("/", "[::1]:8080", Some(("::1", Some(8080)))),
            ("/", "[::1]", Some(("::1", None))),
            ("/", "example.org:", Some(("example.org", None))),
            ("/", "example.org:99999", Some(("example.org", None))),
            ("http://user:secret@a.example:81/", "b.example", Some(("a.example", Some(81)))),
            ("/", "", None),
            ("/", "a b", None),
            ("/", "<script>", None),
            ("/", &long, None),
        ] {
            let headers: HeaderMap = [(HOST, HeaderValue::from_str(header).unwrap())].into_iter().collect();
            assert_eq!(host(&uri(target), &headers), expected, "{target} {header}");
        }
        assert_eq!(host(&uri("/"), &HeaderMap::new()), None);
    }

    #[test]
    fn the_client_is_the_nearest_address_that_is_no_believed_proxy() {
        let ours = |address: IpAddr| address.to_string().starts_with("10.");
        for (values, expected) in [
            (&[][..], None),
            (&["192.0.2.1"], Some("192.0.2.1")),
            (&["198.51.100.7, 192.0.2.1, 10.0.0.1"], Some("192.0.2.1")),
            (&["198.51.100.7", "10.0.0.2, 10.0.0.1"], Some("198.51.100.7")),
            (&["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
            (&["192.0.2.1:4711"], Some("192.0.2.1")),
            (&["[2001:db8::1]:4711"], Some("2001:db8::1")),
            (&["2001:db8::1"], Some("2001:db8::1")),
            (&["192.0.2.1, unknown, 10.0.0.1"], Some("10.0.0.1")),
            (&["nonsense"], None),
            (&[""], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_str(value).unwrap());
            }
            let expected = expected.map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!(forwarded_client(&headers, ours), expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_printable_and_bounded(text in "\\PC{0,400}|.{0,400}") {
            let written = printable(&text);
            prop_assert!(written.trim_end_matches(CUT).bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert!(written.len() <= LONGEST_TEXT + CUT.len());
        }

        #[test]
        fn no_secret_in_a_query_is_written(names in proptest::collection::vec("[a-z]{0,9}", 1..9)) {
            let pairs: Vec<String> = names.iter().map(|name| format!("{name}=s3cr3t")).collect();
            let written = query(&uri(&format!("/?{}", pairs.join("&")))).unwrap();
            prop_assert!(!written.contains("s3cr3t"));
        }
    }
}
