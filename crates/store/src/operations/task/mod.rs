//! What the store does with tasks.

/// Due tasks, given to one who asks.
mod claim;
/// How many there are, and how long they wait.
mod count;
/// The end of a run.
mod end;
/// Tasks left for a worker.
mod enqueue;
/// One task, and lists of them.
mod find;
/// Runs that were not begun.
mod put_off;
/// Tasks that ended long ago, removed.
mod remove;
/// Leases that last longer.
mod renew;
/// What a person does: a dead task retried, a waiting one cancelled.
mod steer;

pub(crate) use claim::ClaimTasks;
pub(crate) use count::{CountDead, CountTasks, CountWaiting, NextDue};
pub(crate) use end::EndRun;
pub(crate) use enqueue::{Enqueue, announce, confirm};
pub(crate) use find::{GetTask, ListTasks};
pub(crate) use put_off::PutOff;
pub(crate) use remove::RemoveFinished;
pub(crate) use renew::Renew;
pub(crate) use steer::{CancelTask, RetryTask};

use telemetry::Carried;

use crate::{
    error::{Error, Said},
    task::{State, Task},
    value::{Row, Value},
};

/// The columns of a task, in the order of [`read`].
const COLUMNS: &str = "id, kind, payload, booking_id, webhook_id, idempotency_key, traceparent, tracestate, first_run, \
    state, run_at, due_at, runs, max_runs, holder, created_at, started_at, finished_at, last_error";

fn read(row: &Row) -> Result<Task, Error> {
    let tracestate = row.text_or_null(7)?.map(str::to_owned);
    let trace = row.text_or_null(6)?.map(|parent| Carried { traceparent: parent.to_owned(), tracestate });
    let text = |column| Ok::<_, Error>(row.text_or_null(column)?.map(str::to_owned));
    Ok(Task {
        id: row.id(0)?,
        kind: row.text(1)?.to_owned(),
        payload: row.text(2)?.to_owned(),
        booking: row.id_or_null(3)?,
        webhook: row.id_or_null(4)?,
        idempotency_key: row.text(5)?.to_owned(),
        trace,
        first_run: text(8)?,
        state: state(row, 9)?,
        run_at: row.time(10)?,
        due_at: row.time_or_null(11)?,
        runs: number(row, 12)?,
        max_runs: number(row, 13)?,
        holder: text(14)?,
        created_at: row.time(15)?,
        started_at: row.time_or_null(16)?,
        finished_at: row.time_or_null(17)?,
        last_error: text(18)?,
    })
}

fn state(row: &Row, column: usize) -> Result<State, Error> {
    row.text(column)?.parse().map_err(|unknown| strange(format!("a task's state {unknown}")))
}

fn number(row: &Row, column: usize) -> Result<u32, Error> {
    u32::try_from(row.integer(column)?).map_err(|_| strange("a task's runs are no such number".into()))
}

fn strange(said: String) -> Error {
    Error::Internal { doing: "read a task".into(), source: Box::new(Said(said.into())) }
}

/// One line that a database can hold and a terminal can show, and not too long.
fn told(error: &str) -> Value {
    let clean = error.chars().map(|one| if one.is_control() { ' ' } else { one });
    Value::Text(clean.take(Task::ERROR_CHARACTERS).collect())
}
