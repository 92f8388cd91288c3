//! PostgreSQL: a bounded pool of connections, and what its errors mean.
//!
//! Promises: nobody waits longer than the settings say, for a connection or for an answer; a connection that has closed, or
//! that has been left alone and does not answer, is replaced, so that a restart of the database needs nobody's help.
//! All connections live on the runtime that the pool was opened on, and operations run there to their end: a client
//! that leaves, or an HTTP thread that stops, never tears a transaction.

use std::{borrow::Cow, future::poll_fn, pin::pin, sync::Arc, time::Duration};

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool as Connections, PoolError,
    RecyclingMethod, Runtime, Timeouts,
};
use opentelemetry::context::FutureExt as _;
use telemetry::Context;
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, NoTls, config::Host, config::SslMode, error::SqlState};

use crate::{
    error::{Error, Failure, Meaning, OpenError, Said},
    observe::{Fill, Observer, Place},
    operations::{Operation, transact},
    session::{self, Session},
    settings::Settings,
    value::{Row, Value},
    waiter::{self, Listener},
};

/// A connection that has rested for so long is asked whether it still answers before it is used.
const RESTED: Duration = Duration::from_secs(1);
/// How much longer than the database's own time-out a statement is waited for: past that the database, or the way to it, is gone.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Pool {
    connections: Connections,
    observer: Arc<Observer>,
    home: Handle,
    wait: Duration,
    patience: Duration,
    config: Config,
    /// `PostgreSQL at db:5432`
    place: String,
}

impl Pool {
    /// Opens no connection yet. Must be called on the runtime that shall hold them.
    pub(crate) fn new(url: &str, settings: &Settings) -> Result<Self, OpenError> {
        let config = config(url, settings)?;
        let home = Handle::current();
        let place = place(&config);
        let kept = config.clone();
        let connect = OnHome { home: home.clone() };
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let connections = Connections::builder(Manager::from_connect(config, connect, recycling))
            .max_size(settings.connections)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(settings.wait),
                create: Some(settings.wait),
                recycle: Some(settings.wait),
            })
            .pre_recycle(Hook::async_fn(|client, metrics| {
                let rested = metrics.last_used() > RESTED;
                Box::pin(async move {
                    // What broke it has been told by then; the pool's own library would tell it again.
                    if client.is_closed() {
                        return Err(HookError::message("the connection has closed"));
                    }
                    if rested {
                        client.simple_query("").await.map_err(HookError::Backend)?;
                    }
                    Ok(())
                })
            }))
            .build()
            .expect("a runtime is given for the time-outs");
        let asked = connections.clone();
        Ok(Self {
            observer: Arc::new(Observer::new(&place, move || fill(&asked))),
            connections,
            home,
            wait: settings.wait,
            patience: settings.statement_timeout + GRACE,
            config: kept,
            place: place.sentence(),
        })
    }

    /// Runs an operation to its end, whatever becomes of the caller.
    pub(crate) async fn run<O: Operation>(&self, operation: O) -> Result<O::Output, O::Error> {
        let object = self.acquire().await?;
        let connection = Connection { object: Some(object), patience: self.patience, broken: false };
        let mut session = Session::new(session::Connection::Postgres(connection), Arc::clone(&self.observer));
        let (answer, answered) = oneshot::channel();
        let work = async move {
            let outcome = transact(&mut session, operation).await;
            let wakes_workers = session.wakes_workers();
            let connection = match session.into_connection() {
                Some(session::Connection::Postgres(connection)) if wakes_workers => Some(connection),
                Some(session::Connection::Postgres(connection)) => {
                    connection.back_to_the_pool();
                    None
                }
                _ => None,
            };
            // Nobody listens to the outcome who has left meanwhile.
            let _ = answer.send(outcome);
            if let Some(connection) = connection {
                connection.wake_workers().await;
            }
        };
        let running = self.home.spawn(work.with_context(Context::current()));
        if let Ok(outcome) = answered.await {
            return outcome;
        }
        let source: Box<dyn std::error::Error + Send + Sync> = match running.await {
            Err(ended) => Box::new(ended),
            Ok(()) => Box::new(Said("it gave no outcome".into())),
        };
        Err(Error::Internal { doing: "run an operation to its end".into(), source }.into())
    }

    /// One who is told of tasks.
    pub(crate) fn listen(&self) -> Listener {
        Listener::start(self.config.clone(), &self.home, self.wait)
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn close(&self) {
        self.connections.close();
    }

    async fn acquire(&self) -> Result<Object, Error> {
        let acquire = self.observer.acquire(fill(&self.connections));
        let outcome = self.connections.get().await.map_err(|error| self.refused(error));
        if let Err(error) = &outcome {
            acquire.failed(error);
        }
        outcome
    }

    fn refused(&self, error: PoolError) -> Error {
        let doing = format!("connect to {}", self.place).into();
        match error {
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                Error::Exhausted { waited: self.wait }
            }
            PoolError::Timeout(_) => {
                let said = format!("no answer within {:?}", self.wait);
                Error::Unavailable { doing, source: Box::new(Said(said.into())) }
            }
            PoolError::Backend(error) => Error::Unavailable { doing, source: Box::new(error) },
            other => Error::Unavailable { doing, source: Box::new(other) },
        }
    }
}

