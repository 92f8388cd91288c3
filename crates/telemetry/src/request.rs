//! The request being served. The server layer makes one [`Scope`] a request and keeps it in the current
//! OpenTelemetry [`Context`](opentelemetry::Context); whoever runs inside that context may add to the request's span, its line `request` and its
//! `Server-Timing`, without holding anything.
//!
//! Promises: every call is cheap, never fails, and after the request has ended does nothing.

use std::{sync::Arc, time::Duration};

use opentelemetry::{KeyValue, trace::SpanContext};

/// A handle on the request being served; clones mean the same request.
#[derive(Clone, Debug)]
pub struct Scope(Arc<()>);

impl Scope {
    /// The request that the current context belongs to.
    pub fn current() -> Option<Scope> {
        todo!()
    }
    /// Its path, without the query.
    pub fn path(&self) -> &str {
        todo!()
    }
    /// The route template: `http.route`, and the span's name with it.
    pub fn route(&self, _template: &str) {
        todo!()
    }
    /// Field `cache_hit`.
    pub fn cache_hit(&self, _hit: bool) {
        todo!()
    }
    /// Adds to `queue_ms`: time spent waiting for a place at a replica.
    pub fn add_queue(&self, _wait: Duration) {
        todo!()
    }
    /// Adds to `upstream_ms`: time between an attempt's start and the last byte of its answer.
    pub fn add_upstream(&self, _time: Duration) {
        todo!()
    }
    /// Counts one attempt (field `attempts`), at this replica (field `replica`: the last one tried).
    /// A proxy that makes no attempt (a cache hit) still calls `proxy` so that its fields are there.
    pub fn attempt(&self, _replica: &str) {
        todo!()
    }
    /// Says that this hop is a proxy: `routing_ms`, `queue_ms`, `upstream_ms` and `attempts` are on its line even when zero.
    pub fn proxy(&self) {
        todo!()
    }
    /// Adds to `pool_wait_ms`.
    pub fn add_pool_wait(&self, _wait: Duration) {
        todo!()
    }
    /// Adds to `db_ms` and to the `db` entry of `Server-Timing`.
    pub fn add_db(&self, _time: Duration) {
        todo!()
    }
    /// The `desc` of this hop's entry in `Server-Timing` (a cache: `hit`).
    pub fn timing_description(&self, _text: &'static str) {
        todo!()
    }
    /// The request was refused because a queue or a limit was full: its line is `WARN`.
    pub fn refused(&self) {
        todo!()
    }
    /// Why the request failed: `error.type` on span, metrics and line, `exception.*` with the whole chain of causes on the line.
    pub fn error(&self, _kind: &'static str, _error: &(dyn std::error::Error + 'static)) {
        todo!()
    }
    /// `error.type` alone, where there is no error value.
    pub fn error_type(&self, _kind: &'static str) {
        todo!()
    }
    /// An attribute on the SERVER span.
    pub fn attribute(&self, _attribute: KeyValue) {
        todo!()
    }
    /// A link from the SERVER span (a cache hit → the span that filled the entry).
    pub fn link(&self, _to: SpanContext, _attributes: Vec<KeyValue>) {
        todo!()
    }
    /// The SERVER span's own context, to be remembered and linked to later.
    pub fn span_context(&self) -> SpanContext {
        todo!()
    }
    /// 32 lower-case hex digits.
    pub fn trace_id(&self) -> String {
        todo!()
    }
}
