//! Which requests are let in, as far as their head decides it. Everything refused here is refused before a replica
//! hears of it.
//!
//! Nothing ambiguous, no tunnels, no path that has to be guessed at, and no request that has been here before.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use upstream::Ambiguity;

use crate::{target::BadTarget, via::Pseudonym};

const MAX_FORWARDS: HeaderName = header::MAX_FORWARDS;

/// What this proxy passes on; for `Allow`.
pub(crate) const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// A request that is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Target(BadTarget),
    Ambiguous(Ambiguity),
    /// `CONNECT` and `TRACE`.
    Method,
    Loop,
    /// `OPTIONS` with `Max-Forwards: 0`: we are the final recipient (RFC 9110 §7.6.2).
    Final,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Refusal::Target(_) => StatusCode::BAD_REQUEST,
            Refusal::Ambiguous(ambiguity) => ambiguity.status(),
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
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
            Refusal::Ambiguous(ambiguity) => ambiguity.detail().to_owned(),
            Refusal::Method => "This proxy opens no tunnels and traces no requests.".to_owned(),
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
    if let Some(ambiguity) = Ambiguity::of(request) {
        return Some(Refusal::Ambiguous(ambiguity));
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
    fn what_is_ambiguous_is_refused() {
        check("GET", "/", &[HOST], None);
        check("GET", "/", &[HOST, HOST], Some(400));
        check("GET", "http://other.com/", &[HOST], Some(400));
        check("POST", "/", &[HOST, ("transfer-encoding", "gzip, chunked")], Some(501));
    }

    #[test]
    fn tunnels_traces_and_loops_are_refused() {
        check("CONNECT", "example.com:443", &[HOST], Some(405));
        check("TRACE", "/", &[HOST], Some(405));
        check("BREW", "/", &[HOST], None);
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
