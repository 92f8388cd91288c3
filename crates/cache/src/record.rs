//! What is told about each request: attributes of its span, its line, `Server-Timing`, and the metrics
//! `throughline.cache.*`.

use std::{sync::Arc, time::SystemTime};

use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram};
use telemetry::{KeyValue, Scope, SpanContext, names};

use crate::{freshness::Freshness, store::Store};

/// What became of a request; the word is that of `throughline.cache.result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered from the store.
    Hit,
    /// Answered from the store by what is stale, as that permits, while the origin is asked again.
    Stale,
    /// Answered from the store by what is stale, as the origin failed.
    StaleIfError,
    /// Answered from the store after the origin confirmed it.
    Revalidated,
    /// Answered by the origin.
    Miss,
    /// Answered by another request's fetch.
    Collapsed,
    /// Passed through.
    Bypass,
}

impl Outcome {
    const ALL: [Outcome; 7] = [
        Outcome::Hit,
        Outcome::Stale,
        Outcome::StaleIfError,
        Outcome::Revalidated,
        Outcome::Miss,
        Outcome::Collapsed,
        Outcome::Bypass,
    ];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::Stale => "stale",
            Outcome::StaleIfError => "stale-if-error",
            Outcome::Revalidated => "revalidated",
            Outcome::Miss => "miss",
            Outcome::Collapsed => "collapsed",
            Outcome::Bypass => "bypass",
        }
    }
}

/// The instruments of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    requests: Counter<u64>,
    age: Histogram<f64>,
    saved: Counter<f64>,
}

/// Bounds of ages, from the second to the day.
const AGES: [f64; 10] = [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0];

/// Observes what is stored, once a process; made after telemetry has started, before that it records nothing.
pub(crate) fn observe(store: &Arc<Store>) {
    let meter = telemetry::meter("cache");
    let read = |read: fn(&Store) -> u64| {
        let store = Arc::downgrade(store);
        move |observer: &dyn AsyncInstrument<u64>| {
            if let Some(store) = store.upgrade() {
                observer.observe(read(&store), &[]);
            }
        }
    };
    meter
        .u64_observable_gauge(names::METRIC_CACHE_SIZE)
        .with_unit("By")
        .with_description("Bytes stored, with headers and overhead")
        .with_callback(read(Store::weight))
        .build();
    meter
        .u64_observable_gauge(names::METRIC_CACHE_ENTRIES)
        .with_unit("{entry}")
        .with_description("Targets with stored answers")
        .with_callback(read(|store| store.len() as u64))
        .build();
    meter
        .u64_observable_counter(names::METRIC_CACHE_EVICTIONS)
        .with_unit("{entry}")
        .with_description("Targets dropped for want of room")
        .with_callback(read(Store::evicted))
        .build();
}

impl Record {
    /// Made after telemetry has started.
    pub(crate) fn new() -> Record {
        let requests = telemetry::meter("cache")
            .u64_counter(names::METRIC_CACHE_REQUESTS)
            .with_unit("{request}")
            .with_description("Requests by what became of them")
            .build();
        // There from the start: what appears with the first request has no rise to see.
        for outcome in Outcome::ALL {
            requests.add(0, &[KeyValue::new(names::CACHE_RESULT, outcome.word())]);
        }
        let age = telemetry::meter("cache")
            .f64_histogram(names::METRIC_CACHE_AGE)
            .with_unit("s")
            .with_description("Age of answers that were given without asking the origin first")
            .with_boundaries(AGES.to_vec())
            .build();
        let saved = telemetry::meter("cache")
            .f64_counter(names::METRIC_CACHE_SAVED)
            .with_unit("s")
            .with_description("Waiting that such answers saved: for each, as long as the origin took for it")
            .build();
        saved.add(0.0, &[]);
        Record { requests, age, saved }
    }

    /// An answer is given without asking the origin first.
    pub(crate) fn given(&self, freshness: &Freshness, now: SystemTime) {
        self.age.record(freshness.age(now).unwrap_or_default().as_secs_f64(), &[]);
        self.saved.add(freshness.response_delay.as_secs_f64(), &[]);
    }

    /// Tells the current request what became of it and why; `from` is the span that its answer comes from.
    pub(crate) fn tell(&self, outcome: Outcome, reason: Option<&'static str>, from: Option<&SpanContext>) {
        let word = outcome.word();
        self.requests.add(1, &[KeyValue::new(names::CACHE_RESULT, word)]);
        tracing::debug!(result = word, reason, "decided");
        let Some(scope) = Scope::current() else { return };
        scope.proxy();
        scope.cache_hit(matches!(outcome, Outcome::Hit | Outcome::Stale));
        scope.timing_description(word);
        scope.attribute(KeyValue::new(names::CACHE_RESULT, word));
        if let Some(reason) = reason {
            scope.attribute(KeyValue::new(names::CACHE_REASON, reason));
        }
        if let Some(from) = from.filter(|from| from.is_valid()) {
            scope.link(from.clone(), vec![KeyValue::new(names::CACHE_RESULT, word)]);
        }
    }
}
