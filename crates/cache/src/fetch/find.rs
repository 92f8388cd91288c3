//! Finding what other caches have stored, or waiting for what one of them fetches.

use std::sync::Arc;

use opentelemetry::context::FutureExt as _;
use telemetry::Context;

use super::Fetch;
use crate::{
    entry::Entry,
    plan::may_be_given,
    second::{Question, Right, Second, Waiting, Wants},
};

impl Fetch {
    /// An answer that may be given, or else what the origin may confirm: the newer of what is stored here and there.
    pub(super) async fn find(&self, second: &Arc<Second>) -> Result<Arc<Entry>, Option<Arc<Entry>>> {
        let stored = self.stored.clone();
        if stored.as_ref().is_some_and(|entry| entry.head.freshness().always_validate) {
            return Err(stored);
        }
        // An answer to a request with `Authorization` is usually for its user alone: others must not wait for it.
        let wants = if self.asked.authorized { Wants::Answer } else { Wants::Lease };
        let mut waiting: Option<Waiting> = None;
        loop {
            let looked = second.look(Question {
                asked: &self.asked,
                wants,
                policy: self.policy,
                fetch: self.ticket.fetch(),
                suits: |entry: &Entry| self.suits(entry),
            });
            let looked = match &waiting {
                None => looked.await,
                // One span for the wait, and none for each look.
                Some(_) => looked.with_context(Context::new()).await,
            };
            let entry = looked.entry.map(Arc::new);
            if let Some(entry) = &entry
                && self.suits(entry)
                && self.store.put(&self.ticket, Arc::clone(entry))
            {
                return Ok(Arc::clone(entry));
            }
            match looked.right {
                Right::Own(lease) => drop(self.lease.set(lease)),
                Right::Others if self.waits && self.asked.shares() => {
                    if waiting.get_or_insert_with(Waiting::begin).a_while().await {
                        continue;
                    }
                }
                Right::Others | Right::Nobodys => {}
            }
            let newer = entry.filter(|entry| !self.is_older_than_stored(entry));
            return Err(newer.or(stored));
        }
    }

    /// Whether an answer of the second level makes asking the origin needless. One that may only be given while it is
    /// validated does not where that is what this fetch is for; and none that is older than what this cache has seen.
    fn suits(&self, entry: &Entry) -> bool {
        let now = self.clock.now();
        let enough = self.stored.is_none() || entry.is_fresh(now);
        enough && may_be_given(&self.asked, entry, now) && !self.is_older_than_stored(entry)
    }

    fn is_older_than_stored(&self, entry: &Entry) -> bool {
        self.stored.as_ref().is_some_and(|stored| entry.is_older_than(stored, self.clock.now()))
    }
}
