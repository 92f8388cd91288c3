//! Due tasks, given to one who asks: queued ones whose time has come, and leased ones whose lease has expired.
//!
//! One statement, by the index on `due_at` alone, so that it costs the same however many wait. On PostgreSQL it passes over
//! what another claim is taking just now; on SQLite claims take turns, as all writers do.
//! An expired lease was a run. If it was the last one, the task is dead, and is given back as such.

use std::sync::LazyLock;

use uuid::Uuid;

use super::{COLUMNS, read};
use crate::{
    error::Error,
    operations::Operation,
    session::{Session, Sql},
    task::{Claim, Claimed, Lease, Run, State},
    value::Value,
};

static POSTGRES: LazyLock<String> =
    LazyLock::new(|| statement("= ANY (ARRAY(", "FOR UPDATE SKIP LOCKED))", "::timestamptz", "::uuid"));
static SQLITE: LazyLock<String> = LazyLock::new(|| statement("IN (", ")", "", ""));

#[derive(Debug)]
pub(crate) struct ClaimTasks {
    pub(crate) claim: Claim,
    pub(crate) token: Uuid,
}

impl Operation for ClaimTasks {
    const WRITES: bool = true;
    type Output = Claimed;
    type Error = Error;

    fn needs_no_transaction(&self) -> bool {
        true
    }

    async fn run(self, session: &mut Session) -> Result<Claimed, Error> {
        let claim = self.claim;
        let values = [
            Value::Time(claim.expires_at),
            Value::Id(self.token),
            Value::Text(claim.holder),
            Value::Time(claim.now),
            Value::Integer(claim.limit.into()),
        ];
        let sql = Sql { operation: "UPDATE", table: "tasks", postgres: &POSTGRES, sqlite: &SQLITE };
        let mut claimed = Claimed::default();
        for row in session.rows(&sql, &values).await? {
            let task = read(&row)?;
            if task.state == State::Dead {
                claimed.dead.push(task);
            } else {
                let lease = Lease { task: task.id, token: self.token };
                claimed.runs.push(Run { task, lease });
            }
        }
        claimed.runs.sort_by_key(|run| (run.task.run_at, run.task.id));
        Ok(claimed)
    }
}

/// A task that is queued has runs left: only the expired lease of a last run finds `runs >= max_runs`.
fn statement(open: &str, close: &str, timestamp: &str, uuid: &str) -> String {
    format!(
        "UPDATE tasks SET run_at = due_at, \
         state = CASE WHEN runs >= max_runs THEN 'dead' ELSE 'leased' END, \
         due_at = CASE WHEN runs >= max_runs THEN NULL ELSE $1{timestamp} END, \
         lease = CASE WHEN runs >= max_runs THEN NULL ELSE $2{uuid} END, \
         holder = CASE WHEN runs >= max_runs THEN NULL ELSE $3 END, \
         started_at = CASE WHEN runs >= max_runs THEN started_at ELSE $4{timestamp} END, \
         finished_at = CASE WHEN runs >= max_runs THEN $4{timestamp} ELSE NULL END, \
         runs = CASE WHEN runs >= max_runs THEN runs ELSE runs + 1 END, \
         last_error = CASE WHEN state = 'leased' THEN 'the lease of run ' || runs || \
         ' expired: its worker, ' || holder || ', stopped or hung' ELSE last_error END \
         WHERE id {open}SELECT id FROM tasks WHERE due_at <= $4{timestamp} ORDER BY due_at, id LIMIT $5 {close} \
         RETURNING {COLUMNS}"
    )
}
