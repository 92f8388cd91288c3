//! Dropping answers in Redis, and telling the other caches.
//!
//! Promises: what cannot be dropped at once is remembered, and nothing is read from Redis before it is dropped there;
//! it goes on although the request that asks for it has left; when it is done, nothing of it is in this cache's memory. What is remembered dies with the process: should that
//! happen while Redis is away, what is wrong stays there for its lifetime.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use opentelemetry::context::FutureExt as _;
use redis::{Cmd, aio::ConnectionLike as _};
use tokio::time::timeout;

use super::{
    Message, Second,
    link::{Failed, PATIENCE, Way},
};

/// Keys that are looked at with one command, for a prefix.
const SCANNED: usize = 1000;

/// How long dropping a prefix may take: Redis looks at some million keys a second.
const SCANNING: Duration = Duration::from_secs(30);

impl Second {
    /// Drops what a message names, and tells the others; returns when that is done, or after the budget, in which case
    /// it goes on. Says whether it is done.
    pub(crate) async fn tell(self: &Arc<Self>, message: Message) -> bool {
        self.tell_within(message, self.settings.budget).await
    }

    /// The same for an operator, who waits for longer.
    pub(crate) async fn tell_patiently(self: &Arc<Self>, message: Message) -> bool {
        self.tell_within(message, SCANNING + PATIENCE).await
    }

    async fn tell_within(self: &Arc<Self>, message: Message, patience: Duration) -> bool {
        let second = Arc::clone(self);
        let telling =
            async move { second.deliver(message).await }.with_context(telemetry::Context::current());
        match timeout(patience, self.runtime.spawn(telling)).await {
            Ok(told) => told.unwrap_or(false),
            Err(_elapsed) => {
                // From here on it is undelivered, and nobody waits for the next one.
                self.leave_alone(&Failed::TooSlow(patience));
                false
            }
        }
    }

    /// The same where nobody waits.
    pub(crate) fn tell_soon(self: &Arc<Self>, message: Message) {
        let second = Arc::clone(self);
        self.runtime.spawn(async move { second.deliver(message).await });
    }

    async fn deliver(&self, message: Message) -> bool {
        let Some(number) = self.state().begin(message.clone()) else { return false };
        match self.drop_there(&message).await {
            Ok(()) => {
                self.state().done(number);
                true
            }
            Err(failed) => {
                let news = self.state().is_not_done(number);
                if news {
                    self.leave_alone(&failed);
                }
                false
            }
        }
    }

    /// Drops it in Redis, whether that is left alone or not, and then from memory once more: what was looked for
    /// before it was gone there, by a request that began after it had gone here, may have come in again.
    pub(super) async fn drop_there(&self, message: &Message) -> Result<(), Failed> {
        // Before the others hear of it, or they would fetch from what is still there.
        for prefix in &message.prefixes {
            timeout(SCANNING, self.drop_prefix(prefix.text()))
                .await
                .map_err(|_elapsed| Failed::TooSlow(SCANNING))??;
        }
        let longest = u64::try_from(self.settings.longest.as_millis()).unwrap_or(u64::MAX);
        let (_, number) = self
            .run::<u64>("invalidate", (Way::Look, PATIENCE), &self.scripts.invalidate, |script| {
                script.key(self.number_key()).key(self.stream_key());
                message.keys.iter().for_each(|key| {
                    script.key(self.entry_key(key));
                });
                script.arg(&self.who).arg(message.write()).arg(longest);
                script.arg(self.seen.load(Ordering::SeqCst)).arg(self.group_keys() + "all");
                let groups = Second::groups(&message.groups).skip(usize::from(!message.all));
                groups.for_each(|group| {
                    script.arg(self.group_keys() + &group);
                });
            })
            .await;
        self.saw(number?);
        self.drop_here(vec![message.clone()], false).await;
        Ok(())
    }

    async fn drop_prefix(&self, prefix: &str) -> Result<(), Failed> {
        let Some((_, mut link)) = self.links.link(Way::Fill) else { return Err(Failed::LeftAlone) };
        let pattern = format!("{}:1:e:{}*", glob(&self.settings.namespace), glob(prefix));
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCANNED);
            let (next, keys): (u64, Vec<Vec<u8>>) =
                scan.query_async(&mut link).await.map_err(Failed::Redis)?;
            if !keys.is_empty() {
                let mut unlink: Cmd = redis::cmd("UNLINK");
                unlink.arg(keys);
                link.req_packed_command(&unlink).await.map_err(Failed::Redis)?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

/// A text as a pattern that matches only itself.
fn glob(text: &str) -> String {
    let escaped = |character: char| match character {
        '*' | '?' | '[' | ']' | '^' | '\\' => format!("\\{character}"),
        other => other.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn what_means_something_in_a_pattern_is_escaped() {
        assert_eq!(glob("http://[::1]:80/a?b=*\\"), "http://\\[::1\\]:80/a\\?b=\\*\\\\");
    }
}
