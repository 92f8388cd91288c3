//! What can be asked of tasks: how the work stands that a write has left to a worker.

use axum::{extract::State, response::Response};
use serde::Serialize;
use store::{Store, Task, Timestamp};
use uuid::Uuid;

use crate::{answer, conditions::Conditions, ids::TaskId, refusal::Refusal};

/// A task's members, in the order in which they are written. Its payload and its errors are the operator's: they may quote
/// what is another's.
#[derive(Serialize)]
struct Representation<'a> {
    id: Uuid,
    kind: &'a str,
    state: &'static str,
    runs: u32,
    max_runs: u32,
    created_at: Timestamp,
    run_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    trace_id: Option<String>,
}

/// `GET /api/tasks/{id}`
pub(crate) async fn read(
    State(store): State<Store>,
    TaskId(id): TaskId,
    conditions: Conditions,
) -> Result<Response, Refusal> {
    let task = store.task(id).await?;
    answer::revalidated(&Representation::of(&task), &conditions)
}

/// A task's own path.
pub(crate) fn path(id: Uuid) -> String {
    format!("/api/tasks/{id}")
}

impl<'a> Representation<'a> {
    fn of(task: &'a Task) -> Self {
        Self {
            id: task.id,
            kind: &task.kind,
            state: task.state.as_str(),
            runs: task.runs,
            max_runs: task.max_runs,
            created_at: task.created_at,
            run_at: task.run_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
            trace_id: task.trace_id(),
        }
    }
}
