//! The store: bookings and tasks in PostgreSQL or in SQLite, and one behaviour of both.

use std::{cmp::Ordering, marker::PhantomData, path::Path, sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    Answer, Booking, Change, Error, Listing, Once, OpenError, Page, Settings, Timestamp,
    error::Said,
    once::RunningKeys,
    operations::{
        ChangeBooking, Create, Expire, FindVersion, Get, IsCurrent, KNOWN, List, Migrate, Operation, Outcome,
        Ping,
    },
    postgres, sqlite,
};

/// What can be done with tasks.
mod tasks;
/// What can be done with webhooks.
mod webhooks;

/// A database that is open; clones are the same one.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    running: RunningKeys,
}

#[derive(Clone, Debug)]
enum Database {
    Postgres(Arc<postgres::Pool>),
    Sqlite(Arc<sqlite::Pool>),
}

/// What became of [`Store::create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The booking is there, and this task will confirm it, if it is pending.
    New(Option<Uuid>),
    /// An earlier request with the same key did it; this was its answer.
    Before(Answer),
}

impl Store {
    /// Opens `postgres://USER:PASSWORD@HOST:PORT/DATABASE` or `sqlite:PATH` and brings its tables up to date. Connections live
    /// on the current Tokio runtime, whichever calls later.
    pub async fn open(url: &str, settings: &Settings) -> Result<Store, OpenError> {
        let store = Self::connect(url, settings, sqlite::Pool::new)?;
        let found = store.prepare().await.map_err(|error| OpenError::Database {
            doing: format!("prepare {}", store.place()),
            source: Box::new(error),
        })?;
        if found > KNOWN {
            return Err(OpenError::Newer { found, known: KNOWN });
        }
        Ok(store)
    }

    /// Opens a database that a service has prepared: makes no file and changes no table, and refuses tables of another version.
    pub async fn open_existing(url: &str, settings: &Settings) -> Result<Store, OpenError> {
        let store = Self::connect(url, settings, sqlite::Pool::existing)?;
        let found = store.run(FindVersion).await.map_err(|error| OpenError::Database {
            doing: format!("read {}", store.place()),
            source: Box::new(error),
        })?;
        match found.cmp(&KNOWN) {
            Ordering::Equal => Ok(store),
            Ordering::Less => Err(OpenError::Older { found, known: KNOWN }),
            Ordering::Greater => Err(OpenError::Newer { found, known: KNOWN }),
        }
    }

    /// Brings the tables up to date, and says of which version they were.
    async fn prepare(&self) -> Result<i64, Error> {
        if self.run(IsCurrent).await? {
            return Ok(KNOWN);
        }
        tracing::info!(version = KNOWN, "bringing the tables up to date");
        self.run(Migrate { now: Timestamp::now() }).await
    }

    fn connect(
        url: &str,
        settings: &Settings,
        sqlite: fn(&Path, &Settings) -> Result<sqlite::Pool, OpenError>,
    ) -> Result<Store, OpenError> {
        let database = if let Some(path) = url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            // `sqlite:///srv/bookings.db` is a usual way to write an absolute path.
            let path = path.strip_prefix("//").unwrap_or(path);
            Database::Sqlite(Arc::new(sqlite(Path::new(path), settings)?))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Database::Postgres(Arc::new(postgres::Pool::new(url, settings)?))
        } else {
            let expected = "`postgres://USER:PASSWORD@HOST:PORT/DATABASE` or `sqlite:PATH`";
            return Err(OpenError::url(url, expected, None));
        };
        Ok(Store { database, running: RunningKeys::default() })
    }

    /// One booking.
    pub async fn get(&self, id: Uuid) -> Result<Booking, Error> {
        self.run(Get { id }).await
    }

    /// A page of bookings in the order of `(starts_at, id)`.
    pub async fn list(&self, listing: Listing) -> Result<Page, Error> {
        self.run(List { listing }).await
    }

    /// Keeps a new booking and the tasks that follow from it, committed when this returns; [`Error::Overlap`] if the resource
    /// is taken. With `once`, one time only.
    pub async fn create(&self, booking: Booking, once: Option<Once>) -> Result<Created, Error> {
        let running = match (&once, &self.database) {
            (Some(once), Database::Sqlite(_)) => Some(self.running.claim(once).ok_or(Error::KeyRunning)?),
            _ => None,
        };
        match self.run(Create { booking, once, _running: running }).await? {
            Outcome::Created(task) => Ok(Created::New(task)),
            Outcome::Answered(answer) => Ok(Created::Before(answer)),
            Outcome::Overlap => Err(Error::Overlap),
        }
    }

    /// Changes a booking as `decide` says, which sees it as it is and as nobody else can change it meanwhile. What `decide`
    /// refuses is passed through, and nothing is changed. Gives the booking as it is now; one that was removed, as it was.
    pub async fn change<E>(
        &self,
        id: Uuid,
        now: Timestamp,
        decide: impl FnOnce(&Booking) -> Result<Change, E> + Send + 'static,
    ) -> Result<Booking, E>
    where
        E: From<Error> + Send + 'static,
    {
        self.run(ChangeBooking { id, now, decide, refusal: PhantomData }).await
    }

    /// Removes idempotency keys that have expired, `batch` at most, and says how many they were.
    pub async fn remove_expired_keys(&self, now: Timestamp, batch: u16) -> Result<u64, Error> {
        self.run(Expire { now, batch }).await
    }

    /// Whether the database answers, within a bound of its own.
    pub async fn ping(&self, within: Duration) -> Result<(), Error> {
        tokio::time::timeout(within, self.run(Ping)).await.unwrap_or_else(|_| {
            let source = Box::new(Said(format!("no answer within {within:?}").into()));
            Err(Error::Unavailable { doing: format!("ask {}", self.place()).into(), source })
        })
    }

    /// Closes idle connections and takes no more requests.
    pub fn close(&self) {
        match &self.database {
            Database::Postgres(pool) => pool.close(),
            Database::Sqlite(pool) => pool.close(),
        }
    }

    async fn run<O: Operation>(&self, operation: O) -> Result<O::Output, O::Error> {
        match &self.database {
            Database::Postgres(pool) => pool.run(operation).await,
            Database::Sqlite(pool) => pool.run(operation).await,
        }
    }

    fn place(&self) -> String {
        match &self.database {
            Database::Postgres(pool) => pool.place().to_owned(),
            Database::Sqlite(pool) => format!("`{}`", pool.path().display()),
        }
    }
}
