//! The request being served. The server layer makes one [`Scope`] a request and keeps it in the current
//! OpenTelemetry [`Context`]; whoever runs inside that context may add to the request's span, its line `request` and its
//! `Server-Timing`, without holding anything.
//!
//! Promises: every call is cheap, never fails, and after the request has ended does nothing. Refuses: deciding what
//! is written in the end; that is the server layer's.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanContext, TraceId},
};
use opentelemetry_sdk::trace::Span as SdkSpan;

use crate::exception::Exception;

/// A handle on the request being served; clones mean the same request.
#[derive(Clone)]
pub struct Scope(Arc<Inner>);

struct Inner {
    method: &'static str,
    path: Arc<str>,
    span_context: SpanContext,
    random: bool,
    started: Instant,
    /// `None` once the request has ended.
    told: Mutex<Option<Told>>,
}

/// What layers and handlers have told so far, and the SERVER span itself.
pub(crate) struct Told {
    pub(crate) span: SdkSpan,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) cache_hit: Option<bool>,
    pub(crate) is_proxy: bool,
    pub(crate) has_database: bool,
    pub(crate) queue: Duration,
    pub(crate) upstream: Duration,
    asking_since: Option<Instant>,
    pub(crate) attempts: i64,
    pub(crate) replica: Option<Box<str>>,
    pub(crate) pool_wait: Option<Duration>,
    pub(crate) db: Option<Duration>,
    querying_since: Option<Instant>,
    pub(crate) timing_description: Option<&'static str>,
    pub(crate) refused: bool,
    pub(crate) error_type: Option<&'static str>,
    pub(crate) exception: Option<Exception>,
}

impl Scope {
    /// The request that the current context belongs to.
    pub fn current() -> Option<Scope> {
        Context::map_current(|context| context.get::<Scope>().cloned())
    }

    /// Its method; `_OTHER` for one that HTTP does not know.
    pub fn method(&self) -> &str {
        self.0.method
    }

    /// Its path, without the query, as it is written down: bounded, and nothing in it but printable ASCII.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The route template: `http.route`, and the span's name with it.
    pub fn route(&self, template: &str) {
        self.tell(|told| told.route = Some(template.into()));
    }

    /// Field `cache_hit`.
    pub fn cache_hit(&self, hit: bool) {
        self.tell(|told| told.cache_hit = Some(hit));
    }

    /// Adds to `queue_ms`: time spent waiting for a place at a replica.
    pub fn add_queue(&self, wait: Duration) {
        self.tell(|told| told.queue += wait);
    }

    /// An attempt begins. Its time counts in `upstream_ms` even if the request ends before [`add_upstream`](Self::add_upstream)
    /// is told how long it took: a client that leaves does not wait for it.
    pub fn upstream_begins(&self) {
        self.tell(|told| told.asking_since = Some(Instant::now()));
    }

    /// Adds to `upstream_ms`: time between an attempt's start and the last byte of its answer.
    pub fn add_upstream(&self, time: Duration) {
        self.tell(|told| {
            told.asking_since = None;
            told.upstream += time;
        });
    }

    /// Counts one attempt (field `attempts`), at this replica (field `replica`: the last one tried).
    /// A proxy that makes no attempt (a cache hit) still calls `proxy` so that its fields are there.
    pub fn attempt(&self, replica: &str) {
        self.tell(|told| {
            told.is_proxy = true;
            told.attempts += 1;
            told.replica = Some(replica.into());
        });
    }

    /// Says that this hop is a proxy: `routing_ms`, `queue_ms`, `upstream_ms` and `attempts` are on its line even when zero.
    pub fn proxy(&self) {
        self.tell(|told| told.is_proxy = true);
    }

    /// Adds to `pool_wait_ms`.
    pub fn add_pool_wait(&self, wait: Duration) {
        self.tell(|told| *told.pool_wait.get_or_insert_default() += wait);
    }

    /// A statement begins; it counts in `db_ms` as an attempt does in `upstream_ms`.
    pub fn db_begins(&self) {
        self.tell(|told| told.querying_since = Some(Instant::now()));
    }

