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

use crate::names;

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
