//! Due tasks, given to one who asks: queued ones whose time has come, and leased ones whose lease has expired.
//!
//! One statement, by the index on kind and `due_at` alone, so that it costs the same however many wait, of this kind or of
//! another. On PostgreSQL it passes over what another claim is taking just now; on SQLite claims take turns, as all writers do.
//! An expired lease was a run. If it was the last one, the task is dead, and is given back as such.

use uuid::Uuid;

use super::{COLUMNS, read};
use crate::{
    error::Error,
    operations::Operation,
    session::{Session, Sql},
    task::{Claim, Claimed, Lease, Run, State},
    value::Value,
};

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
        let mut claimed = Claimed::default();
        if claim.places.is_empty() {
            return Ok(claimed);
        }
        let text = statement(session.is_postgres(), claim.places.len());
        let mut values = vec![
            Value::Time(claim.expires_at),
            Value::Id(self.token),
            Value::Text(claim.holder),
            Value::Time(claim.now),
        ];
        for places in claim.places {
            values.extend([Value::Text(places.kind), Value::Integer(places.count.into())]);
        }
        let sql = Sql::same("UPDATE", "tasks", &text);
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
fn statement(is_postgres: bool, kinds: usize) -> String {
    let (timestamp, uuid) = if is_postgres { ("::timestamptz", "::uuid") } else { ("", "") };
    format!(
        "UPDATE tasks SET run_at = CASE WHEN state = 'leased' THEN due_at ELSE run_at END, \
         state = CASE WHEN runs >= max_runs THEN 'dead' ELSE 'leased' END, \
         due_at = CASE WHEN runs >= max_runs THEN NULL ELSE $1{timestamp} END, \
         lease = CASE WHEN runs >= max_runs THEN NULL ELSE $2{uuid} END, \
         holder = CASE WHEN runs >= max_runs THEN NULL ELSE $3 END, \
         started_at = CASE WHEN runs >= max_runs THEN started_at ELSE $4{timestamp} END, \
         finished_at = CASE WHEN runs >= max_runs THEN $4{timestamp} ELSE NULL END, \
         runs = CASE WHEN runs >= max_runs THEN runs ELSE runs + 1 END, \
         last_error = CASE WHEN state = 'leased' THEN 'the lease of run ' || runs || \
         ' expired: its worker, ' || holder || ', stopped or hung' ELSE last_error END \
         WHERE {} RETURNING {COLUMNS}",
        which(is_postgres, kinds)
    )
}

/// The condition for the rows of so many kinds, one or more: the parameters after the fourth are pairs of kind and number.
fn which(is_postgres: bool, kinds: usize) -> String {
    let of_kind = |at: usize| {
        let (kind, count) = (5 + 2 * at, 6 + 2 * at);
        format!(
            "SELECT id FROM tasks WHERE kind = ${kind} AND due_at <= $4 ORDER BY due_at, id LIMIT ${count}"
        )
    };
    let each = (0..kinds).map(of_kind);
    if is_postgres {
        let arrays: Vec<_> = each.map(|one| format!("ARRAY({one} FOR UPDATE SKIP LOCKED)")).collect();
        format!("id = ANY ({})", arrays.join(" || "))
    } else {
        let tables: Vec<_> = each.map(|one| format!("SELECT id FROM ({one})")).collect();
        format!("id IN ({})", tables.join(" UNION ALL "))
    }
}
