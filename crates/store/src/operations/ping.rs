//! Whether the database answers.

use super::Operation;
use crate::{
    error::Error,
    session::{Session, Sql},
};

#[derive(Debug)]
pub(crate) struct Ping;

impl Operation for Ping {
    const WRITES: bool = false;
    type Output = ();
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<(), Error> {
        session
            .rows(&Sql::same("SELECT", "schema_versions", "SELECT 1 FROM schema_versions LIMIT 1"), &[])
            .await?;
        Ok(())
    }
}
