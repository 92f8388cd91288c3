//! The URL of a webhook's receiver: what may be registered.
//!
//! Stricter than RFC 3986: what two readers of URLs could understand differently is refused, so that whoever delivers goes
//! where whoever registered could be seen to point. Where a name leads to is the worker's to decide, each time anew.

use http::Uri;
use url::Url;

/// Characters at most.
pub(crate) const LONGEST: usize = 2_000;

/// Why a URL is refused; it follows on the member's name.
pub(crate) fn check(url: &str) -> Result<(), &'static str> {
    if url.len() > LONGEST {
        return Err("must not be longer than 2000 characters");
    }
    let allowed = |one: char| one.is_ascii_graphic() && !"\"<>\\^`{|}".contains(one);
    if !url.chars().all(allowed) {
        return Err(
            "must consist of characters that a URL may hold; others are written as `%` and two digits",
        );
    }
    if url.contains('#') {
        return Err("must not have a fragment");
    }
    let expected = "must be an absolute URL, like `https://example.org/events`";
    let uri: Uri = url.parse().map_err(|_| expected)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("must begin with `https://` or `http://`");
    }
    let authority = uri.authority().ok_or(expected)?.as_str();
    if authority.contains('@') {
        return Err("must not hold a user or a password");
    }
    let host = "must name a host, as a name or an address, and a port from 1 to 65535 or none";
    let port = authority.strip_prefix(uri.host().ok_or(expected)?).ok_or(expected)?;
    if !is_host(uri.host().unwrap_or_default()) || !is_port(port) {
        return Err(host);
    }
    // As the worker will read it: an internationalised name that is none has no address.
    Url::parse(url).map(drop).map_err(|_| host)
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_label = |label: &str| {
                let inner = |one: u8| one.is_ascii_alphanumeric() || one == b'-' || one == b'_';
                !label.is_empty() && label.len() <= 63 && label.bytes().all(inner)
            };
            host.len() <= 253 && host.split('.').all(is_label) && is_plain(host)
        }
    }
}

/// What ends in a number is an address: in its usual form, not `127.1` or `0x7f000001`.
fn is_plain(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|one| one.is_ascii_digit())
        || last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    !is_number || host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// With its colon, or nothing.
fn is_port(port: &str) -> bool {
    let Some(digits) = port.strip_prefix(':') else { return port.is_empty() };
    digits.bytes().all(|one| one.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn where_events_can_be_sent_is_taken() {
        for url in [
            "https://example.org/events",
            "http://example.org",
            "HTTPS://Example.ORG:8443/a/b?c=d&e=%20",
            "http://127.0.0.1:9000/",
            "http://[::1]:9000/x",
            "https://xn--bcher-kva.example/",
            "https://my_service/",
            &format!("https://example.org/{}", "x".repeat(LONGEST - 20)),
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (url, reason) in [
            ("", "absolute"),
            ("/events", "begin with"),
            ("example.org", "begin with"),
            ("ftp://example.org/", "begin with"),
            ("file:///etc/passwd", "absolute"),
            ("javascript:alert(1)", "begin with"),
            ("https://", "absolute"),
            ("https:///events", "absolute"),
            ("https://user@example.org/", "user"),
            ("https://user:password@example.org/", "user"),
            ("https://example.org/#part", "fragment"),
            ("https://example.org/a b", "characters"),
            ("https://example.org/\n", "characters"),
            ("https://example.org\\@other.example/", "characters"),
            ("https://bücher.example/", "characters"),
            ("https://example.org:0/", "port"),
            ("https://example.org:65536/", "port"),
            ("https://example.org:/", "port"),
            ("https://exa..mple/", "host"),
            ("https://example.org./", "host"),
            ("http://2130706433/", "host"),
            ("http://127.1/", "host"),
            ("http://0x7f000001/", "host"),
            ("http://0177.0.0.1/", "host"),
            ("http://[::1/", "absolute"),
            ("http://xn--/", "host"),
            ("https://xn--a.example/", "host"),
            ("http://[localhost]/", "host"),
            (&format!("https://example.org/{}", "x".repeat(LONGEST)), "longer"),
        ] {
            let refused = check(url).expect_err(url);
            assert!(refused.contains(reason), "{url}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(url in "(https?://)?\\PC{0,60}") {
            let _ = check(&url);
        }
    }
}
