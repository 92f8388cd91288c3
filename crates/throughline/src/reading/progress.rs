//! Progress: one line on a terminal that says what takes so long.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Whoever waits longer than this is told what for.
const SILENCE: Duration = Duration::from_secs(2);

/// What is told, and when it was told last. The line goes away with it.
pub(crate) struct Progress {
    begun: Instant,
    told: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), told: None }
    }

    pub(crate) fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        let last = self.told.unwrap_or(self.begun);
        if last.elapsed() >= SILENCE && io::stderr().is_terminal() {
            self.told = Some(Instant::now());
            // It is only told so that nobody wonders; a closed standard error wonders at nothing.
            let _ = write!(io::stderr().lock(), "\r\x1b[Kthroughline: {what} …");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told.is_some() {
            // As above.
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
