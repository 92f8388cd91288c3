//! The right to be the only one of all caches that fetches a key, and to store what comes.
//!
//! Promises: it is renewed for as long as it is held, and let go of when dropped, so that those who wait go on at once;
//! that of a cache that was killed runs out by itself within [`LEASE_MS`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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

/// The same where the origin gave no answer: each may find out for itself, and none in turn.
const FAILED: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) second: Arc<Second>,
    pub(super) key: Key,
    /// What it is for: the digest of a selection, or empty where nobody knew of any.
    pub(super) digest: String,
    pub(super) token: String,
    /// Let go of, or gone with the answer that was stored under it.
    ended: AtomicBool,
    renewing: AbortHandle,
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
            ended: AtomicBool::new(false),
            renewing,
        })
    }

    /// What comes is for nobody else: whoever waits goes on by himself, at once.
    pub(crate) fn alone(&self) {
        self.end("alone", ALONE);
    }

    /// Nothing comes: the same.
    pub(crate) fn failed(&self) {
        self.end("alone", FAILED);
    }

    /// Whether an answer whose body is so long may be stored under it.
    pub(crate) fn takes(&self, length: u64) -> bool {
        length <= self.second.settings.object
    }

    /// Has an answer stored, soon.
    pub(crate) fn fill(self: &Arc<Self>, entry: &Arc<Entry>) {
        self.second
            .fills
            .push(Fill { lease: Arc::clone(self), entry: Arc::clone(entry) }, &self.second.observer);
    }

    /// It is gone, with the answer that it was for.
    pub(super) fn used(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.renewing.abort();
    }

    fn end(&self, how: &'static str, length: Duration) {
        if self.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        self.renewing.abort();
        let (second, key) = (Arc::clone(&self.second), self.key.clone());
        let (digest, token) = (self.digest.clone(), self.token.clone());
        // Should it fail, the lease runs out.
        self.second.runtime.spawn(async move { second.leave(&key, &digest, &token, how, length).await });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end("free", ALONE);
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
        let asked = self.ask::<i64>("leave", (Way::Look, PATIENCE), &self.scripts.leave, |script| {
            script.key(entry).arg(token).arg(digest).arg(how).arg(length.as_millis() as u64);
        });
        if let Err(failed) = asked.await {
            tracing::debug!(how, %failed, "lease");
        }
    }
}
