//! Leases that last longer, for as long as the work does.

use crate::{
    Timestamp,
    error::Error,
    operations::Operation,
    session::{Session, Sql},
    task::Lease,
    value::Value,
};

const UPDATE: Sql<'_> =
    Sql::same("UPDATE", "tasks", "UPDATE tasks SET due_at = $1 WHERE id = $2 AND lease = $3");

#[derive(Debug)]
pub(crate) struct Renew {
    pub(crate) leases: Vec<Lease>,
    pub(crate) expires_at: Timestamp,
}

impl Operation for Renew {
    const WRITES: bool = true;
    /// Those that were lost.
    type Output = Vec<Lease>;
    type Error = Error;

    fn needs_no_transaction(&self) -> bool {
        self.leases.len() == 1
    }

    async fn run(mut self, session: &mut Session) -> Result<Vec<Lease>, Error> {
        // Two that renew the same rows in one order do not wait for each other in a circle.
        self.leases.sort_by_key(|lease| lease.task);
        let mut lost = Vec::new();
        for lease in self.leases {
            let values = [Value::Time(self.expires_at), Value::Id(lease.task), Value::Id(lease.token)];
            if session.execute(&UPDATE, &values).await? == 0 {
                lost.push(lease);
            }
        }
        Ok(lost)
    }
}
