//! What the store tells about itself: a span and a duration for each statement, a span for each wait for a connection,
//! and how full the pool is.
//!
//! Refuses: values. A statement's text has placeholders, and of a failure only its code and the database's sentence are told.
//! Outside of a request (readiness, migrations, cleaning up) there are no spans: they would be traces of one span, every few seconds.

use std::{sync::Arc, time::Instant};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};
use telemetry::{Database, DatabaseCall, Scope, Span, names};

use crate::{
    error::{Error, Failure},
    session::Sql,
};

/// How full the pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Connections at most.
    pub(crate) bound: usize,
    /// Connections that are open.
    pub(crate) size: usize,
    /// Those that an operation holds.
    pub(crate) in_use: usize,
    /// Operations that wait for one.
    pub(crate) waiting: usize,
}

/// Which database, as spans and metrics say it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) system: &'static str,
    pub(crate) namespace: Arc<str>,
    pub(crate) server: Option<(Arc<str>, Option<u16>)>,
}

#[derive(Debug)]
pub(crate) struct Observer {
    database: Database,
    pool: Vec<KeyValue>,
    wait: Histogram<f64>,
    timeouts: Counter<u64>,
}

impl Observer {
    /// `fill` is asked whenever metrics are collected.
    pub(crate) fn new(place: &Place, fill: impl Fn() -> Fill + Clone + Send + Sync + 'static) -> Self {
        let meter = telemetry::meter("store");
        let pool = vec![KeyValue::new(names::DB_POOL_NAME, Arc::clone(&place.namespace))];
        observe_fill(&pool, fill);
        let timeouts = meter.u64_counter(names::METRIC_DB_TIMEOUTS).with_unit("{timeout}").build();
        // There from the start: what appears with the first one has no rise to see.
        timeouts.add(0, &pool);
        Self {
            database: Database::new("store", place.attributes()),
            pool,
            wait: meter
                .f64_histogram(names::METRIC_DB_WAIT)
                .with_unit("s")
                .with_boundaries(names::DB_SECONDS.to_vec())
                .build(),
            timeouts,
        }
    }

    /// Begins to wait for a connection.
    pub(crate) fn acquire(&self, fill: Fill) -> Acquire<'_> {
        let span = telemetry::is_in_request().then(|| {
            Span::internal(
                names::SPAN_POOL_ACQUIRE,
                vec![
                    KeyValue::new(names::POOL_SIZE, count(fill.size)),
                    KeyValue::new(names::POOL_IN_USE, count(fill.in_use)),
                    KeyValue::new(names::POOL_WAITING, count(fill.waiting)),
                ],
            )
        });
        Acquire { observer: self, span, scope: Scope::current(), started: Instant::now() }
    }

    /// Begins a statement.
    pub(crate) fn statement(&self, sql: &Sql<'_>, text: &str) -> Statement {
        let table = (!sql.table.is_empty()).then(|| KeyValue::new(names::DB_COLLECTION_NAME, sql.table));
        let told = [KeyValue::new(names::DB_OPERATION_NAME, sql.operation)].into_iter().chain(table);
        let in_span = || Some(KeyValue::new(names::DB_QUERY_TEXT, text.to_owned()));
        let call = self.database.call(sql.name(), told, in_span);
        let scope = Scope::current();
        if let Some(scope) = &scope {
            scope.db_begins();
        }
        Statement { call, scope }
    }
}

/// A wait for a connection; ends when dropped, also when whoever waited has left.
#[derive(Debug)]
pub(crate) struct Acquire<'a> {
    observer: &'a Observer,
    span: Option<Span>,
    scope: Option<Scope>,
    started: Instant,
}

impl Acquire<'_> {
    pub(crate) fn failed(&self, error: &Error) {
        let kind = match error {
            Error::Exhausted { .. } => {
                self.observer.timeouts.add(1, &self.observer.pool);
                "pool_timeout"
            }
            _ => "connect",
        };
        if let Some(span) = &self.span {
            span.fail(kind, error);
        }
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let waited = self.started.elapsed();
        self.observer.wait.record(waited.as_secs_f64(), &self.observer.pool);
        if let Some(scope) = &self.scope {
            scope.add_pool_wait(waited);
        }
    }
}

/// A statement that runs; one that is dropped before it has ended was cancelled.
#[derive(Debug)]
pub(crate) struct Statement {
    call: DatabaseCall,
    scope: Option<Scope>,
}

impl Statement {
    pub(crate) fn ended<T>(mut self, outcome: &Result<T, Failure>) {
        match outcome {
            Ok(_) => self.call.succeeded(),
            Err(failure) => {
                self.call.failed(failure.kind.clone(), failure.code.clone(), failure.source.as_ref());
            }
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        if let Some(scope) = &self.scope {
            scope.add_db(self.call.took());
        }
    }
}

impl Place {
    fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new(names::DB_SYSTEM_NAME, self.system),
            KeyValue::new(names::DB_NAMESPACE, Arc::clone(&self.namespace)),
        ];
        if let Some((address, port)) = &self.server {
            attributes.push(KeyValue::new(names::SERVER_ADDRESS, Arc::clone(address)));
            if let Some(port) = port {
                attributes.push(KeyValue::new(names::SERVER_PORT, i64::from(*port)));
            }
        }
        attributes
    }
}

fn observe_fill(pool: &[KeyValue], fill: impl Fn() -> Fill + Clone + Send + Sync + 'static) {
    let meter = telemetry::meter("store");
    let with = |state| {
        let mut attributes = pool.to_vec();
        attributes.push(KeyValue::new(names::DB_POOL_STATE, state));
        attributes
    };
    let (used, idle) = (with("used"), with("idle"));
    let count_fill = fill.clone();
    meter
        .i64_observable_up_down_counter(names::METRIC_DB_CONNECTIONS)
        .with_unit("{connection}")
        .with_callback(move |observer| {
            let fill = count_fill();
            observer.observe(count(fill.in_use), &used);
            observer.observe(count(fill.size.saturating_sub(fill.in_use)), &idle);
        })
        .build();
    let (max_fill, max_pool) = (fill.clone(), pool.to_vec());
    meter
        .i64_observable_up_down_counter(names::METRIC_DB_CONNECTIONS_MAX)
        .with_unit("{connection}")
        .with_callback(move |observer| observer.observe(count(max_fill().bound), &max_pool))
        .build();
    let pool = pool.to_vec();
    meter
        .i64_observable_up_down_counter(names::METRIC_DB_PENDING)
        .with_unit("{request}")
        .with_callback(move |observer| observer.observe(count(fill().waiting), &pool))
        .build();
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
