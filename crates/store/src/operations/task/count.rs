//! How many tasks there are, how long they wait, and when the next one is due.

use uuid::Uuid;

use super::state;
use crate::{
    Timestamp,
    error::Error,
    operations::Operation,
    session::{Session, Sql},
    task::{State, TaskCounts, Waiting},
    value::Value,
};

const BY_STATE: Sql<'_> = Sql::same("SELECT", "tasks", "SELECT state, count(*) FROM tasks GROUP BY state");
/// By the index on those that have ended.
const DEAD: Sql<'_> = Sql::same(
    "SELECT",
    "tasks",
    "SELECT count(*) FROM tasks WHERE state = 'dead' AND finished_at IS NOT NULL",
);
const WAITING: Sql<'_> = Sql::same("SELECT", "tasks", "SELECT count(*) FROM tasks WHERE due_at <= $1");
const OLDEST: Sql<'_> = Sql::same(
    "SELECT",
    "tasks",
    "SELECT id, due_at FROM tasks WHERE due_at <= $1 ORDER BY due_at, id LIMIT 1",
);
const NEXT: Sql<'_> = Sql::same("SELECT", "tasks", "SELECT min(due_at) FROM tasks WHERE due_at IS NOT NULL");

#[derive(Debug)]
pub(crate) struct CountTasks;

impl Operation for CountTasks {
    const WRITES: bool = false;
    type Output = TaskCounts;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<TaskCounts, Error> {
        let mut counts = TaskCounts::default();
        for row in session.rows(&BY_STATE, &[]).await? {
            let count = row.integer(1)?.unsigned_abs();
            match state(&row, 0)? {
                State::Queued => counts.queued = count,
                State::Leased => counts.leased = count,
                State::Done => counts.done = count,
                State::Dead => counts.dead = count,
                State::Cancelled => counts.cancelled = count,
            }
        }
        Ok(counts)
    }
}

#[derive(Debug)]
pub(crate) struct CountDead;

impl Operation for CountDead {
    const WRITES: bool = false;
    type Output = u64;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<u64, Error> {
        let rows = session.rows(&DEAD, &[]).await?;
        let dead = rows.first().map(|row| row.integer(0)).transpose()?.unwrap_or_default();
        Ok(dead.unsigned_abs())
    }
}

/// A lease that has expired counts as waiting: so its task does.
#[derive(Debug)]
pub(crate) struct CountWaiting {
    pub(crate) now: Timestamp,
}

impl Operation for CountWaiting {
    const WRITES: bool = false;
    type Output = Waiting;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Waiting, Error> {
        let now = [Value::Time(self.now)];
        let rows = session.rows(&OLDEST, &now).await?;
        let oldest: Option<(Uuid, Timestamp)> =
            rows.first().map(|row| Ok::<_, Error>((row.id(0)?, row.time(1)?))).transpose()?;
        let rows = session.rows(&WAITING, &now).await?;
        let tasks = rows.first().map(|row| row.integer(0)).transpose()?.unwrap_or_default();
        Ok(Waiting { tasks: tasks.unsigned_abs(), oldest })
    }
}

#[derive(Debug)]
pub(crate) struct NextDue;

impl Operation for NextDue {
    const WRITES: bool = false;
    type Output = Option<Timestamp>;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Option<Timestamp>, Error> {
        let rows = session.rows(&NEXT, &[]).await?;
        Ok(rows.first().map(|row| row.time_or_null(0)).transpose()?.flatten())
    }
}
