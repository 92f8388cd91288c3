//! One log line: what is said once and read in two places, standard output and the Collector's files.
#![allow(dead_code, reason = "the layers that write lines are built beside this module")]

use opentelemetry::trace::SpanContext;

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
    pub(crate) level: tracing::Level,
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
pub(crate) fn enabled(_level: tracing::Level, _logger: &'static str) -> bool {
    true
}

/// Writes the line to standard output and to OTLP, from one reading of the clock. Never blocks, never fails.
pub(crate) fn emit(_line: &Line<'_>) {}
