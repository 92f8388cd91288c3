//! OpenTelemetry, once, for every service: starting and stopping it, carrying the trace over HTTP, the spans,
//! metrics and log lines of the edges, and the names of everything that is written down.
//!
//! Promises: no call here blocks a request or fails one, whatever the Collector does; every loss is counted.
//! Refuses: knowing any service. The programs bring their names, routes and decisions.
//! Nothing else in this workspace may name `opentelemetry_sdk` or `opentelemetry-otlp`.

/// Every name that is written down: attributes, metrics, log fields and how one becomes the other.
pub mod names;
/// The request being served: what layers and handlers tell about it for its span, its line and its headers.
pub mod request;
/// What a test sees of the spans and log lines recorded in its process.
#[cfg(feature = "testing")]
pub mod testing;

/// The layer around every request that a service sends.
mod client;
/// What both edges write down of a request's own words.
mod edge;
/// An error with its chain of causes, as it is written down.
mod exception;
/// The metrics of both edges.
mod instruments;
/// One log line, written once for standard output and OTLP.
mod line;
/// Error bodies that name their trace (RFC 9457).
mod problem;
/// W3C trace context over HTTP headers.
mod propagate;
/// The layer around every request that a service serves.
mod server;
/// Native spans for what is neither: a wait, a statement, a command.
mod span;
/// Starting: settings, the OTLP pipeline, standard output, the panic hook; and stopping without loss.
mod start;
/// The header that names the trace and the parent.
mod traceparent;
/// The header that carries other tracing systems' data along.
mod tracestate;
/// A body whose end is told.
mod tracked;
/// Whose trace context and forwarded headers are believed.
mod trust;

pub use client::{Attempt, Client, ClientBody, ClientFuture, ClientLayer, ErrorType};
pub use opentelemetry::{Context, KeyValue, trace::SpanContext};
pub use problem::Problem;
pub use propagate::{Extracted, extract, inject};
pub use request::Scope;
pub use server::{Server, ServerBody, ServerFuture, ServerLayer};
pub use span::Span;
pub use start::{Losses, Settings, StartError, Telemetry, start};
pub use trust::{Peer, TrustedPeers};

/// The meter of one of our crates; `scope` is the crate's name. Instruments made before [`start`] record nothing.
pub fn meter(scope: &'static str) -> opentelemetry::metrics::Meter {
    opentelemetry::global::meter(scope)
}
