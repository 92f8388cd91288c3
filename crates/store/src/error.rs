//! What a caller can be told: one variant for each thing it may decide.

use std::{borrow::Cow, error::Error as StdError, time::Duration};

/// Why an operation on the store did not succeed. Nothing of it was done, with one exception: when the database went
/// away during a `COMMIT`, nobody knows; an [`Once`](crate::Once) makes it safe to ask again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no booking with this id.
    #[error("there is no such booking")]
    NotFound,
    /// There is no task with this id.
    #[error("there is no such task")]
    NoSuchTask,
    /// There is no webhook with this id.
    #[error("there is no such webhook")]
    NoSuchWebhook,
    /// There are [`Webhook::AT_MOST`](crate::Webhook::AT_MOST).
    #[error("there are {} webhooks already, and there may be no more", crate::Webhook::AT_MOST)]
    TooManyWebhooks,
    /// Only a dead task can be retried, and only a queued one cancelled.
    #[error("the task is {}", state.as_str())]
    TaskState {
        /// Where it stands.
        state: crate::State,
    },
    /// Another booking of the resource, not cancelled, overlaps.
    #[error("the resource is taken during this time")]
    Overlap,
    /// The idempotency key has been used with another request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// The first request with this idempotency key has not ended yet.
    #[error("the first request with this idempotency key is still running")]
    KeyRunning,
    /// All connections were in use for as long as one may wait: try later.
    #[error("no connection to the database came free within {waited:?}")]
    Exhausted {
        /// The bound that was reached.
        waited: Duration,
    },
    /// The database is away, busy or too slow: try later.
    #[error("cannot {doing}")]
    Unavailable {
        /// `run \`SELECT bookings\``
        doing: Cow<'static, str>,
        /// What the database or the way to it said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The database holds or says something that cannot be: somebody must look.
    #[error("cannot {doing}")]
    Internal {
        /// `run \`SELECT bookings\``
        doing: Cow<'static, str>,
        /// What the database said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is no place of a database: nothing was opened.
    #[error("the database's URL must be {expected}")]
    Url {
        /// What was given: its beginning only, because a password may follow.
        given: String,
        /// The accepted form.
        expected: &'static str,
        /// What is wrong with the URL's parts, never its secrets.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The database could not be reached, or refused.
    #[error("cannot {doing}")]
    Database {
        /// `connect to PostgreSQL at db:5432`
        doing: String,
        /// What it said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The tables are not up to date, and were to be left as they are.
    #[error(
        "the database's tables are of version {found}, older than this program's {known}: start a service of this version first"
    )]
    Older {
        /// In the database.
        found: i64,
        /// The newest of ours.
        known: i64,
    },
    /// A newer program has changed the tables in a way that this one does not know.
    #[error("the database's tables are of version {found}, newer than this program's {known}")]
    Newer {
        /// In the database.
        found: i64,
        /// The newest of ours.
        known: i64,
    },
}

impl OpenError {
    pub(crate) fn url(
        url: &str,
        expected: &'static str,
        source: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let given = format!("{}:…", url.split(':').next().unwrap_or_default());
        OpenError::Url { given, expected, source }
    }
}

/// One statement that failed: what the span says of it, and what it means.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) meaning: Meaning,
    /// `error.type`: the database's own code where it gave one.
    pub(crate) kind: Cow<'static, str>,
    /// `db.response.status_code`.
    pub(crate) code: Option<String>,
    pub(crate) source: Box<dyn StdError + Send + Sync>,
}

/// What a failed statement means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Overlap,
    Unavailable,
    Internal,
}

impl Failure {
    pub(crate) fn into_error(self, doing: impl Into<Cow<'static, str>>) -> Error {
        let (doing, source) = (doing.into(), self.source);
        match self.meaning {
            Meaning::Overlap => Error::Overlap,
            Meaning::Unavailable => Error::Unavailable { doing, source },
            Meaning::Internal => Error::Internal { doing, source },
        }
    }
}

/// Where only a sentence is known of a cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Said(pub(crate) Cow<'static, str>);
