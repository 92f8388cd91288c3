//! A call of a database: a CLIENT span within a request, and `db.client.operation.duration` in any case.
//!
//! Promises: it ends when dropped, also when whoever waited for it has left: then it was `cancelled`. Refuses: values; what
//! is told of it is what its caller names. Outside of a request there is no span: it would be a trace of its own.

use std::{
    borrow::Cow,
    error::Error,
    time::{Duration, Instant},
};

use opentelemetry::{Context, KeyValue, metrics::Histogram, trace::TraceContextExt as _};

use crate::{Span, names};

/// Calls of one database, and how long they take. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    attributes: Vec<KeyValue>,
    duration: Histogram<f64>,
}

/// A call that runs.
#[derive(Debug)]
#[must_use = "a call ends when it is dropped: hold it for as long as it takes"]
pub struct DatabaseCall {
    attributes: Vec<KeyValue>,
    span: Option<Span>,
    duration: Histogram<f64>,
    started: Instant,
    kind: Option<Cow<'static, str>>,
}

impl Database {
    /// `attributes` say which one (`db.system.name`, `server.address`). Made after telemetry has started.
    pub fn new(library: &'static str, attributes: Vec<KeyValue>) -> Database {
        let duration = crate::meter(library)
            .f64_histogram(names::METRIC_DB_DURATION)
            .with_unit("s")
            .with_boundaries(names::DB_SECONDS.to_vec())
            .build();
        Database { attributes, duration }
    }

    /// Begins one: `told` is told of it everywhere, `in_span` in its span alone.
    pub fn call(
        &self,
        name: impl Into<Cow<'static, str>>,
        told: impl IntoIterator<Item = KeyValue>,
        in_span: impl FnOnce() -> Option<KeyValue>,
    ) -> DatabaseCall {
        let mut attributes = self.attributes.clone();
        attributes.extend(told);
        let span = is_in_request().then(|| {
            let attributes = attributes.iter().cloned().chain(in_span());
            Span::client(name, attributes.collect())
        });
        DatabaseCall {
            attributes,
            span,
            duration: self.duration.clone(),
            started: Instant::now(),
            kind: Some("cancelled".into()),
        }
    }
}

impl DatabaseCall {
    /// It has its answer.
    pub fn succeeded(&mut self) {
        self.kind = None;
    }

    /// It has failed; `code` is the database's own word for it.
    pub fn failed(&mut self, kind: Cow<'static, str>, code: Option<String>, error: &dyn Error) {
        let code = code.map(|code| KeyValue::new(names::DB_RESPONSE_STATUS_CODE, code));
        if let Some(span) = &self.span {
            span.fail(kind.clone(), error);
            code.iter().for_each(|code| span.set(code.clone()));
        }
        self.attributes.extend(code);
        self.kind = Some(kind);
    }

    /// Since it began.
    pub fn took(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for DatabaseCall {
    fn drop(&mut self) {
        if let Some(kind) = self.kind.take() {
            let kind = KeyValue::new(names::ERROR_TYPE, kind);
            if let Some(span) = &self.span {
                span.set(kind.clone());
            }
            self.attributes.push(kind);
        }
        self.duration.record(self.started.elapsed().as_secs_f64(), &self.attributes);
    }
}

/// Whether what runs now belongs to a trace.
pub fn is_in_request() -> bool {
    Context::map_current(|context| context.span().span_context().is_valid())
}
