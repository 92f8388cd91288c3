//! Which requests are let in, as far as their head decides it. Everything refused here is refused before a replica
//! hears of it.
//!
//! What the HTTP library leaves to us: one well-formed `Host` (RFC 9112 §3.2), an absolute target only for that host,
//! no tunnels, no transfer coding but `chunked`, and no request that has been here before.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};

use crate::{target::BadTarget, via::Pseudonym};

const MAX_FORWARDS: HeaderName = header::MAX_FORWARDS;

/// What this proxy passes on; for `Allow`.
pub(crate) const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// A request that is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Target(BadTarget),
    Host(&'static str),
    /// The target names another host than `Host` does.
    OtherHost,
    /// `CONNECT` and `TRACE`.
    Method,
    Coding,
    Loop,
    /// `OPTIONS` with `Max-Forwards: 0`: we are the final recipient (RFC 9110 §7.6.2).
    Final,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Refusal::Target(_) | Refusal::Host(_) | Refusal::OtherHost => StatusCode::BAD_REQUEST,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Coding => StatusCode::NOT_IMPLEMENTED,
            Refusal::Loop => StatusCode::LOOP_DETECTED,
            Refusal::Final => StatusCode::NO_CONTENT,
        }
    }

    /// RFC 9209 §2.3.
    pub(crate) fn proxy_error(self) -> &'static str {
        match self {
            Refusal::Method => "http_request_denied",
            Refusal::Loop => "proxy_loop_detected",
            _ => "http_request_error",
        }
    }

    pub(crate) fn detail(self) -> String {
        match self {
            Refusal::Target(bad) => format!("The request's target is refused: {bad}."),
            Refusal::Host(what) => what.to_owned(),
            Refusal::OtherHost => "The request's target names another host than its `Host` field.".to_owned(),
            Refusal::Method => "This proxy opens no tunnels and traces no requests.".to_owned(),
            Refusal::Coding => "The only transfer coding of requests is `chunked`.".to_owned(),
            Refusal::Loop => {
                "The request has been here before: the upstream leads back to this proxy.".to_owned()
            }
            Refusal::Final => String::new(),
        }
    }
}

/// Says why a request is not passed on, if it is not. `target`: what became of normalising its target.
pub(crate) fn refusal<B>(
    request: &Request<B>,
    target: Option<BadTarget>,
    own: &Pseudonym,
) -> Option<Refusal> {
    let headers = request.headers();
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Some(Refusal::Method);
    }
    if let Some(bad) = target {
        return Some(Refusal::Target(bad));
    }
    let host = match one_host(headers) {
        Ok(host) => host,
        Err(refusal) => return Some(refusal),
    };
    if let Some(authority) = request.uri().authority()
        && !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
    {
        return Some(Refusal::OtherHost);
    }
    if !only_chunked(headers) {
        return Some(Refusal::Coding);
    }
    if own.is_in(headers) {
        return Some(Refusal::Loop);
    }
    (request.method() == Method::OPTIONS && max_forwards(headers) == Some(0)).then_some(Refusal::Final)
}

/// Counts `Max-Forwards` down where it has a meaning (RFC 9110 §7.6.2).
pub(crate) fn count_down(method: &Method, headers: &mut HeaderMap) {
    if method == Method::OPTIONS
        && let Some(left) = max_forwards(headers)
    {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
}

/// Drops fields whose name holds an underscore: servers that turn names into variables take them for others.
pub(crate) fn drop_ambiguous(headers: &mut HeaderMap) {
    let ambiguous: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in ambiguous {
        headers.remove(name);
    }
}

fn max_forwards(headers: &HeaderMap) -> Option<u32> {
    headers.get(MAX_FORWARDS)?.to_str().ok()?.trim().parse().ok()
}

fn one_host(headers: &HeaderMap) -> Result<&HeaderValue, Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Err(Refusal::Host("The request has no `Host` field.")),
        (Some(_), Some(_)) => Err(Refusal::Host("The request has more than one `Host` field.")),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(host),
        (Some(_), None) => {
            Err(Refusal::Host("The request's `Host` field is not a host with an optional port."))
        }
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), without a user and not empty.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !value[colon..].contains(&b']') => (&value[..colon], &value[colon + 1..]),
        _ => (value, &b""[..]),
    };
    let literal = |inner: &[u8]| inner.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte));
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
    let host = match host {
        [] => false,
        [b'[', inner @ .., b']'] => !inner.is_empty() && literal(inner),
        _ => host.iter().all(name),
    };
    host && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

