//! Values for the tables of the pure modules.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request::Parts};
use telemetry::SpanContext;

use crate::{asked::Asked, entry::Head, policy::Policy, storing::may_store};

/// Fields in order, repeated names as repeated lines.
pub(crate) fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        fields.append(name, HeaderValue::from_str(value).expect("a field value"));
    }
    fields
}

/// A moment, in seconds since the epoch.
pub(crate) fn at(second: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(second)
}

/// The head of a request, to host `e` unless it says another.
pub(crate) fn request(method: Method, target: &str, lines: &[(&str, &str)]) -> Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = method;
    parts.uri = target.parse().expect("a target");
    parts.headers = fields(lines);
    parts.headers.entry("host").or_insert(HeaderValue::from_static("e"));
    parts
}

/// A request that may be answered from the store.
pub(crate) fn asked(method: Method, target: &str, lines: &[(&str, &str)]) -> Asked {
    Asked::take(&mut request(method, target, lines), false).expect("a request that a cache may answer")
}

/// The head of an answer to a request, stored as it arrived, at once.
pub(crate) fn head(asked: &Asked, answer: &[(&str, &str)], arrived: SystemTime) -> Head {
    let (status, answer) = (StatusCode::OK, fields(answer));
    let storable = may_store(asked, Policy::default(), status, &answer, arrived, arrived).expect("storable");
    Head::new(status, answer, storable, SpanContext::NONE)
}
