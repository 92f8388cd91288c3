//! What is told of a run: its CONSUMER span, its line `task` and its metrics, around the function that does the work.
//!
//! The first run goes on with the trace of whoever enqueued the task; a later one begins a trace of its own, linked to the
//! first run's, so that no trace stays open for hours.

use std::{
    borrow::Cow,
    sync::LazyLock,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
    trace::TraceContextExt as _,
};
use store::{Ended, Kind, State, Task, Timestamp};
use telemetry::{Carried, Context, Span, SpanContext, milliseconds, names};

use crate::outcome::Failure;

/// The logger of the line, as `request` is that of the services'.
const LOGGER: &str = "worker::task";
/// Bounds, in seconds: a run takes milliseconds, a wait may take hours.
const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0];
/// A kind that we do not know, as a label with bounded values.
const OTHER: &str = "_OTHER";

static RUNS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter("worker").u64_counter(names::METRIC_TASK_RUNS).with_unit("{run}").build()
});
static DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| seconds(names::METRIC_TASK_DURATION));
static WAIT: LazyLock<Histogram<f64>> = LazyLock::new(|| seconds(names::METRIC_TASK_WAIT));

fn seconds(name: &'static str) -> Histogram<f64> {
    let meter = telemetry::meter("worker");
    meter.f64_histogram(name).with_unit("s").with_boundaries(SECONDS.to_vec()).build()
}

/// How a run ended, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Its task is done.
    Done,
    /// Its task waits for another run.
    Failed,
    /// Its task is dead.
    Dead,
    /// It was no longer this worker's to end.
    Lost,
}

/// One run, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Telling {
    span: Span,
    kind: &'static str,
    task: String,
    run: u32,
    wait: Duration,
    begun: Instant,
}

impl Telling {
    /// A run begins.
    pub(crate) fn begin(task: &Task) -> Self {
        let kind = label(task);
        let wait = Timestamp::now().since(task.run_at);
        let name: Cow<'static, str> = format!("process {kind}").into();
        let attributes = vec![
            KeyValue::new(names::MESSAGING_SYSTEM, names::TASK_SYSTEM),
            KeyValue::new(names::MESSAGING_OPERATION_NAME, "process"),
            KeyValue::new(names::MESSAGING_OPERATION_TYPE, "process"),
            KeyValue::new(names::MESSAGING_DESTINATION_NAME, kind),
            KeyValue::new(names::MESSAGING_MESSAGE_ID, task.id.to_string()),
            KeyValue::new(names::TASK_RUN, i64::from(task.runs)),
            KeyValue::new(names::TASK_WAIT_MS, milliseconds(wait)),
        ];
        let span = match enqueued_by(task) {
            Some(parent) if task.runs <= 1 => Span::consumer(name, parent, attributes),
            enqueued_by => Span::consumer_linked(name, first_run(task).or(enqueued_by), attributes),
        };
        Self { span, kind, task: task.id.to_string(), run: task.runs, wait, begun: Instant::now() }
    }

    /// Where the work runs.
    pub(crate) fn context(&self) -> &Context {
        self.span.context()
    }

    /// `traceparent` of the run's span.
    pub(crate) fn traceparent(&self) -> Option<String> {
        Carried::of(self.context()).map(|carried| carried.traceparent)
    }

    /// The run has ended: span, line, metrics.
    pub(crate) fn end(self, told: Told, failure: Option<&Failure>) {
        let took = self.begun.elapsed();
        self.span.set(KeyValue::new(names::TASK_OUTCOME, told.as_str()));
        if let Some(failure) = failure {
            self.span.fail(failure.kind.clone(), &Message(&failure.error));
        }
        let attached = self.context().clone().attach();
        line(self.kind, &self.task, self.run, told, (Some(self.wait), Some(took)), failure);
        drop(attached);
        count(self.kind, told);
        let kind = [KeyValue::new(names::MESSAGING_DESTINATION_NAME, self.kind)];
        DURATION.record(took.as_secs_f64(), &kind);
        WAIT.record(self.wait.as_secs_f64(), &kind);
    }
}

/// A task's last run was given up by its worker without a word: it is dead, and this is its line.
pub(crate) fn dead(task: &Task) {
    let enqueued_by = first_run(task).or_else(|| enqueued_by(task));
    let context = enqueued_by.map_or_else(Context::new, |span| Context::new().with_remote_span_context(span));
    let _attached = context.attach();
    let error = task.last_error.clone().unwrap_or_default();
    let failure = Failure::lasting("lease_expired", error);
    line(label(task), &task.id.to_string(), task.runs, Told::Dead, (None, None), Some(&failure));
    count(label(task), Told::Dead);
}

fn line(
    kind: &str,
    task: &str,
    run: u32,
    told: Told,
    (wait, took): (Option<Duration>, Option<Duration>),
    failure: Option<&Failure>,
) {
    let (outcome, run) = (told.as_str(), i64::from(run));
    let (wait_ms, run_ms) = (wait.map(milliseconds), took.map(milliseconds));
    let (error_type, message) =
        (failure.map(|failure| &*failure.kind), failure.map(|failure| failure.error.as_str()));
    match told {
        Told::Done => tracing::info!(target: LOGGER, kind, task, run, outcome, wait_ms, run_ms, "task"),
        Told::Failed | Told::Lost => {
            tracing::warn!(target: LOGGER, kind, task, run, outcome, wait_ms, run_ms, error.type = error_type, exception.message = message, "task");
        }
        Told::Dead => {
            tracing::error!(target: LOGGER, kind, task, run, outcome, wait_ms, run_ms, error.type = error_type, exception.message = message, "task");
        }
    }
}

fn count(kind: &'static str, told: Told) {
    let labels = [
        KeyValue::new(names::MESSAGING_DESTINATION_NAME, kind),
        KeyValue::new(names::TASK_OUTCOME, told.as_str()),
    ];
    RUNS.add(1, &labels);
}

fn enqueued_by(task: &Task) -> Option<SpanContext> {
    task.trace.as_ref().and_then(Carried::span)
}

/// The earliest run whose end was written; none where there is no such run before this one.
fn first_run(task: &Task) -> Option<SpanContext> {
    Carried { traceparent: task.first_run.clone()?, tracestate: None }.span()
}

fn label(task: &Task) -> &'static str {
    task.kind.parse().map_or(OTHER, Kind::as_str)
}

impl Told {
    pub(crate) fn of(ended: Ended) -> Self {
        match ended {
            Ended::Now(State::Dead) => Told::Dead,
            Ended::Now(State::Queued) => Told::Failed,
            Ended::Now(_) => Told::Done,
            Ended::Lost => Told::Lost,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Told::Done => "done",
            Told::Failed => "failed",
            Told::Dead => "dead",
            Told::Lost => "lost",
        }
    }
}

/// A failure's text as the error that a span takes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Message<'a>(&'a str);
