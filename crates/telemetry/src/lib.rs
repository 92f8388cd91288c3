//! OpenTelemetry, once, for every service: starting and stopping it, carrying the trace over HTTP, the spans,
//! metrics and log lines of the edges, and the names of everything that is written down.
//!
//! Promises: no call here blocks a request or fails one, whatever the Collector does; every loss is counted.
//! Refuses: knowing any service. The programs bring their names, routes and decisions.
//! Nothing else in this workspace may name `opentelemetry_sdk`.

/// Every name that is written down: attributes, metrics, log fields and how one becomes the other.
pub mod names;
/// The request being served: what layers and handlers tell about it for its span, its line and its headers.
pub mod request;
/// What a test sees of the spans and log lines recorded in its process.
#[cfg(feature = "testing")]
pub mod testing;

/// The layer around every request that a service serves.
mod server;

/// The layer around every request that a service sends.
mod client;

/// What both edges write down of a request's own words.
mod edge;
/// The metrics of both edges.
mod instruments;
/// A body whose end is told.
mod tracked;

/// A trace context that is carried by something other than HTTP.
mod carried;
/// W3C trace context over HTTP headers.
mod propagate;
/// The header that names the trace and the parent.
mod traceparent;
/// The header that carries other tracing systems' data along.
mod tracestate;
/// Whose trace context and forwarded headers are believed.
mod trust;

/// Calls of databases.
mod database;
/// An error with its chain of causes, as it is written down.
mod exception;
/// Error bodies that name their trace (RFC 9457).
mod problem;
/// Native spans for what is neither: a wait, a statement, a command.
mod span;

/// All of it as one value: opened, and stopped by a deadline.
mod pipeline;
/// Starting: settings, the OTLP pipeline, standard output, the panic hook; and stopping without loss.
mod start;

/// Where one signal goes: protocol, address, headers, compression, time limit.
mod endpoint;
/// The standard `OTEL_*` variables and `RUST_LOG`.
mod environment;
/// Who speaks: service, host, process.
mod resource;

/// `tracing` events as log lines, `tracing` spans as OpenTelemetry spans.
mod layer;
/// One log line, written once for standard output and OTLP.
mod line;
/// Panics as log lines.
mod panic;

/// Which lines are written, per logger, and what is never sent.
mod filter;
/// A record as one line of JSON.
mod json;
/// One log line as it was recorded, before it is JSON or OTLP.
mod record;
/// Lines on standard output, written by a thread of their own.
mod stdout;

/// Metrics, collected and left for the exporting thread.
mod metrics;
/// Spans, lines and points as OTLP messages.
mod otlp;
/// The wire format of Protocol Buffers.
mod protobuf;

/// Exporting one signal: trying again while the receiver is away, counting what became of each batch.
mod export;
/// Recorded, exported, dropped: counted.
mod loss;
/// Times as they are told.
mod milliseconds;
/// A bounded queue between those who record and the one that exports.
mod queue;
/// One OTLP message over the wire, by gRPC or HTTP, once.
mod transport;

pub use carried::Carried;
pub use client::{Attempt, Client, ClientBody, ClientFuture, ClientLayer, ErrorType, SecretTarget};
pub use database::{Database, DatabaseCall, is_in_request};
pub use loss::{Count, Losses};
pub use milliseconds::milliseconds;
pub use opentelemetry::{Context, KeyValue, trace::SpanContext};
pub use problem::Problem;
pub use propagate::{Extracted, extract, inject};
pub use request::Scope;
pub use server::{Server, ServerBody, ServerFuture, ServerLayer};
pub use span::Span;
pub use start::{Settings, StartError, Telemetry, start};
pub use trust::{Peer, TrustedPeers};

/// The meter of one of our crates; `scope` is the crate's name. Instruments made before [`start`] record nothing.
pub fn meter(scope: &'static str) -> opentelemetry::metrics::Meter {
    opentelemetry::global::meter(scope)
}
