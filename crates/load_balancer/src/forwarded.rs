//! Whom a request came from and by which name: `X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` (RFC 7239).
//!
//! A stranger's are overwritten, with all that look like them; a trusted peer's are kept and our own knowledge is added
//! at the end.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const HTTP: HeaderValue = HeaderValue::from_static("http");

/// Writes what is known of the request's sender.
pub(crate) fn stamp(headers: &mut HeaderMap, peer: IpAddr, trusted: bool) {
    let peer = peer.to_canonical();
    let host = headers.get(header::HOST).cloned();
    if !trusted {
        forget(headers);
    }
    append(headers, FOR, value(peer.to_string().into_bytes()));
    append(headers, header::FORWARDED, element(peer, host.as_ref()));
    if !headers.contains_key(PROTO) {
        headers.insert(PROTO, HTTP);
    }
    if let Some(host) = host
        && !headers.contains_key(HOST)
    {
        headers.insert(HOST, host);
    }
}

/// Drops what a stranger says of whom it speaks for.
fn forget(headers: &mut HeaderMap) {
    let claims = |name: &&HeaderName| {
        name.as_str().starts_with("x-forwarded") || **name == header::FORWARDED || **name == REAL_IP
    };
    let claimed: Vec<HeaderName> = headers.keys().filter(claims).cloned().collect();
    for name in claimed {
        headers.remove(name);
    }
}

/// Adds to the end of a list, on one line.
fn append(headers: &mut HeaderMap, name: HeaderName, last: HeaderValue) {
    if !headers.contains_key(&name) {
        headers.insert(name, last);
        return;
    }
    let mut line = Vec::new();
    for earlier in headers.get_all(&name) {
        if !earlier.is_empty() {
            line.extend_from_slice(earlier.as_bytes());
            line.extend_from_slice(b", ");
        }
    }
    line.extend_from_slice(last.as_bytes());
    headers.insert(name, value(line));
}

/// `forwarded-element` of RFC 7239 §4.
fn element(peer: IpAddr, host: Option<&HeaderValue>) -> HeaderValue {
    let mut text = match peer {
        IpAddr::V4(peer) => format!("for={peer}"),
        IpAddr::V6(peer) => format!("for=\"[{peer}]\""),
    }
    .into_bytes();
    if let Some(host) = host {
        text.extend_from_slice(b";host=\"");
        // A host holds neither quotes nor backslashes: it was checked when the request was let in.
        text.extend_from_slice(host.as_bytes());
        text.push(b'"');
    }
    text.extend_from_slice(b";proto=http");
    value(text)
}

fn value(bytes: Vec<u8>) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes))
        .expect("made of field values and visible text only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamped(peer: &str, trusted: bool, fields: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("a.example:8080"));
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        stamp(&mut headers, peer.parse().expect("an address"), trusted);
        headers.remove(header::HOST);
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    #[test]
    fn a_stranger_is_who_its_connection_says() {
        let expected = "forwarded: for=192.0.2.1;host=\"a.example:8080\";proto=http\n\
            x-forwarded-for: 192.0.2.1\nx-forwarded-host: a.example:8080\nx-forwarded-proto: http";
        assert_eq!(stamped("192.0.2.1", false, &[]), expected);
        let claims = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("forwarded", "for=10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "bank.example"),
            ("x-forwarded-port", "443"),
            ("x-real-ip", "10.0.0.1"),
        ];
        assert_eq!(stamped("192.0.2.1", false, &claims), expected);
    }

    #[test]
    fn a_trusted_peer_is_believed_and_added() {
        let claims = [
            ("x-forwarded-for", "192.0.2.9"),
            ("x-forwarded-for", "192.0.2.8"),
            ("forwarded", "for=192.0.2.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
        ];
        assert_eq!(
            stamped("::1", true, &claims),
            "forwarded: for=192.0.2.9, for=\"[::1]\";host=\"a.example:8080\";proto=http\n\
             x-forwarded-for: 192.0.2.9, 192.0.2.8, ::1\nx-forwarded-host: shop.example\nx-forwarded-proto: https"
        );
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_written_as_ipv4() {
        assert!(stamped("::ffff:192.0.2.1", false, &[]).contains("x-forwarded-for: 192.0.2.1"));
    }

    proptest! {
        #[test]
        fn no_field_panics(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4)) {
            let mut headers = HeaderMap::new();
            for bytes in values {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    headers.append(FOR, value.clone());
                    headers.append(header::FORWARDED, value.clone());
                    headers.append(header::HOST, value);
                }
            }
            stamp(&mut headers, IpAddr::from([192, 0, 2, 1]), true);
            prop_assert_eq!(headers.get_all(FOR).iter().count(), 1);
            prop_assert!(headers[FOR].as_bytes().ends_with(b"192.0.2.1"));
        }
    }
}
