//! Dropping answers in Redis, and telling the other caches.
//!
//! Promises: what cannot be dropped at once is remembered, and nothing is read from Redis before it is dropped there;
//! it goes on although the request that asks for it has left. What is remembered dies with the process: should that
//! happen while Redis is away, what is wrong stays there for its lifetime.

use std::{sync::Arc, time::Duration};

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
        matches!(timeout(patience, self.runtime.spawn(telling)).await, Ok(Ok(true)))
    }

    /// The same where nobody waits.
    pub(crate) fn tell_soon(self: &Arc<Self>, message: Message) {
        let second = Arc::clone(self);
        self.runtime.spawn(async move { second.deliver(message).await });
    }

    async fn deliver(&self, message: Message) -> bool {
        let Some(message) = self.remember_if_left_alone(message) else { return false };
        match self.drop_there(&message, PATIENCE).await {
            Ok(()) => true,
            Err(failed) => {
                self.leave_alone(&failed, message);
                false
            }
        }
    }

    /// Remembers what is to be dropped if Redis is left alone; gives it back if it is not.
    fn remember_if_left_alone(&self, message: Message) -> Option<Message> {
        let mut state = self.state();
        if state.breaker.is_closed() {
            return Some(message);
        }
        state.undelivered = std::mem::take(&mut state.undelivered).and(message);
        None
    }

    /// Drops it, whether Redis is left alone or not.
    pub(super) async fn drop_there(&self, message: &Message, patience: Duration) -> Result<(), Failed> {
        let longest = u64::try_from(self.settings.longest.as_millis()).unwrap_or(u64::MAX);
        let number: u64 = self
            .run("invalidate", (Way::Look, patience), &self.scripts.invalidate, |script| {
                script.key(self.number_key()).key(self.stream_key());
                message.keys.iter().for_each(|key| {
                    script.key(self.entry_key(key));
                });
                script.arg(&self.who).arg(message.write()).arg(longest);
                let groups = Second::groups(&message.groups).skip(usize::from(!message.all));
                groups.for_each(|group| {
                    script.arg(self.group_keys() + &group);
                });
            })
            .await?;
        self.saw(number);
        for prefix in &message.prefixes {
            timeout(SCANNING, self.drop_prefix(prefix.text()))
                .await
                .map_err(|_elapsed| Failed::TooSlow(SCANNING))??;
        }
        Ok(())
    }

    async fn drop_prefix(&self, prefix: &str) -> Result<(), Failed> {
        let Some(mut link) = self.links.link(Way::Fill) else { return Err(Failed::LeftAlone) };
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