/// Connects on the pool's own runtime, whoever asks: the connection lives as long as that one does.
struct OnHome {
    home: Handle,
}

impl Connect for OnHome {
    fn connect(
        &self,
        config: &Config,
    ) -> std::pin::Pin<
        Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + '_>,
    > {
        let config = config.clone();
        Box::pin(async move {
            let mut connecting = pin!(config.connect(NoTls));
            let (client, connection) = poll_fn(|cx| {
                let _home = self.home.enter();
                connecting.as_mut().poll(cx)
            })
            .await?;
            let driver = self.home.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "database connection broken");
                }
            });
            Ok((client, driver))
        })
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    object: Option<Object>,
    patience: Duration,
    broken: bool,
}

impl Connection {
    pub(crate) async fn batch(&mut self, text: &str) -> Result<(), Failure> {
        let outcome = timeout(self.patience, self.object().batch_execute(text)).await;
        self.understood(outcome)
    }

    pub(crate) async fn execute(&mut self, text: &str, values: &[Value]) -> Result<u64, Failure> {
        let object = self.object();
        let running = async {
            let statement = object.prepare_cached(text).await?;
            object.execute_raw(&statement, values).await
        };
        let outcome = timeout(self.patience, running).await;
        self.understood(outcome)
    }

    pub(crate) async fn rows(&mut self, text: &str, values: &[Value]) -> Result<Vec<Row>, Failure> {
        let object = self.object();
        let parameters: Vec<_> =
            values.iter().map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync)).collect();
        let running = async {
            let statement = object.prepare_cached(text).await?;
            let rows = object.query(&statement, &parameters).await?;
            rows.iter().map(|row| (0..row.len()).map(|column| row.try_get(column)).collect()).collect()
        };
        let outcome: Result<Result<Vec<Vec<Value>>, _>, _> = timeout(self.patience, running).await;
        Ok(self.understood(outcome)?.into_iter().map(Row).collect())
    }

    /// After the commit, in a transaction of its own that writes nothing. Within the one that enqueues it would cost five times
    /// as many commits: PostgreSQL lets one `NOTIFY` commit at a time, and has it wait for the disk. A notice that is lost with
    /// this process costs a few seconds: those who wait look by themselves.
    async fn wake_workers(mut self) {
        match self.batch(waiter::NOTIFY).await {
            Ok(()) => self.back_to_the_pool(),
            Err(failure) => {
                let error = failure.source.as_ref() as &dyn std::error::Error;
                tracing::debug!(error, "workers not woken");
            }
        }
    }

    /// Waits for what follows as long as it takes.
    pub(crate) fn be_patient(&mut self) {
        self.patience = Duration::MAX;
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken || self.object().is_closed()
    }

    fn back_to_the_pool(mut self) {
        // A pooled connection goes back by being dropped.
        drop(self.object.take());
    }

    fn object(&self) -> &Object {
        self.object.as_ref().expect("only `back_to_the_pool` takes it, at the end")
    }

    fn understood<T>(
        &mut self,
        outcome: Result<Result<T, tokio_postgres::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, Failure> {
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let failure = understand(error);
                self.broken |= failure.meaning != Meaning::Overlap && !is_plain(&failure);
                Err(failure)
            }
            Err(elapsed) => {
                self.broken = true;
                Err(Failure {
                    meaning: Meaning::Unavailable,
                    kind: "timeout".into(),
                    code: None,
                    source: Box::new(elapsed),
                })
            }
        }
    }
}

