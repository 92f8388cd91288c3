//! Native spans for what the layers do not cover: a wait, a statement, a command.
use opentelemetry::{Context, KeyValue, trace::SpanContext};
use std::borrow::Cow;
/// A span that is a child of the current context's and ends when this is dropped.
#[derive(Debug)]
pub struct Span {
    context: Context,
}
impl Span {
    /// INTERNAL.
    pub fn internal(_name: impl Into<Cow<'static, str>>, _attributes: Vec<KeyValue>) -> Span {
        todo!()
    }
    /// CLIENT: a call to another process.
    pub fn client(_name: impl Into<Cow<'static, str>>, _attributes: Vec<KeyValue>) -> Span {
        todo!()
    }
    /// INTERNAL, of a new trace of its own, linked to `to` (a revalidation in the background).
    pub fn root_linked(
        _name: impl Into<Cow<'static, str>>,
        _to: SpanContext,
        _attributes: Vec<KeyValue>,
    ) -> Span {
        todo!()
    }
    /// INTERNAL, begun in the past: only what lasted becomes a span (`upstream.wait` only when it waited).
    pub fn internal_since(
        _name: impl Into<Cow<'static, str>>,
        _started: std::time::SystemTime,
        _attributes: Vec<KeyValue>,
    ) -> Span {
        todo!()
    }
    /// Adds an attribute.
    pub fn set(&self, _attribute: KeyValue) {
        todo!()
    }
    /// Marks it failed: `error.type` and status Error with the error's own message.
    pub fn fail(&self, _kind: impl Into<Cow<'static, str>>, _error: &dyn std::error::Error) {
        todo!()
    }
    /// The context in which the work of this span runs: `future.with_context(span.context().clone())`.
    pub fn context(&self) -> &Context {
        &self.context
    }
}
