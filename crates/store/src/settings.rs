//! How a database is used: how many connections, and for how long one waits.

use std::time::Duration;

/// The bounds of a [`Store`](crate::Store).
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at most, 1 or more. SQLite uses one of them for writing.
    pub connections: usize,
    /// How long a request waits for a free connection, and for a new one to be made.
    pub wait: Duration,
    /// How long a statement may run.
    pub statement_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { connections: 16, wait: Duration::from_secs(2), statement_timeout: Duration::from_secs(10) }
    }
}
