//! What came in and what was written, since the start.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Of one signal.
#[derive(Debug, Default)]
pub(crate) struct Count {
    received: AtomicU64,
    written: AtomicU64,
}

impl Count {
    /// Arrived whole and readable; the sender is not answered yet.
    pub(crate) fn receive(&self, number: u64) {
        self.received.fetch_add(number, Relaxed);
    }
    /// In the file.
    pub(crate) fn write(&self, number: u64) {
        self.written.fetch_add(number, Relaxed);
    }
}

/// Of all three signals.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) spans: Count,
    pub(crate) records: Count,
    pub(crate) points: Count,
}

impl Counts {
    /// Says what was received and written: the last word of the process.
    pub(crate) fn tell(&self) {
        tracing::info!(
            spans_received = self.spans.received.load(Relaxed),
            spans_written = self.spans.written.load(Relaxed),
            records_received = self.records.received.load(Relaxed),
            records_written = self.records.written.load(Relaxed),
            points_received = self.points.received.load(Relaxed),
            points_written = self.points.written.load(Relaxed),
            "collector stopped"
        );
    }
}