fn only_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    }

    fn check(method: &str, target: &str, fields: &[(&str, &str)], expected: Option<u16>) {
        let got = refusal(&request(method, target, fields), None, &Pseudonym::of(1));
        assert_eq!(got.map(|refusal| refusal.status().as_u16()), expected, "{method} {target} {fields:?}");
    }

    const HOST: (&str, &str) = ("host", "example.com");

    #[test]
    fn exactly_one_well_formed_host_is_asked_for() {
        for host in
            ["example.com", "example.com:80", "127.0.0.1:8080", "[::1]", "[::1]:80", "a_b", "example.com:"]
        {
            check("GET", "/", &[("host", host)], None);
        }
        for host in
            ["", "me@example.com", "a b", "a/b", "a,b@c", ":80", "a:b", "a:123456", "[]", "[x]", "a:1:2"]
        {
            check("GET", "/", &[("host", host)], Some(400));
        }
        check("GET", "/", &[], Some(400));
        check("GET", "/", &[HOST, HOST], Some(400));
    }

    #[test]
    fn an_absolute_target_must_name_the_same_host() {
        check("GET", "http://example.com/", &[HOST], None);
        check("GET", "http://EXAMPLE.com/", &[HOST], None);
        check("GET", "http://other.com/", &[HOST], Some(400));
        check("GET", "http://example.com:81/", &[HOST], Some(400));
        check("GET", "http://me@example.com/", &[HOST], Some(400));
    }

    #[test]
    fn tunnels_traces_loops_and_foreign_codings_are_refused() {
        check("CONNECT", "example.com:443", &[HOST], Some(405));
        check("TRACE", "/", &[HOST], Some(405));
        check("BREW", "/", &[HOST], None);
        check("POST", "/", &[HOST, ("transfer-encoding", "Chunked")], None);
        check("POST", "/", &[HOST, ("transfer-encoding", "gzip, chunked")], Some(501));
        check(
            "POST",
            "/",
            &[HOST, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            Some(501),
        );
        let own = Pseudonym::of(1);
        let mut again = request("GET", "/", &[HOST]);
        own.stamp(again.headers_mut(), http::Version::HTTP_11);
        assert_eq!(refusal(&again, None, &own), Some(Refusal::Loop));
        assert_eq!(refusal(&again, None, &Pseudonym::of(2)), None);
    }

    #[test]
    fn options_is_ours_to_answer_when_its_forwards_are_used_up() {
        check("OPTIONS", "/", &[HOST, ("max-forwards", "0")], Some(204));
        check("OPTIONS", "*", &[HOST, ("max-forwards", "1")], None);
        check("GET", "/", &[HOST, ("max-forwards", "0")], None);
        let left = |method: &str, value: &str| {
            let mut request = request(method, "/", &[("max-forwards", value)]);
            let method = request.method().clone();
            count_down(&method, request.headers_mut());
            request.headers()["max-forwards"].to_str().expect("text").to_owned()
        };
        assert_eq!(left("OPTIONS", "2"), "1");
        assert_eq!(left("GET", "2"), "2");
        assert_eq!(left("OPTIONS", "many"), "many");
    }

    #[test]
    fn names_with_underscores_are_dropped() {
        let mut headers = request("GET", "/", &[("x_real_ip", "1"), ("x-real", "1"), HOST]).headers().clone();
        drop_ambiguous(&mut headers);
        assert!(!headers.contains_key("x_real_ip") && headers.len() == 2);
    }
}
