//! One log line: what is said once and read in two places, standard output and the Collector's files.
//!
//! Promises: one reading of the clock, one `uid` and one set of values for both; the caller makes a
//! [`Record`] and puts it into two bounded queues, and that is all it pays. Never blocks, never fails.

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use opentelemetry::trace::SpanContext;
use tracing::Level;

use crate::{
    filter::Filter,
    queue::Queue,
    record::{Ids, Limits, Record},
};

/// The process's lines, once it has started.
static LINES: OnceLock<Arc<Lines>> = OnceLock::new();

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// Milliseconds, written with three decimals.
    Millis(f64),
    /// Text.
    Text(&'a str),
}

/// One line in the making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// How loud.
    pub(crate) level: Level,
    /// The code that speaks: `load_balancer::proxy`.
    pub(crate) logger: &'static str,
    /// Constant: data goes into the fields.
    pub(crate) message: &'static str,
    /// Whose trace and span ids the line carries.
    pub(crate) span: Option<&'a SpanContext>,
    /// Fields by their names in [`names`](crate::names): OpenTelemetry's, or `throughline.…`.
    pub(crate) fields: &'a [(&'static str, Value<'a>)],
}

/// Whether a line of this level and logger is written at all.
pub(crate) fn enabled(level: Level, logger: &'static str) -> bool {
    lines().is_some_and(|lines| lines.filter.allows(level, logger))
}

/// Writes the line to standard output and to OTLP, from one reading of the clock. Never blocks, never fails.
pub(crate) fn emit(line: &Line<'_>) {
    if let Some(lines) = lines() {
        lines.emit(line);
    }
}

/// The process's lines; none before the start.
pub(crate) fn lines() -> Option<&'static Arc<Lines>> {
    LINES.get()
}

/// Makes these the process's lines; false where it has some already.
pub(crate) fn install(lines: Arc<Lines>) -> bool {
    LINES.set(lines).is_ok()
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) filter: Filter,
    limits: Limits,
    outlets: Outlets,
    /// How many records were made: the second half of `uid`.
    made: AtomicU64,
}

/// The ends of the pipe.
#[derive(Debug)]
pub(crate) struct Outlets {
    stdout: Option<Arc<Queue<Arc<Record>>>>,
    otlp: Option<Arc<Queue<Arc<Record>>>>,
    #[cfg(feature = "testing")]
    memory: Option<fn(&Record)>,
}

impl Outlets {
    pub(crate) fn new(stdout: Arc<Queue<Arc<Record>>>, otlp: Option<Arc<Queue<Arc<Record>>>>) -> Self {
        Outlets {
            stdout: Some(stdout),
            otlp,
            #[cfg(feature = "testing")]
            memory: None,
        }
    }

    /// Only into the tests' memory.
    #[cfg(feature = "testing")]
    pub(crate) fn memory(remember: fn(&Record)) -> Self {
        Outlets { stdout: None, otlp: None, memory: Some(remember) }
    }
}

/// Whether a line may leave the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Standard output and OTLP.
    Everywhere,
    /// What exporting itself has to say, and what the transports say: sending it would make more of it.
    StdoutOnly,
}

impl Lines {
    pub(crate) fn new(filter: Filter, limits: Limits, outlets: Outlets) -> Arc<Self> {
        Arc::new(Lines { filter, limits, outlets, made: AtomicU64::new(0) })
    }

    pub(crate) fn emit(&self, line: &Line<'_>) {
        self.write(self.fill(line), Reach::Everywhere);
    }

    /// For telemetry's own affairs.
    pub(crate) fn emit_to_stdout(&self, line: &Line<'_>) {
        self.write(self.fill(line), Reach::StdoutOnly);
    }

    /// The one reading of the clock, and the number that makes the line's `uid`.
    pub(crate) fn record(&self, level: Level, logger: &'static str, message: Cow<'static, str>) -> Record {
        let made = (SystemTime::now(), self.made.fetch_add(1, Relaxed));
        Record::new(made, level, logger, message, self.limits)
    }

    pub(crate) fn write(&self, record: Record, reach: Reach) {
        #[cfg(feature = "testing")]
        if let Some(remember) = self.outlets.memory {
            remember(&record);
        }
        let record = Arc::new(record);
        if let (Some(otlp), Reach::Everywhere) = (&self.outlets.otlp, reach) {
            otlp.push(Arc::clone(&record));
        }
        if let Some(stdout) = &self.outlets.stdout {
            stdout.push(record);
        }
    }

    pub(crate) fn fill(&self, line: &Line<'_>) -> Record {
        let mut record = self.record(line.level, line.logger, Cow::Borrowed(line.message));
        record.ids = line.span.and_then(Ids::of);
        for &(name, value) in line.fields {
            match value {
                Value::Bool(value) => record.bool(name, value),
                Value::Int(value) => record.int(name, value),
                Value::Millis(value) => record.millis(name, value),
                Value::Text(value) => record.text(name, value),
            }
        }
        record
    }
}
