//! Error bodies that name their trace: `application/problem+json` (RFC 9457).
//!
//! Promises: the body says what went wrong with this request and under which trace to look for more; no cache keeps it.
//! Refuses: internals. What an error's causes were is on the log line, not here.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use serde_json::{Map, Value};

use crate::Scope;

/// A refusal in the making.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    /// `title` is the status's reason phrase.
    pub fn new(status: StatusCode) -> Self {
        let mut members = Map::new();
        members.insert("type".into(), "about:blank".into());
        members.insert("title".into(), status.canonical_reason().unwrap_or("Error").into());
        members.insert("status".into(), status.as_u16().into());
        Problem { status, members, headers: HeaderMap::new() }
    }

    /// What went wrong with this request, for its sender; never internals.
    pub fn detail(self, text: impl Into<String>) -> Self {
        self.with("detail", text.into())
    }

    /// An extension member (`field`).
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.members.insert(member.into(), value.into());
        self
    }

    /// A header of the answer (`Allow`, `Retry-After`, `Proxy-Status`); a further one of the same name is added.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The response: `no-store`, with the current request's `trace_id` in its body.
    pub fn response(self) -> Response<Full<Bytes>> {
        self.response_of(Scope::current().as_ref())
    }

    /// The response within a request that need not be the current one.
    pub(crate) fn response_of(mut self, scope: Option<&Scope>) -> Response<Full<Bytes>> {
        if let Some(scope) = scope {
            self.members.insert("trace_id".into(), scope.trace_id().into());
        }
        let body = Bytes::from(Value::Object(self.members).to_string());
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ALLOW, VIA};
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_problem_is_json_that_nobody_keeps() {
        let response = Problem::new(StatusCode::METHOD_NOT_ALLOWED)
            .detail("a \"quoted\" \n reason")
            .with("field", "guest")
            .header(ALLOW, HeaderValue::from_static("GET"))
            .header(VIA, HeaderValue::from_static("1.1 a"))
            .header(VIA, HeaderValue::from_static("1.1 b"))
            .response();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[ALLOW], "GET");
        assert_eq!(response.headers().get_all(VIA).iter().count(), 2);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Method Not Allowed", "status": 405,
            "detail": "a \"quoted\" \n reason", "field": "guest",
        });
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            expected,
            "no trace_id outside of a request"
        );
    }
}
