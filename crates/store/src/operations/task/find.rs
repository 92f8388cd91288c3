//! One task, and lists of them, newest first.

use uuid::Uuid;

use super::{COLUMNS, read};
use crate::{
    error::Error,
    operations::Operation,
    session::{Session, Sql},
    task::{Task, TaskListing},
    value::Value,
};

#[derive(Debug)]
pub(crate) struct GetTask {
    pub(crate) id: Uuid,
}

impl Operation for GetTask {
    const WRITES: bool = false;
    type Output = Task;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Task, Error> {
        get(session, self.id).await
    }
}

pub(super) async fn get(session: &mut Session, id: Uuid) -> Result<Task, Error> {
    let text = format!("SELECT {COLUMNS} FROM tasks WHERE id = $1");
    let rows = session.rows(&Sql::same("SELECT", "tasks", &text), &[Value::Id(id)]).await?;
    read(rows.first().ok_or(Error::NoSuchTask)?)
}

#[derive(Debug)]
pub(crate) struct ListTasks {
    pub(crate) listing: TaskListing,
}

impl Operation for ListTasks {
    const WRITES: bool = false;
    type Output = Vec<Task>;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Vec<Task>, Error> {
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        if let Some(state) = self.listing.state {
            values.push(Value::Text(state.as_str().to_owned()));
            conditions.push(format!("state = ${}", values.len()));
        }
        if let Some(kind) = self.listing.kind {
            values.push(Value::Text(kind));
            conditions.push(format!("kind = ${}", values.len()));
        }
        let conditions = match conditions.as_slice() {
            [] => String::new(),
            conditions => format!(" WHERE {}", conditions.join(" AND ")),
        };
        values.push(Value::Integer(self.listing.limit.into()));
        let limit = values.len();
        let text = format!("SELECT {COLUMNS} FROM tasks{conditions} ORDER BY id DESC LIMIT ${limit}");
        session.rows(&Sql::same("SELECT", "tasks", &text), &values).await?.iter().map(read).collect()
    }
}
