//! The right to be the only one of all caches that fetches a key, and to store what comes.
//!
//! Promises: it is renewed for as long as it is held, and let go of when dropped, so that those who wait go on at once;
//! that of a cache that was killed runs out by itself within [`LEASE_MS`].

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::AbortHandle, time::sleep};

use super::{
    Second,
    fill::Fill,
    link::{PATIENCE, Way},
    script::LEASE_MS,
};
use crate::{entry::Entry, key::Key};

/// How long requests for a key whose answer could not be shared need not wait for each other: as in memory.
const ALONE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) second: Arc<Second>,
    pub(super) key: Key,
    /// What it is for: the digest of a selection, or empty where nobody knew of any.
    pub(super) digest: String,
    pub(super) token: String,
    end: Mutex<End>,
    renewing: AbortHandle,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Whoever waits may take it.
    Free,
    /// Whoever waits goes on by himself.
    Alone,
    /// The same, and what is stored is wrong.
    Gone,
    /// It went with the answer that was stored under it.
    Used,
}

impl Lease {
    pub(super) fn new(second: &Arc<Second>, key: &Key, digest: String, token: String) -> Arc<Lease> {
        let renewing = renew(Arc::clone(second), key.clone(), digest.clone(), token.clone());
        let renewing = second.runtime.spawn(renewing).abort_handle();
        Arc::new(Lease {
            second: Arc::clone(second),
            key: key.clone(),
            digest,
            token,
            end: Mutex::new(End::Free),
            renewing,
        })
    }

    /// What comes is for nobody else.
    pub(crate) fn alone(&self) {
        self.set(End::Alone);
    }

    /// The origin has answered otherwise than what is stored says.
    pub(crate) fn supersede(&self) {
        self.set(End::Gone);
    }

    /// Has an answer stored, soon.
    pub(crate) fn fill(self: &Arc<Self>, entry: &Arc<Entry>) {
        self.second
            .fills
            .push(Fill { lease: Arc::clone(self), entry: Arc::clone(entry) }, &self.second.observer);
    }

    /// It is gone, with the answer that it was for.
    pub(super) fn used(&self) {
        self.set(End::Used);
    }

    fn set(&self, end: End) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
        let how = match *self.end.lock().unwrap_or_else(PoisonError::into_inner) {
            End::Used => return,
            End::Free => "free",
            End::Alone => "alone",
            End::Gone => "gone",
        };
        let (second, key) = (Arc::clone(&self.second), self.key.clone());
        let (digest, token) = (std::mem::take(&mut self.digest), std::mem::take(&mut self.token));
        // Should it fail, the lease runs out.
        self.second.runtime.spawn(async move { second.leave(&key, &digest, &token, how, ALONE).await });
    }
}

async fn renew(second: Arc<Second>, key: Key, digest: String, token: String) {
    let length = Duration::from_millis(LEASE_MS);
    loop {
        sleep(length / 3).await;
        second.leave(&key, &digest, &token, "renew", length).await;
    }
}

impl Second {
    async fn leave(&self, key: &Key, digest: &str, token: &str, how: &str, length: Duration) {
        let entry = self.entry_key(key);
        let asked = self.ask::<i64>("leave", (Way::Fill, PATIENCE), &self.scripts.leave, |script| {
            script.key(entry).arg(token).arg(digest).arg(how).arg(length.as_millis() as u64);
        });
        if let Err(failed) = asked.await {
            tracing::debug!(how, %failed, "lease");
        }
    }
}
