//! What was recorded, as values: spans and log lines of this process by their trace id.
//! Tests run side by side in one process: give each request a trace of its own and ask for that.
//!
//! The same layers as in production, down to the JSON of the line, but no queue, no network and no standard output:
//! what was recorded is here at once. Levels: `DEBUG` and above.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanKind, Status, TracerProvider as _},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, Span, SpanData, SpanProcessor},
};

use crate::{
    json::Process,
    line::{Lines, Outlets},
    record::{Limits, Record},
    start,
};

/// How long is waited for what ends by itself.
const PATIENCE: Duration = Duration::from_secs(10);

static CAPTURED: LazyLock<Captured> = LazyLock::new(Captured::default);
static PROCESS: LazyLock<Process> = LazyLock::new(|| Process::new("test", "test", "0000000000000000"));

/// One ended span.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedSpan {
    /// Its name.
    pub name: String,
    /// `SERVER`, `CLIENT`, `INTERNAL`, `PRODUCER`, `CONSUMER`.
    pub kind: &'static str,
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits, all zero for a root.
    pub parent_id: String,
    /// Attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// (trace id, span id) of each link.
    pub links: Vec<(String, String)>,
    /// Status is Error.
    pub failed: bool,
    /// Seconds.
    pub duration: f64,
}

/// Starts capturing instead of exporting (once a process; further calls are free).
pub fn capture() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let tracers = SdkTracerProvider::builder().with_span_processor(Remember).build();
        let filter = "debug".parse().expect("a level is a filter");
        let lines = Lines::new(filter, Limits::default(), Outlets::memory(remember));
        start::install(tracers.tracer("throughline"), lines);
    });
}

/// The ended spans of a trace, by end time.
pub fn spans(trace_id: &str) -> Vec<RecordedSpan> {
    CAPTURED.lock().get(trace_id).map(|trace| trace.spans.clone()).unwrap_or_default()
}

/// The flat log lines of a trace, in order.
pub fn lines(trace_id: &str) -> Vec<serde_json::Value> {
    CAPTURED.lock().get(trace_id).map(|trace| trace.lines.clone()).unwrap_or_default()
}

/// The first ended span of that name in the trace, waiting for it to end.
///
/// # Panics
/// When it has not ended after ten seconds, naming those that have.
pub fn wait_for_span(trace_id: &str, name: &str) -> RecordedSpan {
    CAPTURED.wait(trace_id, &format!("span `{name}`"), |trace| {
        trace.spans.iter().find(|span| span.name == name).cloned()
    })
}

/// The first log line with that message in the trace, waiting for it to be written.
///
/// # Panics
/// When it has not been written after ten seconds, naming those that have.
pub fn wait_for_line(trace_id: &str, message: &str) -> serde_json::Value {
    CAPTURED.wait(trace_id, &format!("line `{message}`"), |trace| {
        trace.lines.iter().find(|line| line["message"] == message).cloned()
    })
}

/// A `traceparent` of a fresh, sampled trace and its trace id.
pub fn traceparent() -> (String, String) {
    let (trace, parent) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4().as_u64_pair().1);
    let trace = trace.simple().to_string();
    (format!("00-{trace}-{parent:016x}-01"), trace)
}

/// Everything captured, by trace.
#[derive(Default)]
struct Captured {
    traces: Mutex<BTreeMap<String, Trace>>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Trace {
    spans: Vec<RecordedSpan>,
    lines: Vec<serde_json::Value>,
}

impl Captured {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Trace>> {
        // A test that failed inside a wait poisons nothing of the others'.
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, trace_id: String, add: impl FnOnce(&mut Trace)) {
        add(self.lock().entry(trace_id).or_default());
        self.more.notify_all();
    }

    fn wait<T>(&self, trace_id: &str, what: &str, find: impl Fn(&Trace) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut traces = self.lock();
        loop {
            let trace = traces.get(trace_id);
            if let Some(found) = trace.and_then(&find) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seen = trace.map(Trace::summary).unwrap_or_default();
                drop(traces);
                panic!("no {what} in trace {trace_id} after {PATIENCE:?}; seen:{seen}");
            }
            (traces, _) = self.more.wait_timeout(traces, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Trace {
    fn summary(&self) -> String {
        let mut text = String::new();
        for span in &self.spans {
            // Writing to a string does not fail.
            let _ = write!(text, "\n  span {} {}", span.kind, span.name);
        }
        for line in &self.lines {
            let _ = write!(text, "\n  line {line}");
        }
        text
    }
}

/// The span processor of tests.
#[derive(Debug)]
struct Remember;

impl SpanProcessor for Remember {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let span = RecordedSpan::from(span);
        CAPTURED.add(span.trace_id.clone(), |trace| trace.spans.push(span));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn remember(record: &Record) {
    let Some(ids) = record.ids else { return };
    let mut text = Vec::new();
    PROCESS.write(&mut text, record);
    let line = serde_json::from_slice(&text).expect("a line is JSON");
    CAPTURED.add(ids.trace.to_string(), |trace| trace.lines.push(line));
}

impl From<SpanData> for RecordedSpan {
    fn from(span: SpanData) -> Self {
        let ids = |context: &SpanContext| (context.trace_id().to_string(), context.span_id().to_string());
        let (trace_id, span_id) = ids(&span.span_context);
        let attribute = |pair: opentelemetry::KeyValue| (pair.key.to_string(), pair.value.to_string());
        RecordedSpan {
            name: span.name.into_owned(),
            kind: match span.span_kind {
                SpanKind::Server => "SERVER",
                SpanKind::Client => "CLIENT",
                SpanKind::Internal => "INTERNAL",
                SpanKind::Producer => "PRODUCER",
                SpanKind::Consumer => "CONSUMER",
            },
            trace_id,
            span_id,
            parent_id: span.parent_span_id.to_string(),
            attributes: span.attributes.into_iter().map(attribute).collect(),
            links: span.links.iter().map(|link| ids(&link.span_context)).collect(),
            failed: matches!(span.status, Status::Error { .. }),
            // The clock may have been set back meanwhile.
            duration: span.end_time.duration_since(span.start_time).unwrap_or_default().as_secs_f64(),
        }
    }
}
