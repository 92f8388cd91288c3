//! What was recorded, as values: spans and log lines of this process by their trace id.
//! Tests run side by side in one process: give each request a trace of its own and ask for that.
use std::collections::BTreeMap;
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
    todo!()
}
/// The ended spans of a trace, by end time.
pub fn spans(_trace_id: &str) -> Vec<RecordedSpan> {
    todo!()
}
/// The flat log lines of a trace, in order.
pub fn lines(_trace_id: &str) -> Vec<serde_json::Value> {
    todo!()
}
/// A `traceparent` of a fresh, sampled trace and its trace id.
pub fn traceparent() -> (String, String) {
    todo!()
}
