//! Error bodies that name their trace: `application/problem+json` (RFC 9457).
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
/// A refusal in the making.
#[derive(Clone, Debug)]
pub struct Problem(());
impl Problem {
    /// `title` is the status's reason phrase.
    pub fn new(_status: StatusCode) -> Self {
        todo!()
    }
    /// What went wrong with this request, for its sender; never internals.
    pub fn detail(self, _text: impl Into<String>) -> Self {
        todo!()
    }
    /// An extension member (`field`).
    pub fn with(self, _member: &'static str, _value: impl Into<serde_json::Value>) -> Self {
        todo!()
    }
    /// A header of the answer (`Allow`, `Retry-After`, `Proxy-Status`).
    pub fn header(self, _name: http::HeaderName, _value: http::HeaderValue) -> Self {
        todo!()
    }
    /// The response: `no-store`, with the current request's `trace_id` in its body.
    pub fn response(self) -> Response<Full<Bytes>> {
        todo!()
    }
}
