//! The whole system as processes, for tests told as stories:
//!
//! ```no_run
//! # async fn story() {
//! let system = tests::System::start().await;
//! let answer = system.client().get("/api/bookings").await;
//! let path = ["load_balancer", "cache", "http_server"];
//! let story = system.story(&answer.trace_id(), &path).await;
//! story.assert_carried_through(&path);
//! # }
//! ```
//!
//! Promises: nothing is mocked: the processes are the binary's own, the files are the collector's. Every wait has a
//! bound and says what it last saw. When a test fails, its system's directory is kept and named.

/// A real Jaeger.
pub mod jaeger;
/// A PostgreSQL of our own.
pub mod postgres;
/// A real program beside the system under test.
pub mod program;

/// A certificate authority of a test's own.
mod authority;
/// The binary under test: built once, from this checkout.
mod binary;
/// An HTTP client that remembers nothing between requests.
mod client;
/// The real Collector.
mod collector;
/// A directory of a test's own.
mod directory;
/// A table that is held, so that a request can be caught in flight.
mod held;
/// A real Prometheus.
mod prometheus;
/// A receiver of webhooks.
mod receiver;
/// A real Redis.
mod redis;
/// One service as a process of its own.
mod service;
/// What the files tell of one request, read without the code under test.
mod story;
/// `throughline up`, started, watched and ended.
mod system;
/// Waiting for a condition that reports its last state.
mod wait;

pub use authority::Authority;
pub use binary::throughline;
pub use client::{Answer, Client};
pub use collector::Collector;
pub use directory::Directory;
pub use held::Held;
pub use jaeger::Jaeger;
pub use prometheus::Prometheus;
pub use receiver::{Received, Receiver, Reply};
pub use redis::Redis;
pub use service::Service;
pub use story::{Line, Span, Story, whole_lines};
pub use system::{Parts, Process, System, SystemBuilder};
pub use wait::{eventually, eventually_within};
