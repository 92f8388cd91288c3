//! Changes of SQLite's file, by whichever process: a number that every commit of another connection changes.

use std::{path::PathBuf, time::Duration};

use tokio::{runtime::Handle, time::Instant};

use crate::sqlite::connect;

/// How often the number is read.
const EVERY: Duration = Duration::from_millis(20);

/// One connection for reading that number, and what it was.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    busy: Duration,
    home: Handle,
    next_look: Instant,
    seen: Option<(rusqlite::Connection, i64)>,
}

impl Watch {
    pub(crate) fn new(path: PathBuf, busy: Duration, home: Handle) -> Self {
        Self { path, busy, home, next_look: Instant::now(), seen: None }
    }

    /// When to ask next: whoever asks often learns nothing more.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Whether there was a commit since the last call; yes where it cannot be known.
    pub(crate) async fn changed(&mut self) -> bool {
        self.next_look = Instant::now() + EVERY;
        // Only numbers of one connection can be compared. A call that is dropped here costs a new connection.
        let (connection, before) =
            self.seen.take().map_or((None, None), |(one, seen)| (Some(one), Some(seen)));
        let (path, busy) = (self.path.clone(), self.busy);
        let read = move || {
            let connection = connection.map_or_else(|| connect(&path, false, busy), Ok)?;
            let number = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
            Ok::<_, rusqlite::Error>((connection, number))
        };
        match self.home.spawn_blocking(read).await {
            Ok(Ok((connection, number))) => {
                self.seen = Some((connection, number));
                before != Some(number)
            }
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "changes of the file not known");
                true
            }
            // Its runtime is ending.
            Err(_) => true,
        }
    }
}
