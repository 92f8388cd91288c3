//! Loss, counted: of everything that was recorded, how much was exported and how much was dropped.
//!
//! Promises: each item is counted once when it is recorded and once when its fate is known, so that after the stop
//! recorded = exported + dropped, exactly, for every signal. *Exported* means confirmed by the receiver; what it
//! may have taken without saying so counts as dropped.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{line::Value, names};

/// What was recorded, exported and dropped since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Ended, sampled spans.
    pub spans: Count,
    /// Log lines for the Collector.
    pub log_lines: Count,
    /// Metric points: every point of every collection.
    pub metric_points: Count,
    /// Log lines for standard output.
    pub stdout_lines: Count,
}

/// One signal's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Handed to the pipeline.
    pub recorded: u64,
    /// Confirmed by the receiver, or written.
    pub exported: u64,
    /// Given up: the queue was full, the receiver refused, or the time to stop was over.
    pub dropped: u64,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} recorded, {} exported, {} dropped", self.recorded, self.exported, self.dropped)
    }
}

/// One signal's counters, shared by whoever records and whoever exports.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    recorded: AtomicU64,
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Counter {
    pub(crate) fn record(&self, items: u64) {
        self.recorded.fetch_add(items, Relaxed);
    }

    pub(crate) fn export(&self, items: u64) {
        self.exported.fetch_add(items, Relaxed);
    }

    pub(crate) fn lose(&self, items: u64) {
        self.dropped.fetch_add(items, Relaxed);
    }

    pub(crate) fn read(&self) -> Count {
        // What is counted last is read first: a reading between two steps never shows more fates than items.
        let (exported, dropped) = (self.exported.load(Relaxed), self.dropped.load(Relaxed));
        Count { recorded: self.recorded.load(Relaxed), exported, dropped }
    }
}

/// The counters of all signals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loss {
    pub(crate) spans: Arc<Counter>,
    pub(crate) log_lines: Arc<Counter>,
    pub(crate) metric_points: Arc<Counter>,
    pub(crate) stdout_lines: Arc<Counter>,
}

impl Loss {
    pub(crate) fn read(&self) -> Losses {
        Losses {
            spans: self.spans.read(),
            log_lines: self.log_lines.read(),
            metric_points: self.metric_points.read(),
            stdout_lines: self.stdout_lines.read(),
        }
    }

    /// Makes the counters metrics: `throughline.telemetry.recorded`, `.exported`, `.dropped`, by signal.
    pub(crate) fn observe(&self, meter: &opentelemetry::metrics::Meter) {
        type Part = fn(&Count) -> u64;
        let parts: [(&'static str, Part); 3] = [
            (names::METRIC_TELEMETRY_RECORDED, |count| count.recorded),
            (names::METRIC_TELEMETRY_EXPORTED, |count| count.exported),
            (names::METRIC_TELEMETRY_DROPPED, |count| count.dropped),
        ];
        for (name, part) in parts {
            let loss = self.clone();
            // The instrument lives as long as its callback, which the meter keeps.
            let _ = meter
                .u64_observable_counter(name)
                .with_unit("{item}")
                .with_callback(move |observer| {
                    for (signal, count) in loss.read().by_signal() {
                        let signal = opentelemetry::KeyValue::new(names::SIGNAL, signal);
                        observer.observe(part(&count), &[signal]);
                    }
                })
                .build();
        }
    }
}

impl Losses {
    /// Every number, named as in the last line of a process.
    pub(crate) fn fields(&self) -> [(&'static str, Value<'static>); 12] {
        const NAMES: [[&str; 3]; 4] = [
            ["spans_recorded", "spans_exported", "spans_dropped"],
            ["log_lines_recorded", "log_lines_exported", "log_lines_dropped"],
            ["metric_points_recorded", "metric_points_exported", "metric_points_dropped"],
            ["stdout_lines_recorded", "stdout_lines_exported", "stdout_lines_dropped"],
        ];
        let counts = self.by_signal();
        std::array::from_fn(|at| {
            let (signal, part) = (at / 3, at % 3);
            let (_, count) = counts[signal];
            let number = [count.recorded, count.exported, count.dropped][part];
            (NAMES[signal][part], integer(number))
        })
    }

    /// What has been dropped since `before`, by signal; none where nothing was.
    pub(crate) fn dropped_since(&self, before: &Losses) -> Option<[(&'static str, Value<'static>); 4]> {
        let (now, before) = (self.by_signal(), before.by_signal());
        let dropped = |at: usize| now[at].1.dropped - before[at].1.dropped;
        let any = (0..now.len()).any(|at| dropped(at) > 0);
        any.then(|| std::array::from_fn(|at| (now[at].0, integer(dropped(at)))))
    }

    /// The last line on standard output counts itself.
    pub(crate) fn with_the_last_line(mut self) -> Self {
        self.stdout_lines.recorded += 1;
        self.stdout_lines.exported += 1;
        self
    }

    /// Each signal's name, as metrics and lines spell it, and its numbers.
    pub fn by_signal(&self) -> [(&'static str, Count); 4] {
        [
            ("spans", self.spans),
            ("log_lines", self.log_lines),
            ("metric_points", self.metric_points),
            ("stdout_lines", self.stdout_lines),
        ]
    }
}

fn integer(number: u64) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_drops_are_news() {
        let loss = Loss::default();
        loss.spans.lose(2);
        let before = loss.read();
        assert!(loss.read().dropped_since(&before).is_none());
        loss.spans.lose(3);
        loss.stdout_lines.lose(1);
        let dropped = loss.read().dropped_since(&before).expect("something was");
        let dropped = dropped.map(|(signal, count)| format!("{signal} {count:?}"));
        assert_eq!(
            dropped,
            ["spans Int(3)", "log_lines Int(0)", "metric_points Int(0)", "stdout_lines Int(1)"]
        );
    }

    #[test]
    fn the_last_line_names_every_number() {
        let loss = Loss::default();
        loss.log_lines.record(5);
        loss.log_lines.export(4);
        loss.log_lines.lose(1);
        let fields = loss.read().with_the_last_line().fields();
        let said: Vec<_> = fields.iter().map(|(name, value)| format!("{name} {value:?}")).collect();
        assert_eq!(
            said[3..6],
            ["log_lines_recorded Int(5)", "log_lines_exported Int(4)", "log_lines_dropped Int(1)"]
        );
        assert_eq!(said[9..11], ["stdout_lines_recorded Int(1)", "stdout_lines_exported Int(1)"]);
    }
}