impl Drop for Connection {
    /// One that is not given back is closed: it may be broken, or inside a transaction.
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

/// Whether the connection itself is as good as before: the statement was stopped or lost a race.
fn is_plain(failure: &Failure) -> bool {
    let plain =
        [SqlState::QUERY_CANCELED, SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    failure.code.as_deref().is_some_and(|code| plain.iter().any(|state| state.code() == code))
}

/// What an error means. Of what the database says only the sentence is kept: its details quote values.
fn understand(error: tokio_postgres::Error) -> Failure {
    let Some(said) = error.as_db_error() else {
        let lost = error.is_closed()
            || std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>());
        let (meaning, kind) = if lost {
            (Meaning::Unavailable, "connection_lost")
        } else {
            (Meaning::Internal, "tokio_postgres::Error")
        };
        return Failure { meaning, kind: kind.into(), code: None, source: Box::new(error) };
    };
    let code = said.code().code().to_owned();
    let sentence = format!("{}: {}", said.severity(), said.message());
    Failure {
        meaning: meaning(&code),
        kind: Cow::Owned(code.clone()),
        code: Some(code),
        source: Box::new(Said(sentence.into())),
    }
}

/// PostgreSQL, Appendix A: the first two characters are the class.
fn meaning(code: &str) -> Meaning {
    match code {
        "23P01" => Meaning::Overlap,
        // A transaction that lost a race; a lock that did not come; a standby after a fail-over; a plan that a migration made stale.
        "40001" | "40P01" | "55P03" | "25006" | "0A000" | "26000" => Meaning::Unavailable,
        // Connections, resources, an operator's or time-out's intervention, the system below.
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Meaning::Unavailable,
        _ => Meaning::Internal,
    }
}

fn config(url: &str, settings: &Settings) -> Result<Config, OpenError> {
    let expected = "`postgres://USER:PASSWORD@HOST:PORT/DATABASE`";
    let mut config: Config =
        url.parse().map_err(|error| OpenError::url(url, expected, Some(Box::new(error))))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(OpenError::url(url, expected, None));
    }
    if config.get_ssl_mode() == SslMode::Require {
        let expected =
            "without `sslmode=require`: TLS to PostgreSQL is not supported, so keep it on a private network";
        return Err(OpenError::url(url, expected, None));
    }
    if config.get_application_name().is_none() {
        config.application_name("throughline");
    }
    let milliseconds = settings.statement_timeout.as_millis();
    let ours =
        format!("-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}");
    let options = config.get_options().map_or(ours.clone(), |theirs| format!("{ours} {theirs}"));
    config.options(options).connect_timeout(settings.wait).keepalives_idle(Duration::from_secs(30));
    Ok(config)
}

fn place(config: &Config) -> Place {
    let address: Arc<str> = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.as_str().into(),
        Some(Host::Unix(directory)) => directory.to_string_lossy().into(),
        None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default().into(),
    };
    let is_socket = matches!(config.get_hosts().first(), Some(Host::Unix(_)));
    let port = (!is_socket).then(|| config.get_ports().first().copied().unwrap_or(5432));
    // libpq's rule: the database is called like the user where nothing is said.
    let namespace = config.get_dbname().or(config.get_user()).unwrap_or_default().into();
    Place { system: "postgresql", namespace, server: Some((address, port)) }
}

impl Place {
    fn sentence(&self) -> String {
        match &self.server {
            Some((address, Some(port))) => format!("PostgreSQL at {address}:{port}"),
            Some((address, None)) => format!("PostgreSQL at {address}"),
            None => "PostgreSQL".to_owned(),
        }
    }
}

fn fill(connections: &Connections) -> Fill {
    let status = connections.status();
    Fill {
        bound: status.max_size,
        size: status.size,
        in_use: status.size.saturating_sub(status.available),
        waiting: status.waiting,
    }
}
