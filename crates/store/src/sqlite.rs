//! SQLite: one file that several processes may share, off the async threads.
//!
//! Two lanes of connections: one connection for operations that write (SQLite has one writer at a time anyway), the rest for
//! those that read, which never wait for it (write-ahead log). A lane is a semaphore: the time in front of it is the wait for a connection.
//! Promises: what is acknowledged is on the disk (`synchronous=FULL`); an operation that has begun runs to its end, whatever
//! becomes of the caller; another process that holds the write lock is waited for no longer than the settings say.

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use rusqlite::{ErrorCode, InterruptHandle, OpenFlags, ffi};
use telemetry::Context;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    error::{Error, Failure, Meaning, OpenError},
    observe::{Fill, Observer, Place},
    operations::{Operation, transact},
    session::{self, Session},
    settings::Settings,
    value::{Row, Value},
    waiter::Watch,
};

#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    settings: Settings,
    observer: Arc<Observer>,
    writing: Arc<Lane>,
    reading: Arc<Lane>,
    home: Handle,
}

/// Connections of one purpose: so many places, and those that are open and idle.
#[derive(Debug)]
struct Lane {
    writes: bool,
    places: Arc<Semaphore>,
    bound: usize,
    idle: Mutex<Vec<rusqlite::Connection>>,
    waiting: AtomicUsize,
}

impl Pool {
    /// Makes the file, readable by its owner only, and its directory where they are missing.
    pub(crate) fn new(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        create(path).map_err(|source| OpenError::Database {
            doing: format!("create `{}`", path.display()),
            source: Box::new(source),
        })?;
        Ok(Self::on(path, settings))
    }

    /// Makes nothing: the file must be there.
    pub(crate) fn existing(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        std::fs::metadata(path).map_err(|source| OpenError::Database {
            doing: format!("find `{}`", path.display()),
            source: Box::new(source),
        })?;
        Ok(Self::on(path, settings))
    }

    fn on(path: &Path, settings: &Settings) -> Self {
        let writing = Arc::new(Lane::new(true, 1));
        let reading = Arc::new(Lane::new(false, settings.connections.saturating_sub(1).max(1)));
        let namespace = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default().into();
        let place = Place { system: "sqlite", namespace, server: None };
        let lanes = [Arc::clone(&writing), Arc::clone(&reading)];
        let observer = Observer::new(&place, move || Fill::of(&lanes));
        Self {
            path: path.to_owned(),
            settings: settings.clone(),
            observer: Arc::new(observer),
            writing,
            reading,
            home: Handle::current(),
        }
    }

    /// Runs an operation to its end on a thread that may block.
    pub(crate) async fn run<O: Operation>(&self, operation: O) -> Result<O::Output, O::Error> {
        let lane = if O::WRITES { &self.writing } else { &self.reading };
        let place = self.acquire(lane).await?;
        let interrupt = Arc::new(OnceLock::new());
        let job = Job {
            path: self.path.clone(),
            busy: self.settings.wait,
            lane: Arc::clone(lane),
            observer: Arc::clone(&self.observer),
            interrupt: Arc::clone(&interrupt),
            context: Context::current(),
            _place: place,
        };
        let mut running = self.home.spawn_blocking(move || job.run(operation));
        let outcome = match timeout(self.settings.statement_timeout, &mut running).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // It ends by itself now: with SQLITE_INTERRUPT, or well, when it was just about to.
                interrupt.get().inspect(|handle: &&InterruptHandle| handle.interrupt());
                running.await
            }
        };
        outcome.unwrap_or_else(|ended| {
            let source = Box::new(ended);
            Err(Error::Internal { doing: "run an operation to its end".into(), source }.into())
        })
    }

    /// One who looks for commits.
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(self.path.clone(), self.settings.wait, self.home.clone())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn close(&self) {
        for lane in [&self.writing, &self.reading] {
            lane.places.close();
            lane.idle().clear();
        }
    }

    async fn acquire(&self, lane: &Arc<Lane>) -> Result<OwnedSemaphorePermit, Error> {
        // Of this lane alone: connections of the other one are of no use to who waits here.
        let acquire = self.observer.acquire(lane.fill());
        let outcome = lane.place(self.settings.wait).await;
        if let Err(error) = &outcome {
            acquire.failed(error);
        }
        outcome
    }
}

impl Lane {
    fn new(writes: bool, bound: usize) -> Self {
        let places = Arc::new(Semaphore::new(bound));
        Self { writes, places, bound, idle: Mutex::default(), waiting: AtomicUsize::new(0) }
    }

