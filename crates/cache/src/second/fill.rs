//! Storing answers in Redis, behind the back of the requests that brought them.
//!
//! Promises: at most [`WAITING`] answers and [`WAITING_BYTES`] wait, a further one is not stored; no request waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{
    Lease, Second, form,
    link::Way,
    look::{digest, names},
    observe::{Filled, Observer},
};
use crate::{entry::Entry, freshness::Freshness};

const WAITING: usize = 1024;
const WAITING_BYTES: u64 = 64 << 20;

/// Answers on their way to Redis at once.
const AT_ONCE: usize = 4;

/// How long one may take: a mebibyte over a line of a megabit a second.
const FILLING: Duration = Duration::from_secs(10);

/// How long an answer that the origin can confirm is kept after its lifetime, to be confirmed.
const TO_CONFIRM: Duration = Duration::from_secs(600);

/// An answer to be stored.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) lease: Arc<Lease>,
    pub(super) entry: Arc<Entry>,
}

/// Where they wait.
#[derive(Debug)]
pub(super) struct Fills {
    queue: mpsc::Sender<Fill>,
    bytes: AtomicU64,
}

/// A queue, and its other end for [`work`].
pub(super) fn queue() -> (Fills, mpsc::Receiver<Fill>) {
    let (queue, end) = mpsc::channel(WAITING);
    (Fills { queue, bytes: AtomicU64::new(0) }, end)
}

impl Fills {
    pub(super) fn push(&self, fill: Fill, observer: &Observer) {
        let length = fill.entry.length();
        if !fill.lease.takes(length) {
            // Whoever waited for it would wait in vain the next time, too.
            fill.lease.alone();
            return observer.filled(Filled::TooLarge);
        }
        let waiting = self.bytes.fetch_add(length, Ordering::Relaxed);
        if waiting > WAITING_BYTES || self.queue.try_send(fill).is_err() {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            observer.filled(Filled::Dropped);
        }
    }
}

/// Stores what is in the queue, for as long as the process lives.
pub(super) async fn work(second: Arc<Second>, queue: mpsc::Receiver<Fill>) {
    let fills = futures_util::stream::unfold(queue, async |mut queue| Some((queue.recv().await?, queue)));
    fills
        .for_each_concurrent(AT_ONCE, async |fill| {
            let filled = second.store(&fill).await;
            second.fills.bytes.fetch_sub(fill.entry.length(), Ordering::Relaxed);
            second.observer.filled(filled);
        })
        .await;
}

impl Second {
    pub(super) async fn store(&self, Fill { lease, entry }: &Fill) -> Filled {
        let now = self.clock.now();
        let freshness = &entry.head.freshness();
        // Its clock was set back: nobody knows how old it is.
        let Some(age) = freshness.age(now) else { return Filled::Refused };
        let (fresh, kept) = (fresh_for(freshness, age), self.kept_for(entry, now));
        let selection = entry.head.selection();
        let form = form::write(&lease.key, entry, age);
        let stored = self.ask::<i64>("store", (Way::Fill, FILLING), &self.scripts.store, |script| {
            script.key(self.entry_key(&lease.key)).key(self.number_key());
            script
                .arg(&lease.token)
                .arg(&lease.digest)
                .arg(names(&selection))
                .arg(digest(&selection))
                .arg(form);
            script.arg(fresh.as_millis() as u64).arg(kept.as_millis() as u64).arg(self.group_keys());
            Second::groups(entry.head.groups()).for_each(|group| {
                script.arg(group);
            });
        });
        match stored.await {
            Ok(1) => {
                lease.used();
                Filled::Stored
            }
            Ok(_) => {
                lease.used();
                Filled::Refused
            }
            Err(failed) => {
                tracing::debug!(%failed, "not stored");
                Filled::Failed
            }
        }
    }

    /// How long it is kept: while it is fresh, may be given stale, or may be confirmed.
    fn kept_for(&self, entry: &Entry, now: SystemTime) -> Duration {
        let freshness = &entry.head.freshness();
        let age = freshness.age(now).unwrap_or_default();
        let stale = freshness.while_revalidate.max(freshness.if_error);
        let confirmable = if entry.head.has_validator() { TO_CONFIRM } else { Duration::ZERO };
        let all = fresh_for(freshness, age).saturating_add(stale.max(confirmable));
        all.clamp(Duration::from_millis(1), self.settings.longest)
    }
}

/// How long it may still be given without asking anybody.
fn fresh_for(freshness: &Freshness, age: Duration) -> Duration {
    if freshness.always_validate { Duration::ZERO } else { freshness.lifetime.saturating_sub(age) }
}
