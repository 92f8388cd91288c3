//! Once: a request that names itself by an idempotency key is carried out one time, and answered the same way each time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use crate::Timestamp;

/// A request's key, what it asked for, and the answer to remember if it succeeds.
#[derive(Clone, Debug)]
pub struct Once {
    /// What the key belongs to: `POST /api/bookings`.
    pub route: &'static str,
    /// As the client chose it.
    pub key: String,
    /// SHA-256 of what was asked: the same key with another is refused.
    pub request_hash: [u8; 32],
    /// Given again for the same key and request.
    pub answer: Answer,
    /// The clock's reading.
    pub now: Timestamp,
}

impl Once {
    /// For how long an answer is remembered.
    pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
}

/// An answer as it was first given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Location`.
    pub location: String,
    /// `ETag`.
    pub etag: String,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// The task that follows from what was done; filled in by the store.
    pub task: Option<Uuid>,
}

/// The keys whose first request is running in this process. SQLite's counterpart of PostgreSQL's advisory locks: with
/// several processes on one file a second request waits for the first one's commit instead, and gets its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunningKeys(Arc<Mutex<HashSet<Key>>>);

type Key = (&'static str, String);

/// A key in use; free again when dropped.
#[derive(Debug)]
pub(crate) struct RunningKey {
    keys: RunningKeys,
    key: Key,
}

impl RunningKeys {
    /// None when it is in use.
    pub(crate) fn claim(&self, once: &Once) -> Option<RunningKey> {
        let key = (once.route, once.key.clone());
        let claimed = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        claimed.then(|| RunningKey { keys: self.clone(), key })
    }
}

impl Drop for RunningKey {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
