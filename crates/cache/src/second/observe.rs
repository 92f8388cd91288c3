//! What the second level tells: a span and a duration for each command, and the metrics
//! `throughline.cache.second_level.*`.
//!
//! Refuses: keys and values, which may be private. Outside of a request there are no spans.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::metrics::Counter;
use telemetry::{Database, DatabaseCall, KeyValue, names};

use super::{Second, link::Failed};

/// How often a full Redis is told of.
const SELDOM: Duration = Duration::from_secs(60);

/// Where Redis is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) server: (String, Option<u16>),
    pub(super) database: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, port) = &self.server;
        match port {
            Some(port) => write!(f, "{address}:{port}"),
            None => f.write_str(address),
        }
    }
}

/// What a look came to; the word is that of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A usable answer.
    Hit,
    /// Nothing usable.
    Miss,
    /// Something that is no answer of ours.
    Unreadable,
    /// Redis is left alone, or has failed.
    Away,
}

/// What became of an answer to be stored; the word is that of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Stored,
    /// It was invalidated meanwhile, or its lease was lost.
    Refused,
    TooLarge,
    /// Too many were waiting.
    Dropped,
    Failed,
}

impl Came {
    const ALL: [Came; 4] = [Came::Hit, Came::Miss, Came::Unreadable, Came::Away];

    fn word(self) -> &'static str {
        match self {
            Came::Hit => "hit",
            Came::Miss => "miss",
            Came::Unreadable => "unreadable",
            Came::Away => "away",
        }
    }
}

impl Filled {
    const ALL: [Filled; 5] =
        [Filled::Stored, Filled::Refused, Filled::TooLarge, Filled::Dropped, Filled::Failed];

    fn word(self) -> &'static str {
        match self {
            Filled::Stored => "stored",
            Filled::Refused => "refused",
            Filled::TooLarge => "too-large",
            Filled::Dropped => "dropped",
            Filled::Failed => "failed",
        }
    }
}

/// The instruments of one process.
#[derive(Debug)]
pub(super) struct Observer {
    redis: Database,
    looks: Counter<u64>,
    fills: Counter<u64>,
    told_full: Mutex<Option<Instant>>,
    place: String,
    /// Reasons that were told since it was last used: each once.
    told: Mutex<BTreeSet<String>>,
}

impl Observer {
    pub(super) fn new(place: Place) -> Observer {
        let meter = telemetry::meter("cache");
        let counter = |name, unit, description| {
            meter.u64_counter(name).with_unit(unit).with_description(description).build()
        };
        let looks = counter(
            names::METRIC_CACHE_SECOND_LOOKS,
            "{look}",
            "Looks for an answer in Redis, by what came of them",
        );
        let fills = counter(
            names::METRIC_CACHE_SECOND_FILLS,
            "{entry}",
            "Answers to be stored in Redis, by what became of them",
        );
        // There from the start: what appears with the first one has no rise to see.
        Came::ALL.iter().for_each(|came| looks.add(0, &[KeyValue::new(names::CACHE_RESULT, came.word())]));
        Filled::ALL
            .iter()
            .for_each(|filled| fills.add(0, &[KeyValue::new(names::CACHE_RESULT, filled.word())]));
        let said = place.to_string();
        let (address, port) = place.server;
        let mut attributes = vec![
            KeyValue::new(names::DB_SYSTEM_NAME, "redis"),
            KeyValue::new(names::DB_NAMESPACE, place.database.to_string()),
            KeyValue::new(names::DB_OPERATION_NAME, "EVALSHA"),
            KeyValue::new(names::SERVER_ADDRESS, address),
        ];
        attributes.extend(port.map(|port| KeyValue::new(names::SERVER_PORT, i64::from(port))));
        Observer {
            redis: Database::new("cache", attributes),
            looks,
            fills,
            told_full: Mutex::default(),
            place: said,
            told: Mutex::default(),
        }
    }

    /// Observes whether Redis is used, whenever metrics are collected.
    pub(super) fn observe(&self, second: &Arc<Second>) {
        let second = Arc::downgrade(second);
        telemetry::meter("cache")
            .u64_observable_gauge(names::METRIC_CACHE_SECOND_USED)
            .with_description("1 while Redis is used, 0 while it is left alone")
            .with_callback(move |observer| {
                if let Some(second) = second.upgrade() {
                    observer.observe(u64::from(second.is_used()), &[]);
                }
            })
            .build();
    }

    pub(super) fn looked(&self, came: Came) {
        self.looks.add(1, &[KeyValue::new(names::CACHE_RESULT, came.word())]);
    }

    pub(super) fn filled(&self, filled: Filled) {
        self.fills.add(1, &[KeyValue::new(names::CACHE_RESULT, filled.word())]);
    }

    /// Redis is not used, and why.
    pub(super) fn not_used(&self, failed: &Failed) {
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{failed:?}")) {
            let (kind, redis, error) = (failed.kind(), &self.place, failed as &dyn Error);
            tracing::warn!(error.type = kind, error, redis, "{}", failed.advice());
        }
    }

    /// It is well again; it is told when it is `used` once more.
    pub(super) fn used(&self, used: bool) {
        if used {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
            tracing::info!(redis = self.place, "Redis is used");
        }
    }

    /// Redis has no memory left, and evicts nothing.
    pub(super) fn full(&self) {
        let mut told = self.told_full.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() > SELDOM) {
            *told = Some(Instant::now());
            tracing::warn!(error.type = "full", "Redis is full and stores nothing: set its `maxmemory-policy` to `allkeys-lfu`");
        }
    }

    /// A command begins: a script of this name.
    pub(super) fn command(&self, script: &'static str) -> DatabaseCall {
        let script = KeyValue::new(names::DB_STORED_PROCEDURE_NAME, script);
        self.redis.call("EVALSHA", [script], || None)
    }
}
