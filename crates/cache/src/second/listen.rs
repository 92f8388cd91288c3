//! Hearing what other caches have dropped, and dropping it from this one's memory.
//!
//! Promises: an invalidation is heard within milliseconds while Redis answers, and after an outage as soon as it answers
//! again. Where one may have been missed (a number is left out, or the last one is another than Redis says), memory is
//! trusted no longer: all of it is stale, and the origin may confirm it. Where Redis is back at an older state than one
//! that was seen, everything there is dropped.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use redis::{AsyncConnectionConfig, RedisError, RedisResult, Value, aio::MultiplexedConnection};
use tokio::time::sleep;

use super::{
    Message, Second,
    link::{Failed, PATIENCE},
};
use crate::purge::Selector;

/// How long one waits for an invalidation before looking again whether one was missed.
const WAIT: Duration = Duration::from_secs(1);

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// Where in the stream one has come to.
#[derive(Clone, Debug)]
struct Place {
    id: String,
    /// Of the last invalidation before it.
    number: u64,
}

/// An invalidation as it is told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    number: u64,
    by: String,
    message: String,
}

/// Listens for as long as the process lives.
pub(super) async fn listen(second: Arc<Second>) {
    let mut place = None;
    loop {
        let Err(error) = second.follow(&mut place).await;
        tracing::debug!(exception.message = %error, "hears nothing of other caches");
        sleep(PAUSE).await;
    }
}

impl Second {
    async fn follow(&self, place: &mut Option<Place>) -> Result<Infallible, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(WAIT + PATIENCE));
        let mut link = self.links.client().get_multiplexed_async_connection_with_config(&config).await?;
        loop {
            let before = self.seen.load(Ordering::SeqCst);
            let from = place.as_ref().map_or("", |place| place.id.as_str());
            let mut since = self.scripts.since.prepare_invoke();
            since.key(self.number_key()).key(self.stream_key()).arg(from);
            let (number, id, told): (u64, String, Vec<Value>) = since.invoke_async(&mut link).await?;
            if number < before {
                // Everything there is dropped before it is used again.
                self.leave_alone(&Failed::Older, Message::ALL);
            }
            let told: Option<Vec<Told>> = told.into_iter().map(read).collect();
            // More is there than is told at once.
            let more = told.as_ref().is_some_and(|told| told.len() >= 1000);
            let missed = match (&place, &told) {
                (Some(place), Some(told)) => {
                    let numbers = std::iter::once(place.number).chain(told.iter().map(|told| told.number));
                    is_gapped(numbers, (!more).then_some(number))
                }
                // What was kept before the first contact was kept without hearing of anything.
                _ => !self.memory.is_empty(),
            };
            let last = told.as_ref().and_then(|told| told.last()).map(|told| told.number);
            self.apply(told.unwrap_or_default(), missed).await;
            *place = Some(Place { id, number: if more { last.unwrap_or(number) } else { number } });
            self.saw(number);
            self.heard.store(place.as_ref().map_or(0, |place| place.number), Ordering::SeqCst);
            if !more {
                self.wait(&mut link, place.as_ref().map_or("0-0", |place| &place.id)).await?;
            }
        }
    }

    /// Until something is told, or for a while.
    async fn wait(&self, link: &mut MultiplexedConnection, id: &str) -> RedisResult<()> {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(WAIT.as_millis() as u64);
        read.arg("STREAMS").arg(self.stream_key()).arg(id);
        read.query_async::<Value>(link).await.map(drop)
    }

    async fn apply(&self, told: Vec<Told>, missed: bool) {
        let now = self.clock.now();
        let messages: Vec<Message> = told
            .into_iter()
            // This cache's own memory knew before.
            .filter(|told| told.by != self.who)
            .map(|told| Message::read(&told.message))
            .collect();
        if messages.is_empty() && !missed {
            return;
        }
        let memory = Arc::clone(&self.memory);
        // A prefix, or everything, may be a million keys, and this thread answers /healthz, too.
        let applied = tokio::task::spawn_blocking(move || {
            for message in messages {
                let stale_from = message.soft.then_some(now);
                message.selectors().for_each(|selector| {
                    memory.purge(&selector, stale_from);
                });
            }
            if missed { memory.purge(&Selector::All, Some(now)) } else { 0 }
        });
        match applied.await {
            Ok(count) if missed => {
                tracing::info!(count, "invalidations may have been missed: memory is stale")
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(exception.message = %error, error.type = "panic", "invalidations are lost")
            }
        }
    }
}

/// Whether one is left out between these numbers, or before the last one where that is known.
fn is_gapped(numbers: impl Iterator<Item = u64> + Clone, last: Option<u64>) -> bool {
    let next = numbers.clone().skip(1);
    let end = numbers.clone().last();
    numbers.zip(next).any(|(one, next)| next != one + 1) || last.is_some_and(|last| end != Some(last))
}

/// The fields of an entry of the stream; `None` for what is no invalidation.
fn read(fields: Value) -> Option<Told> {
    let texts: Vec<String> = redis::from_redis_value(fields).ok()?;
    match <[String; 6]>::try_from(texts).ok()? {
        [n, number, by, who, m, message] if n == "n" && by == "by" && m == "m" => {
            Some(Told { number: number.parse().ok()?, by: who, message })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_left_out_is_a_gap() {
        let check = |numbers: &[u64], last: Option<u64>, expected: bool| {
            assert_eq!(is_gapped(numbers.iter().copied(), last), expected, "{numbers:?} {last:?}");
        };
        check(&[5], Some(5), false);
        check(&[5, 6, 7], Some(7), false);
        check(&[5, 6, 7], None, false);
        check(&[5, 7], Some(7), true);
        check(&[5, 6], Some(7), true);
        check(&[5], Some(6), true);
        check(&[5], Some(4), true);
        check(&[5, 5], Some(5), true);
    }

    #[test]
    fn what_is_no_invalidation_is_not_read() {
        let entry = |texts: &[&str]| {
            let bulk = |text: &&str| Value::BulkString(text.as_bytes().to_vec());
            read(Value::Array(texts.iter().map(bulk).collect()))
        };
        let told = Told { number: 7, by: "a".into(), message: "{}".into() };
        assert_eq!(entry(&["n", "7", "by", "a", "m", "{}"]), Some(told));
        assert_eq!(entry(&["n", "x", "by", "a", "m", "{}"]), None);
        assert_eq!(entry(&["x", "7"]), None);
        assert_eq!(read(Value::Nil), None);
    }
}
