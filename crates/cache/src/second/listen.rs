//! Hearing what other caches have dropped, and dropping it from this one's memory.
//!
//! Promises: an invalidation is heard within milliseconds while Redis answers, and after an outage as soon as it answers
//! again; a connection that has died without a word is noticed within 1.25 seconds. While nothing is heard, Redis is not
//! looked into. Where one may have been missed (a number is left out, or the last one is another than Redis says), memory is
//! trusted no longer: all of it is stale, and the origin may confirm it. Where Redis is back at an older state than one
//! that was seen, everything there is dropped.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use redis::{AsyncConnectionConfig, RedisResult, Value, aio::MultiplexedConnection};
use tokio::time::sleep;

use super::{
    Message, Second,
    link::{Failed, PATIENCE},
};
use crate::purge::Selector;

/// How long one waits for an invalidation before looking again whether one was missed.
const WAIT: Duration = Duration::from_secs(1);

/// How much later than that an answer may come: by then the connection is taken for dead.
const SLACK: Duration = Duration::from_millis(250);

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(250);

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
        let Err(failed) = second.follow(&mut place).await;
        // Where one does not hear one must not look either; nor over connections that may be as dead as this one.
        let news = second.state().hears(false);
        if news {
            second.leave_alone(&failed);
        }
        second.observer.not_used(&failed);
        sleep(PAUSE).await;
    }
}

impl Second {
    async fn follow(&self, place: &mut Option<Place>) -> Result<Infallible, Failed> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(WAIT + SLACK));
        let client = self.links.client();
        let link = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut link = link.map_err(Failed::Redis)?;
        // Whether it may: not said to hear before that is known.
        self.wait(&mut link, "$", Duration::from_millis(1)).await.map_err(Failed::Redis)?;
        loop {
            let before = self.seen.load(Ordering::SeqCst);
            let from = place.as_ref().map_or("", |place| place.id.as_str());
            let mut since = self.scripts.since.prepare_invoke();
            since.key(self.number_key()).key(self.stream_key()).arg(from).arg(before);
            let since = since.invoke_async(&mut link).await;
            let (number, id, told): (u64, String, Vec<Value>) = since.map_err(Failed::Redis)?;
            let told: Option<Vec<Told>> = told.into_iter().map(read).collect();
            // More is there than is told at once.
            let more = told.as_ref().is_some_and(|told| told.len() >= 1000);
            let course = match (&place, &told) {
                _ if number < before => Course::Back,
                (Some(place), Some(told)) => {
                    let numbers = told.iter().map(|told| told.number);
                    course(place.number, numbers, (!more).then_some(number))
                }
                // What was kept before the first contact was kept without hearing of anything.
                _ if self.memory.is_empty() => Course::Whole,
                _ => Course::Gap,
            };
            if course == Course::Back {
                // Everything there is dropped before it is used again.
                self.state().remember(Message::ALL);
                self.leave_alone(&Failed::Older);
            }
            let last = told.as_ref().and_then(|told| told.last()).map(|told| told.number);
            self.apply(told.unwrap_or_default(), course != Course::Whole).await;
            let number = if more { last.unwrap_or(number) } else { number };
            self.saw(number);
            self.heard.store(number, Ordering::SeqCst);
            let id = place.insert(Place { id, number }).id.clone();
            if !more {
                let used = {
                    let mut state = self.state();
                    state.hears(true) && state.is_used()
                };
                self.observer.used(used);
                self.wait(&mut link, &id, WAIT).await.map_err(Failed::Redis)?;
            }
        }
    }

    /// Until something is told, or for a while.
    async fn wait(&self, link: &mut MultiplexedConnection, id: &str, bound: Duration) -> RedisResult<()> {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(bound.as_millis() as u64);
        read.arg("STREAMS").arg(self.stream_key()).arg(id);
        read.query_async::<Value>(link).await.map(drop)
    }

    async fn apply(&self, told: Vec<Told>, missed: bool) {
        // This cache's own were dropped from its memory when they were told.
        let others = told.into_iter().filter(|told| told.by != self.who);
        self.drop_here(others.map(|told| Message::read(&told.message)).collect(), missed).await;
    }

    /// Drops what messages name from memory; where others may have been `missed`, all of it is stale from now on.
    pub(super) async fn drop_here(&self, messages: Vec<Message>, missed: bool) {
        if messages.is_empty() && !missed {
            return;
        }
        let (memory, now) = (Arc::clone(&self.memory), self.clock.now());
        // A prefix, or everything, may be a million keys, and this thread answers /healthz, too.
        let dropped = tokio::task::spawn_blocking(move || {
            for message in messages {
                let stale_from = message.soft.then_some(now);
                message.selectors().for_each(|selector| {
                    memory.purge(&selector, stale_from);
                });
            }
            if missed { memory.purge(&Selector::All, Some(now)) } else { 0 }
        });
        match dropped.await {
            Ok(count) if missed => {
                tracing::info!(count, "invalidations may have been missed: memory is stale")
            }
            Ok(_) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, error.type = "panic", "invalidations are lost");
            }
        }
    }
}

/// How the numbers of invalidations go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Whole,
    /// One is left out, or the last one is not told.
    Gap,
    /// They fall: Redis is back at an older state.
    Back,
}

/// From the last number before, over those told, to the last one where that is known.
fn course(mut before: u64, told: impl Iterator<Item = u64>, last: Option<u64>) -> Course {
    let mut course = Course::Whole;
    for number in told {
        if number <= before {
            return Course::Back;
        }
        if number != before + 1 {
            course = Course::Gap;
        }
        before = number;
    }
    match last {
        Some(last) if last < before => Course::Back,
        Some(last) if last > before => Course::Gap,
        _ => course,
    }
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
    fn a_number_that_is_left_out_is_a_gap_and_one_that_falls_is_an_older_state() {
        let check = |before: u64, told: &[u64], last: Option<u64>, expected: Course| {
            assert_eq!(course(before, told.iter().copied(), last), expected, "{before} {told:?} {last:?}");
        };
        check(5, &[], Some(5), Course::Whole);
        check(5, &[6, 7], Some(7), Course::Whole);
        check(5, &[6, 7], None, Course::Whole);
        check(5, &[7], Some(7), Course::Gap);
        check(5, &[6], Some(7), Course::Gap);
        check(5, &[], Some(6), Course::Gap);
        check(5, &[], Some(4), Course::Back);
        check(5, &[5], Some(5), Course::Back);
        check(5, &[6, 4], None, Course::Back);
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
