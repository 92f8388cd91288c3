//! The life of one process: settings → telemetry → listeners → serve → drain → flush → exit code, written once.
//!
//! Promises: a program only opens what it needs and says what it serves; signals, deadlines, limits, health and the
//! exit are here. Refuses: knowing what a program does, and what its answers mean.

/// `/healthz` and `/readyz`, beside the traffic.
mod admin;
/// Accepting connections and serving HTTP on them: one acceptor, N threads.
mod http;
/// Interim responses, past hyper to the client.
mod interim;
/// A process from its start to its exit code.
mod life;
/// The bounds of a public listener.
mod limits;
/// The limit of open files.
mod open_files;
/// What every service can be told, and the forms of a number, a duration and an address.
mod settings;
/// Whether the process has been asked to stop, and who asks.
mod stop;

pub use interim::Interim;
pub use life::{Error, Identity, Life, run};
pub use limits::{Limited, LimitedBody, LimitedFuture, Limits, LimitsLayer, RequestBodyError};
pub use settings::{Settings, parse_address, parse_duration, parse_number};
pub use stop::{Asked, Draining, Requests};
