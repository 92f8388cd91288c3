//! Native spans for what the layers do not cover: a wait, a statement, a command.
//!
//! Promises: a span ends when its value is dropped, on whatever path, whoever still holds its context.

use std::{borrow::Cow, error::Error, time::SystemTime};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _},
};

use crate::{names, propagate, start::tracer};

/// A span that is a child of the current context's and ends when this is dropped.
#[derive(Debug)]
#[must_use = "a span ends when it is dropped: hold it for as long as the work takes"]
pub struct Span {
    context: Context,
}

impl Span {
    /// INTERNAL.
    pub fn internal(name: impl Into<Cow<'static, str>>, attributes: Vec<KeyValue>) -> Span {
        Span::begin(name.into(), SpanKind::Internal, attributes, None)
    }

    /// CLIENT: a call to another process.
    pub fn client(name: impl Into<Cow<'static, str>>, attributes: Vec<KeyValue>) -> Span {
        Span::begin(name.into(), SpanKind::Client, attributes, None)
    }

    /// PRODUCER: leaves work for another process.
    pub fn producer(name: impl Into<Cow<'static, str>>, attributes: Vec<KeyValue>) -> Span {
        Span::begin(name.into(), SpanKind::Producer, attributes, None)
    }

    /// CONSUMER, a child of `parent`, which another process left: does that work, in the same trace.
    pub fn consumer(
        name: impl Into<Cow<'static, str>>,
        parent: SpanContext,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Consumer).with_attributes(attributes);
        let parent = propagate::carried_on(&Context::new().with_remote_span_context(parent));
        Span::start(builder, &parent)
    }

    /// CONSUMER, of a new trace of its own, linked to `to` where there is one: does that work again.
    pub fn consumer_linked(
        name: impl Into<Cow<'static, str>>,
        to: Option<SpanContext>,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let links = to.into_iter().filter(SpanContext::is_valid).map(|to| Link::new(to, Vec::new(), 0));
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Consumer)
            .with_attributes(attributes)
            .with_links(links.collect());
        Span::start(builder, &Context::new())
    }

    /// INTERNAL, of a new trace of its own, linked to `to` (a revalidation in the background). What runs in its
    /// context belongs to no request.
    pub fn root_linked(
        name: impl Into<Cow<'static, str>>,
        to: SpanContext,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let links = if to.is_valid() { vec![Link::new(to, Vec::new(), 0)] } else { Vec::new() };
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Internal)
            .with_attributes(attributes)
            .with_links(links);
        Span::start(builder, &Context::new())
    }

    /// INTERNAL, begun in the past: only what lasted becomes a span (`upstream.wait` only when it waited).
    pub fn internal_since(
        name: impl Into<Cow<'static, str>>,
        started: SystemTime,
        attributes: Vec<KeyValue>,
    ) -> Span {
        Span::begin(name.into(), SpanKind::Internal, attributes, Some(started))
    }

    /// Adds an attribute.
    pub fn set(&self, attribute: KeyValue) {
        self.context.span().set_attribute(attribute);
    }

    /// Marks it failed: `error.type` and status Error with the error's own message.
    pub fn fail(&self, kind: impl Into<Cow<'static, str>>, error: &dyn Error) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new(names::ERROR_TYPE, kind.into()));
        span.set_status(Status::error(error.to_string()));
    }

    /// The context in which the work of this span runs: `future.with_context(span.context().clone())`.
    pub fn context(&self) -> &Context {
        &self.context
    }

    fn begin(
        name: Cow<'static, str>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
        started: Option<SystemTime>,
    ) -> Span {
        let mut builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
        builder.start_time = started;
        Span::start(builder, &Context::current())
    }

    fn start(builder: SpanBuilder, parent: &Context) -> Span {
        let span = tracer().build_with_context(builder, parent);
        let context = parent.with_span(span);
        if parent.span().span_context().is_valid() {
            return Span { context };
        }
        Span { context: propagate::begun_here(&context) }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // Clones of the context may outlive the work; the span must not.
        self.context.span().end();
    }
}
