//! How many tasks there are, how long they wait, and when the next one of some kinds is due.

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
/// Looks at all that wait, by the index alone.
const WAITING: Sql<'_> = Sql::same("SELECT", "tasks", "SELECT count(*) FROM tasks WHERE due_at <= $1");
/// From kind to kind along the index, and of each kind its first.
const OLDEST: Sql<'_> = Sql::same(
    "SELECT",
    "tasks",
    "WITH RECURSIVE kinds (kind) AS ( \
     SELECT min(kind) FROM tasks WHERE due_at IS NOT NULL UNION ALL \
     SELECT (SELECT min(kind) FROM tasks WHERE due_at IS NOT NULL AND tasks.kind > kinds.kind) \
     FROM kinds WHERE kind IS NOT NULL), \
     firsts (id) AS (SELECT (SELECT id FROM tasks WHERE tasks.kind = kinds.kind AND due_at <= $1 \
     ORDER BY due_at, id LIMIT 1) FROM kinds) \
     SELECT tasks.id, due_at FROM firsts JOIN tasks ON tasks.id = firsts.id ORDER BY due_at, tasks.id LIMIT 1",
);

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
pub(crate) struct NextDue {
    pub(crate) kinds: Vec<String>,
}

impl Operation for NextDue {
    const WRITES: bool = false;
    type Output = Option<Timestamp>;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Option<Timestamp>, Error> {
        if self.kinds.is_empty() {
            return Ok(None);
        }
        let of_kind = |number| {
            format!("SELECT min(due_at) AS due_at FROM tasks WHERE kind = ${number} AND due_at IS NOT NULL")
        };
        let each: Vec<_> = (1..=self.kinds.len()).map(of_kind).collect();
        let text = format!("SELECT min(due_at) FROM ({}) AS next", each.join(" UNION ALL "));
        let kinds: Vec<_> = self.kinds.into_iter().map(Value::Text).collect();
        let rows = session.rows(&Sql::same("SELECT", "tasks", &text), &kinds).await?;
        Ok(rows.first().map(|row| row.time_or_null(0)).transpose()?.flatten())
    }
}
