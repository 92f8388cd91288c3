//! Webhooks: created, read, listed, removed.

use uuid::Uuid;

use super::Operation;
use crate::{
    error::Error,
    session::{Session, Sql},
    value::{Row, Value},
    webhook::{Disabled, Secret, Webhook},
};

const COLUMNS: &str = "id, url, secret, created_at, disabled_at, disabled_reason";

/// Two that come at once may pass the bound by one: it is there for the writers' sake, not for arithmetic's.
const INSERT: Sql<'_> = Sql {
    operation: "INSERT",
    table: "webhooks",
    postgres: "INSERT INTO webhooks (id, url, secret, created_at) \
        SELECT $1::uuid, $2::text, $3::text, $4::timestamptz WHERE (SELECT count(*) FROM webhooks) < $5",
    sqlite: "INSERT INTO webhooks (id, url, secret, created_at) \
        SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM webhooks) < $5",
};
const DELETE: Sql<'_> = Sql::same("DELETE", "webhooks", "DELETE FROM webhooks WHERE id = $1");

#[derive(Debug)]
pub(crate) struct CreateWebhook {
    pub(crate) webhook: Webhook,
}

impl Operation for CreateWebhook {
    const WRITES: bool = true;
    type Output = ();
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<(), Error> {
        let webhook = self.webhook;
        let values = [
            Value::Id(webhook.id),
            Value::Text(webhook.url),
            Value::Text(webhook.secret.reveal().to_owned()),
            Value::Time(webhook.created_at),
            Value::Integer(i64::try_from(Webhook::AT_MOST).unwrap_or(i64::MAX)),
        ];
        match session.execute(&INSERT, &values).await? {
            0 => Err(Error::TooManyWebhooks),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct GetWebhook {
    pub(crate) id: Uuid,
}

impl Operation for GetWebhook {
    const WRITES: bool = false;
    type Output = Webhook;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Webhook, Error> {
        let text = format!("SELECT {COLUMNS} FROM webhooks WHERE id = $1");
        let rows = session.rows(&Sql::same("SELECT", "webhooks", &text), &[Value::Id(self.id)]).await?;
        read(rows.first().ok_or(Error::NoSuchWebhook)?)
    }
}

/// Oldest first; there are [`Webhook::AT_MOST`].
#[derive(Debug)]
pub(crate) struct ListWebhooks;

impl Operation for ListWebhooks {
    const WRITES: bool = false;
    type Output = Vec<Webhook>;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Vec<Webhook>, Error> {
        let text = format!("SELECT {COLUMNS} FROM webhooks ORDER BY id");
        session.rows(&Sql::same("SELECT", "webhooks", &text), &[]).await?.iter().map(read).collect()
    }
}

/// Its waiting tasks find it gone, and are done.
#[derive(Debug)]
pub(crate) struct DeleteWebhook {
    pub(crate) id: Uuid,
}

impl Operation for DeleteWebhook {
    const WRITES: bool = true;
    type Output = ();
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<(), Error> {
        match session.execute(&DELETE, &[Value::Id(self.id)]).await? {
            0 => Err(Error::NoSuchWebhook),
            _ => Ok(()),
        }
    }
}

fn read(row: &Row) -> Result<Webhook, Error> {
    let reason = row.text_or_null(5)?.unwrap_or_default().to_owned();
    Ok(Webhook {
        id: row.id(0)?,
        url: row.text(1)?.to_owned(),
        secret: Secret::stored(row.text(2)?.to_owned()),
        created_at: row.time(3)?,
        disabled: row.time_or_null(4)?.map(|at| Disabled { at, reason }),
    })
}
