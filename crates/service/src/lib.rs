//! The life of one process: settings → telemetry → listeners → serve → drain → flush → exit code, written once.
//!
//! Promises: a program only opens what it needs and says what it serves; signals, deadlines, health and the exit
//! are here. Refuses: knowing what a program does.

/// Accepting connections and serving HTTP on them, within limits.
mod http;
/// A process from its start to its exit code.
mod life;
/// The bounds every public listener keeps, and the layer that answers 413 and 414.
mod limits;

pub use life::{Draining, Error, Identity, Life, Settings, run};
pub use limits::{LimitedBody, Limits, LimitsLayer, RequestBodyError};