    /// Adds to `db_ms` and to the `db` entry of `Server-Timing`.
    pub fn add_db(&self, time: Duration) {
        self.tell(|told| {
            told.querying_since = None;
            *told.db.get_or_insert_default() += time;
        });
    }

    /// The `desc` of this hop's entry in `Server-Timing` (a cache: `hit`); a token of RFC 9110 §5.6.2.
    pub fn timing_description(&self, text: &'static str) {
        self.tell(|told| told.timing_description = Some(text));
    }

    /// The request was refused because a queue or a limit was full: its line is `WARN`.
    pub fn refused(&self) {
        self.tell(|told| told.refused = true);
    }

    /// Why the request failed: `error.type` on span, metrics and line, `exception.*` with the whole chain of causes on the line.
    pub fn error(&self, kind: &'static str, error: &(dyn Error + 'static)) {
        self.tell(|told| {
            told.error_type = Some(kind);
            told.exception = Some(Exception::of(error));
        });
    }

    /// `error.type` alone, where there is no error value.
    pub fn error_type(&self, kind: &'static str) {
        self.tell(|told| told.error_type = Some(kind));
    }

    /// An attribute on the SERVER span.
    pub fn attribute(&self, attribute: KeyValue) {
        self.tell(|told| told.span.set_attribute(attribute));
    }

    /// A link from the SERVER span (a cache hit → the span that filled the entry).
    pub fn link(&self, to: SpanContext, attributes: Vec<KeyValue>) {
        self.tell(|told| told.span.add_link(to, attributes));
    }

    /// The SERVER span's own context, to be remembered and linked to later.
    pub fn span_context(&self) -> SpanContext {
        self.0.span_context.clone()
    }

    /// 32 lower-case hex digits.
    pub fn trace_id(&self) -> String {
        self.0.span_context.trace_id().to_string()
    }

    /// A request that starts now. `random`: its trace id is random (W3C trace-flags).
    pub(crate) fn new(method: &'static str, path: Arc<str>, told: Told, random: bool) -> Scope {
        Scope(Arc::new(Inner {
            method,
            path,
            span_context: told.span.span_context().clone(),
            random,
            started: Instant::now(),
            told: Mutex::new(Some(told)),
        }))
    }

    /// Whether the trace id of this request is known to be random.
    pub(crate) fn is_random(&self) -> bool {
        self.0.random
    }

    /// The same without a copy.
    pub(crate) fn own_span_context(&self) -> &SpanContext {
        &self.0.span_context
    }

    /// Whether the request belongs to this trace.
    pub(crate) fn is_of_trace(&self, trace_id: TraceId) -> bool {
        self.0.span_context.trace_id() == trace_id
    }

    /// Time since the request arrived.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Reads what has been told so far; `None` once the request has ended.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&Told) -> T) -> Option<T> {
        self.told().as_ref().map(read)
    }

    /// Takes everything told, once: whoever gets it must end the span. `None` for every later caller.
    pub(crate) fn end(&self) -> Option<Told> {
        let mut told = self.told().take()?;
        // What outlives the request counts up to here.
        if let Some(since) = told.asking_since {
            told.upstream += since.elapsed();
        }
        if let Some(since) = told.querying_since {
            *told.db.get_or_insert_default() += since.elapsed();
        }
        Some(told)
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) {
        if let Some(told) = self.told().as_mut() {
            change(told);
        }
    }

    fn told(&self) -> MutexGuard<'_, Option<Told>> {
        // Nothing panics while it holds the lock for long enough to leave a half-made value behind.
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("method", &self.0.method)
            .field("path", &self.0.path)
            .field("trace_id", &self.0.span_context.trace_id())
            .finish_non_exhaustive()
    }
}

impl Told {
    /// Nothing yet but the SERVER span; at a proxy no cache has been hit.
    pub(crate) fn new(span: SdkSpan, is_proxy: bool, has_database: bool) -> Told {
        Told {
            span,
            route: None,
            cache_hit: is_proxy.then_some(false),
            is_proxy,
            has_database,
            queue: Duration::ZERO,
            upstream: Duration::ZERO,
            asking_since: None,
            attempts: 0,
            replica: None,
            pool_wait: None,
            db: None,
            querying_since: None,
            timing_description: None,
            refused: false,
            error_type: None,
            exception: None,
        }
    }
}
