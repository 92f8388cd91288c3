//! Idempotency keys that have expired, removed in batches: a long statement would hold up those who write.

use super::Operation;
use crate::{
    Timestamp,
    error::Error,
    session::{Session, Sql},
    value::Value,
};

const DELETE: Sql<'_> = Sql::same(
    "DELETE",
    "idempotency_keys",
    "DELETE FROM idempotency_keys WHERE (route, key) IN \
     (SELECT route, key FROM idempotency_keys WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
);

#[derive(Debug)]
pub(crate) struct Expire {
    pub(crate) now: Timestamp,
    pub(crate) batch: u16,
}

impl Operation for Expire {
    const WRITES: bool = true;
    type Output = u64;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<u64, Error> {
        session.execute(&DELETE, &[Value::Time(self.now), Value::Integer(self.batch.into())]).await
    }
}