    async fn place(&self, wait: Duration) -> Result<OwnedSemaphorePermit, Error> {
        /// Counts one that waits, also when it leaves.
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        match timeout(wait, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(closed)) => {
                Err(Error::Unavailable { doing: "use a closed store".into(), source: Box::new(closed) })
            }
            Err(_) => Err(Error::Exhausted { waited: wait }),
        }
    }

    fn fill(&self) -> Fill {
        let in_use = self.bound - self.places.available_permits().min(self.bound);
        Fill {
            bound: self.bound,
            // A connection is laid down a moment before its place is free: it must not count twice.
            size: (in_use + self.idle().len()).min(self.bound),
            in_use,
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<rusqlite::Connection>> {
        // A list of connections is whole at every moment, also when its holder panicked.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fill {
    fn of(lanes: &[Arc<Lane>; 2]) -> Self {
        lanes.iter().map(|lane| lane.fill()).fold(Fill::default(), |sum, lane| Fill {
            bound: sum.bound + lane.bound,
            size: sum.size + lane.size,
            in_use: sum.in_use + lane.in_use,
            waiting: sum.waiting + lane.waiting,
        })
    }
}

/// One operation, on its way to a thread that may block.
struct Job {
    path: PathBuf,
    busy: Duration,
    lane: Arc<Lane>,
    observer: Arc<Observer>,
    interrupt: Arc<OnceLock<InterruptHandle>>,
    context: Context,
    _place: OwnedSemaphorePermit,
}

impl Job {
    fn run<O: Operation>(self, operation: O) -> Result<O::Output, O::Error> {
        let _context = self.context.attach();
        let idle = self.lane.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, self.lane.writes, self.busy)
                .map_err(|error| understand(error).into_error(format!("open `{}`", self.path.display())))?,
        };
        // Nobody else sets it: a job runs once.
        let _ = self.interrupt.set(connection.get_interrupt_handle());
        let connection = Connection { connection, broken: false };
        let mut session = Session::new(session::Connection::Sqlite(connection), self.observer);
        let outcome = transact(&mut session, operation)
            .now_or_never()
            .expect("a session of SQLite never waits: its functions hold no `await` of their own");
        if let Some(session::Connection::Sqlite(connection)) = session.into_connection() {
            self.lane.idle().push(connection.connection);
        }
        outcome
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    connection: rusqlite::Connection,
    broken: bool,
}

impl Connection {
    pub(crate) fn batch(&mut self, text: &str) -> Result<(), Failure> {
        let outcome = self.connection.execute_batch(text);
        self.understood(outcome)
    }

    pub(crate) fn execute(&mut self, text: &str, values: &[Value]) -> Result<u64, Failure> {
        let outcome = self
            .connection
            .prepare_cached(text)
            .and_then(|mut statement| statement.execute(rusqlite::params_from_iter(values)));
        self.understood(outcome).map(|changed| changed as u64)
    }

    pub(crate) fn rows(&mut self, text: &str, values: &[Value]) -> Result<Vec<Row>, Failure> {
        let outcome = self.connection.prepare_cached(text).and_then(|mut statement| {
            let columns = statement.column_count();
            statement
                .query_map(rusqlite::params_from_iter(values), |row| {
                    (0..columns).map(|column| row.get(column)).collect::<Result<_, _>>().map(Row)
                })?
                .collect()
        });
        self.understood(outcome)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken || !self.connection.is_autocommit()
    }

    fn understood<T>(&mut self, outcome: rusqlite::Result<T>) -> Result<T, Failure> {
        outcome.map_err(|error| {
            // Whatever it was, a fresh connection costs little; a statement that was refused costs none.
            let refused =
                [ErrorCode::ConstraintViolation, ErrorCode::DatabaseBusy, ErrorCode::OperationInterrupted];
            self.broken |= error.sqlite_error_code().is_none_or(|code| !refused.contains(&code));
            understand(error)
        })
    }
}

fn understand(error: rusqlite::Error) -> Failure {
    let code = error.sqlite_error().map(|error| error.extended_code);
    let meaning = match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) if code == Some(ffi::SQLITE_CONSTRAINT_TRIGGER) => {
            Meaning::Overlap
        }
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OperationInterrupted
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen,
        ) => Meaning::Unavailable,
        _ => Meaning::Internal,
    };
    let code = code.map(|code| code.to_string());
    let kind = code.clone().map_or("rusqlite::Error".into(), Into::into);
    Failure { meaning, kind, code, source: Box::new(error) }
}

fn create(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    // SQLite gives its log and its index the same mode as the file.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

pub(crate) fn connect(path: &Path, writes: bool, busy: Duration) -> rusqlite::Result<rusqlite::Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy)?;
    write_ahead(&connection, busy)?;
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")?;
    connection.pragma_update(None, "query_only", !writes)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Switching the journal needs the file for itself, and SQLite does not wait for that by its busy time-out: two processes
/// that start at once would fail each other.
fn write_ahead(connection: &rusqlite::Connection, busy: Duration) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < busy =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome.map(drop),
        }
    }
}
