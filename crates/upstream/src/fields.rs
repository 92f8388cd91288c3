//! Header fields that concern one connection only and must not travel on (RFC 9110 §7.6.1), and the framing that a
//! proxy makes anew for each hop.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What a request's sender meant for us alone. `Expect` is among it: the expectation is met by our reading the body.
const REQUEST: [HeaderName; 8] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
];

/// What a replica meant for us alone. `Proxy-Status` tells everybody on the way and stays.
const RESPONSE: [HeaderName; 8] = [
    header::CONNECTION,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authentication-info"),
];

/// Strips a request of what is hop-by-hop.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    strip(headers, |name| REQUEST.contains(name) || name.as_str().starts_with("proxy-") || name == "proxy");
}

/// Strips an answer of what is hop-by-hop; false when it is framed in a way that cannot be passed on.
pub(crate) fn strip_response(headers: &mut HeaderMap) -> bool {
    let chunked_only = match headers.get_all(header::TRANSFER_ENCODING).iter().collect::<Vec<_>>()[..] {
        [] => true,
        [coding] => {
            let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
            // Transfer-Encoding overrides Content-Length, which would now frame the message wrongly (RFC 9112 §6.3).
            headers.remove(header::CONTENT_LENGTH);
            chunked
        }
        _ => false,
    };
    strip(headers, |name| RESPONSE.contains(name));
    chunked_only
}

/// Strips an interim response, which has no body whose length could be said (RFC 9110 §8.6).
pub(crate) fn strip_interim(headers: &mut HeaderMap) {
    strip(headers, |name| RESPONSE.contains(name) || name == header::CONTENT_LENGTH);
}

/// Whether an answer with a body says where that ends, other than by the end of the connection.
pub(crate) fn is_framed(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || headers.contains_key(header::CONTENT_LENGTH)
}

fn strip(headers: &mut HeaderMap, hop_by_hop: impl Fn(&HeaderName) -> bool) {
    let mut leave: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        leave.extend(named(value));
    }
    leave.extend(headers.keys().filter(|name| hop_by_hop(name)).cloned());
    for name in leave {
        headers.remove(name);
    }
}

/// The fields that a value of `Connection` names. `Host` and `Content-Length` cannot be taken away like this: without
/// them the request would mean something else.
fn named(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| name != header::HOST && name != header::CONTENT_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_request_loses_what_is_hop_by_hop() {
        let check = |fields: &[(&'static str, &'static str)], expected: &[&str]| {
            let mut headers = map(fields);
            strip_request(&mut headers);
            assert_eq!(names(&headers), expected, "{fields:?}");
        };
        check(&[("host", "a"), ("accept", "*/*")], &["accept", "host"]);
        check(&[("connection", "close, X-Secret"), ("x-secret", "1"), ("x-other", "1")], &["x-other"]);
        check(&[("connection", "X-One"), ("connection", "x-two,"), ("x-one", "1"), ("x-two", "1")], &[]);
        check(
            &[("connection", "host, content-length"), ("host", "a"), ("content-length", "1")],
            &["content-length", "host"],
        );
        check(&[("te", "trailers"), ("trailer", "x"), ("upgrade", "h2c"), ("keep-alive", "1")], &[]);
        check(&[("proxy-authorization", "x"), ("proxy-connection", "x"), ("proxy", "x")], &[]);
        check(&[("transfer-encoding", "chunked"), ("expect", "100-continue")], &[]);
        check(&[("connection", "\"?,,"), ("x-other", "1")], &["x-other"]);
    }

    #[test]
    fn an_interim_response_keeps_what_is_end_to_end() {
        let mut headers = map(&[
            ("link", "</a>"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
        ]);
        strip_interim(&mut headers);
        assert_eq!(names(&headers), ["link"]);
    }

    #[test]
    fn an_answer_loses_what_is_hop_by_hop_and_a_length_that_chunks_overrule() {
        let check = |fields: &[(&'static str, &'static str)], passes: bool, expected: &[&str]| {
            let mut headers = map(fields);
            assert_eq!(strip_response(&mut headers), passes, "{fields:?}");
            assert_eq!(names(&headers), expected, "{fields:?}");
        };
        check(&[("content-length", "1"), ("proxy-status", "a")], true, &["content-length", "proxy-status"]);
        check(&[("transfer-encoding", "Chunked"), ("content-length", "1")], true, &[]);
        check(&[("transfer-encoding", "gzip, chunked")], false, &[]);
        check(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false, &[]);
        check(&[("connection", "x-hop"), ("x-hop", "1"), ("keep-alive", "timeout=5")], true, &[]);
        check(&[("proxy-authenticate", "x"), ("upgrade", "x"), ("trailer", "x")], true, &[]);
    }
}
