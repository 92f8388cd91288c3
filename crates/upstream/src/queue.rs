//! The wait queue in front of a replica: bounded in length and in time, first come first served, one for all threads.
//!
//! Promises: whoever waits either gets a place or is told within the bound that there is none; the wait is measured and
//! becomes a span. Refuses: waiting when the queue is full, or when nobody knows whether the replica lives.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use telemetry::{KeyValue, Scope, Span, names};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, TryAcquireError};

use crate::replica::Replica;

/// A place at a replica; free again when dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// The bounds of a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) length: u32,
    pub(crate) until: Instant,
}

/// Why there was no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("the wait queue is full")]
    Queue,
    #[error("no place came free in time")]
    TooLong,
}

/// Waits for a place at `replica`.
pub(crate) async fn enter(replica: &Arc<Replica>, bounds: Bounds) -> Result<Place, Full> {
    match replica.places.clone().try_acquire_owned() {
        Ok(place) => Ok(place),
        Err(TryAcquireError::NoPermits) => wait(replica, bounds).await,
        Err(TryAcquireError::Closed) => unreachable!("the places of a replica are never closed"),
    }
}

async fn wait(replica: &Arc<Replica>, bounds: Bounds) -> Result<Place, Full> {
    let _waiting = Waiting::join(replica, bounds.length).ok_or(Full::Queue)?;
    let (started, began) = (SystemTime::now(), Instant::now());
    let place = tokio::time::timeout_at(bounds.until.into(), replica.places.clone().acquire_owned()).await;
    tell(replica, started, began.elapsed());
    match place {
        Ok(place) => {
            place.map_err(|_: AcquireError| unreachable!("the places of a replica are never closed"))
        }
        Err(_elapsed) => Err(Full::TooLong),
    }
}

fn tell(replica: &Replica, started: SystemTime, waited: Duration) {
    if let Some(scope) = Scope::current() {
        scope.add_queue(waited);
    }
    let attributes = vec![KeyValue::new(names::REPLICA, replica.name.clone())];
    drop(Span::internal_since(names::SPAN_UPSTREAM_WAIT, started, attributes));
}

/// One who waits; leaves the count however the wait ends.
struct Waiting<'a>(&'a Replica);

impl<'a> Waiting<'a> {
    fn join(replica: &'a Replica, length: u32) -> Option<Waiting<'a>> {
        let joined = replica.waiting.fetch_add(1, Relaxed) < length;
        let waiting = Waiting(replica);
        joined.then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
