//! What a person does with a task: retries a dead one, cancels one that waits.

use uuid::Uuid;

use super::{COLUMNS, find, read};
use crate::{
    Timestamp,
    error::Error,
    operations::Operation,
    session::{Session, Sql},
    task::Task,
    value::Value,
};

#[derive(Debug)]
pub(crate) struct RetryTask {
    pub(crate) id: Uuid,
    /// How often it may run again.
    pub(crate) more_runs: u32,
    pub(crate) now: Timestamp,
}

impl Operation for RetryTask {
    const WRITES: bool = true;
    type Output = Task;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Task, Error> {
        let values = [Value::Integer(self.more_runs.into()), Value::Time(self.now), Value::Id(self.id)];
        let text = format!(
            "UPDATE tasks SET state = 'queued', max_runs = runs + $1, run_at = $2, due_at = $2, finished_at = NULL \
             WHERE id = $3 AND state = 'dead' RETURNING {COLUMNS}"
        );
        let task = steer(session, self.id, &text, &values).await?;
        session.wake_workers();
        Ok(task)
    }
}

#[derive(Debug)]
pub(crate) struct CancelTask {
    pub(crate) id: Uuid,
    pub(crate) now: Timestamp,
}

impl Operation for CancelTask {
    const WRITES: bool = true;
    type Output = Task;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Task, Error> {
        let text = format!(
            "UPDATE tasks SET state = 'cancelled', due_at = NULL, finished_at = $1 \
             WHERE id = $2 AND state = 'queued' RETURNING {COLUMNS}"
        );
        steer(session, self.id, &text, &[Value::Time(self.now), Value::Id(self.id)]).await
    }
}

/// The task as it is now; [`Error::TaskState`] where it stands elsewhere.
async fn steer(session: &mut Session, id: Uuid, text: &str, values: &[Value]) -> Result<Task, Error> {
    match session.rows(&Sql::same("UPDATE", "tasks", text), values).await?.first() {
        Some(row) => read(row),
        None => Err(Error::TaskState { state: find::get(session, id).await?.state }),
    }
}
