//! Requests that a replica could read in another way than we do: refused by every proxy before one of them is written.
//!
//! What the HTTP library leaves to us: one well-formed `Host` (RFC 9112 §3.2), an absolute target only for that host,
//! `*` only for OPTIONS, and no transfer coding but `chunked`, which is all that the library undoes.

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};

/// What is ambiguous about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    /// No `Host`, which is as good as any.
    NoHost,
    /// More than one `Host`, alike or not.
    SeveralHosts,
    /// A `Host` that is not a host with an optional port.
    BadHost,
    /// The target names another host than `Host` does.
    OtherHost,
    /// The target has no path, or a scheme that is not HTTP's, or is `*` without being asked for OPTIONS.
    Target,
    /// A transfer coding that would be lost on the way.
    Coding,
}

impl Ambiguity {
    /// What is ambiguous about `request`, if anything is.
    pub fn of<B>(request: &Request<B>) -> Option<Ambiguity> {
        let host = match one_host(request.headers()) {
            Ok(host) => host,
            Err(ambiguity) => return Some(ambiguity),
        };
        if !is_target(request.method(), request.uri()) {
            return Some(Ambiguity::Target);
        }
        if let Some(authority) = request.uri().authority()
            && !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
        {
            return Some(Ambiguity::OtherHost);
        }
        (!only_chunked(request.headers())).then_some(Ambiguity::Coding)
    }

    /// What to answer.
    pub fn status(self) -> StatusCode {
        match self {
            Ambiguity::Coding => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What to say, for the client.
    pub fn detail(self) -> &'static str {
        match self {
            Ambiguity::NoHost => "The request has no `Host` field.",
            Ambiguity::SeveralHosts => "The request has more than one `Host` field.",
            Ambiguity::BadHost => "The request's `Host` field is not a host with an optional port.",
            Ambiguity::OtherHost => "The request's target names another host than its `Host` field.",
            Ambiguity::Target => "The request's target is none that its method can have.",
            Ambiguity::Coding => "The only transfer coding of requests is `chunked`.",
        }
    }
}

fn is_target(method: &Method, target: &Uri) -> bool {
    let http = target.scheme_str().is_none_or(|scheme| scheme == "http" || scheme == "https");
    match target.path_and_query().map(|path| path.as_str()) {
        Some("*") => method == Method::OPTIONS,
        Some(_) => http,
        // `host:port`, which only CONNECT asks for.
        None => false,
    }
}

fn one_host(headers: &HeaderMap) -> Result<&HeaderValue, Ambiguity> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Err(Ambiguity::NoHost),
        (Some(_), Some(_)) => Err(Ambiguity::SeveralHosts),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(host),
        (Some(_), None) => Err(Ambiguity::BadHost),
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

    const HOST: (&str, &str) = ("host", "example.com");

    fn check(method: &str, target: &str, fields: &[(&str, &str)], expected: Option<Ambiguity>) {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        assert_eq!(Ambiguity::of(&request), expected, "{method} {target} {fields:?}");
    }

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
            check("GET", "/", &[("host", host)], Some(Ambiguity::BadHost));
        }
        check("GET", "/", &[], Some(Ambiguity::NoHost));
        check("GET", "/", &[HOST, HOST], Some(Ambiguity::SeveralHosts));
        check("GET", "/", &[HOST, ("host", "other.com")], Some(Ambiguity::SeveralHosts));
    }

    #[test]
    fn an_absolute_target_must_name_the_same_host() {
        check("GET", "http://example.com/", &[HOST], None);
        check("GET", "http://EXAMPLE.com/", &[HOST], None);
        check("GET", "http://other.com/", &[HOST], Some(Ambiguity::OtherHost));
        check("GET", "http://example.com:81/", &[HOST], Some(Ambiguity::OtherHost));
        check("GET", "http://me@example.com/", &[HOST], Some(Ambiguity::OtherHost));
    }

    #[test]
    fn a_target_is_a_path_of_http_or_the_asterisk_of_options() {
        check("GET", "/?a", &[HOST], None);
        check("GET", "https://example.com/", &[HOST], None);
        check("GET", "ftp://example.com/", &[HOST], Some(Ambiguity::Target));
        check("GET", "example.com", &[HOST], Some(Ambiguity::Target));
        check("GET", "*", &[HOST], Some(Ambiguity::Target));
        check("OPTIONS", "*", &[HOST], None);
    }

    #[test]
    fn no_coding_but_chunked_gets_through() {
        let coding = |value| ("transfer-encoding", value);
        check("POST", "/", &[HOST, coding("Chunked")], None);
        check("POST", "/", &[HOST, coding("gzip, chunked")], Some(Ambiguity::Coding));
        check("POST", "/", &[HOST, coding("chunked"), coding("chunked")], Some(Ambiguity::Coding));
    }
}
