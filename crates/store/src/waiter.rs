//! The waiter: wakes a worker when a task may be due, so that it starts at once and asks for nothing meanwhile.
//!
//! Three things wake it: a commit that enqueued a task (PostgreSQL tells it, SQLite's file is looked at every 20 ms), the
//! time of the next task that waits for its time or whose lease expires, and, because a notice can be lost with the
//! connection or the process that should have told it, a look every few seconds. Promises: whoever claims until nothing is
//! left and then waits misses no task; a database that is away is not asked in a tight loop.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::{Store, Timestamp};

/// Notices of PostgreSQL.
mod postgres;
/// Changes of SQLite's file.
mod sqlite;

pub(crate) use postgres::{Listener, NOTIFY};
pub(crate) use sqlite::Watch;

/// What is due already but was not claimed is being claimed by somebody else just now.
const SHORTEST: Duration = Duration::from_millis(20);
/// How long a lost notice can go unnoticed.
const LONGEST: Duration = Duration::from_secs(5);
/// How long to leave a database alone that could not be asked.
const AWAY: Duration = Duration::from_secs(1);

/// Made by [`Store::task_waiter`]: one for each loop that claims.
#[derive(Debug)]
pub struct TaskWaiter {
    store: Store,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Postgres(Listener),
    Sqlite(Watch),
}

impl TaskWaiter {
    pub(crate) fn of_postgres(store: Store, listener: Listener) -> Self {
        Self { store, source: Source::Postgres(listener) }
    }

    pub(crate) fn of_sqlite(store: Store, watch: Watch) -> Self {
        Self { store, source: Source::Sqlite(watch) }
    }

    /// Returns when a task of these kinds may be due: claim then, and wait again once a claim gave less than it asked for.
    /// Being dropped on the way loses nothing. Wakes for nothing now and then, at the latest after five seconds.
    pub async fn wait(&mut self, kinds: &[String]) {
        let store = &self.store;
        match &mut self.source {
            Source::Postgres(listener) => {
                // Whoever waits only for a moment, between one claim and the next, asks nothing.
                let next = async {
                    sleep(SHORTEST).await;
                    sleep(pause(store, kinds).await).await;
                };
                tokio::select! {
                    () = listener.told() => {}
                    () = next => {}
                }
            }
            Source::Sqlite(watch) => {
                let (mut until, mut is_first) = (Instant::now() + LONGEST, true);
                while Instant::now() < until {
                    sleep_until(until.min(watch.next_look())).await;
                    // Any commit changes the file, our own claim as well: so it is asked what it has become. The last one who
                    // waited may have asked for other kinds.
                    let (changed, first) = (watch.changed().await, std::mem::take(&mut is_first));
                    if changed || first {
                        match due_in(store, kinds).await {
                            Some(Duration::ZERO) => return,
                            due => until = Instant::now() + due.unwrap_or(AWAY).min(LONGEST),
                        }
                    }
                }
            }
        }
    }
}

/// How long there is nothing to claim, as far as the database knows.
async fn pause(store: &Store, kinds: &[String]) -> Duration {
    due_in(store, kinds).await.map_or(AWAY, |due| due.clamp(SHORTEST, LONGEST))
}

/// How soon the next task is due; none where the database cannot be asked.
async fn due_in(store: &Store, kinds: &[String]) -> Option<Duration> {
    match store.next_task_due(kinds.to_vec()).await {
        Ok(Some(due)) => Some(due.since(Timestamp::now())),
        Ok(None) => Some(LONGEST),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "next task not known");
            None
        }
    }
}
