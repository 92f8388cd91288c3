//! Whether Redis is used, and what is still to be dropped there. Pure.
//!
//! Redis is used while the [`Breaker`] is closed and this cache hears what others drop. What is to be dropped is *under
//! way* until Redis has answered; whatever is under way when the breaker opens is *undelivered*, and the breaker closes
//! only when nothing is.
//!
//! Promises: nothing that is to be dropped is ever in neither place before Redis has dropped it. It may be dropped
//! twice, which harms nobody.

use std::collections::BTreeMap;

use super::{breaker::Breaker, message::Message};

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    breaker: Breaker,
    hears: bool,
    under_way: BTreeMap<u64, Message>,
    next: u64,
    undelivered: Message,
}

impl State {
    /// Nothing is known of Redis yet.
    pub(super) fn new() -> State {
        State {
            breaker: Breaker::UNKNOWN,
            hears: false,
            under_way: BTreeMap::new(),
            next: 0,
            undelivered: Message::default(),
        }
    }

    /// Whether answers are looked for in Redis, and stored there.
    pub(super) fn is_used(&self) -> bool {
        self.breaker.is_closed() && self.hears
    }

    /// How long to wait before the next probe; `None` while there is no need for one.
    pub(super) fn pause(&self, random: f64) -> Option<std::time::Duration> {
        self.breaker.pause(random)
    }

    /// Whether what others drop is heard; says whether that has changed.
    pub(super) fn hears(&mut self, hears: bool) -> bool {
        std::mem::replace(&mut self.hears, hears) != hears
    }

    /// Something is to be dropped: gives it back, with its number, if Redis is to be asked now.
    pub(super) fn begin(&mut self, message: Message) -> Option<u64> {
        if !self.breaker.is_closed() {
            self.remember(message);
            return None;
        }
        self.next += 1;
        self.under_way.insert(self.next, message);
        Some(self.next)
    }

    /// Redis has dropped it.
    pub(super) fn done(&mut self, number: u64) {
        self.under_way.remove(&number);
    }

    /// Redis has not; says whether that is news: what was undelivered meanwhile is somebody else's to deliver.
    pub(super) fn is_not_done(&self, number: u64) -> bool {
        self.under_way.contains_key(&number)
    }

    /// Redis has failed; says whether that opened the breaker.
    pub(super) fn failed(&mut self) -> bool {
        for message in std::mem::take(&mut self.under_way).into_values() {
            self.remember(message);
        }
        self.breaker.failed()
    }

    /// It is to be dropped before Redis is used again.
    pub(super) fn remember(&mut self, message: Message) {
        self.undelivered = std::mem::take(&mut self.undelivered).and(message);
    }

    /// A probe failed.
    pub(super) fn probe_failed(&mut self) {
        self.breaker.probe_failed();
    }

    /// A probe succeeded: what is still to be dropped or, where that is nothing, `None`, and Redis may be used.
    pub(super) fn probe_succeeded(&mut self) -> Option<Message> {
        let undelivered = std::mem::take(&mut self.undelivered);
        if undelivered.is_empty() {
            self.breaker.probe_succeeded();
            return None;
        }
        Some(undelivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::asked;

    fn message(target: &str) -> Message {
        let key = asked(http::Method::GET, target, &[]).key;
        Message { keys: vec![key], ..Message::default() }
    }

    fn used() -> State {
        let mut state = State::new();
        assert_eq!(state.probe_succeeded(), None);
        assert!(!state.is_used(), "hears nothing yet");
        assert!(state.hears(true));
        assert!(state.is_used());
        state
    }

    #[test]
    fn what_is_under_way_when_redis_fails_is_delivered_before_it_is_used_again() {
        let mut state = used();
        let (done, hangs) = (state.begin(message("/done")), state.begin(message("/hangs")));
        state.done(done.expect("under way"));
        assert!(state.failed());
        assert!(!state.is_used());
        assert_eq!(state.begin(message("/late")), None);
        let undelivered = state.probe_succeeded().expect("something to drop");
        assert_eq!(undelivered, message("/hangs").and(message("/late")));
        assert!(!state.is_used(), "not before it is dropped");
        state.remember(undelivered.clone());
        assert_eq!(state.probe_succeeded(), Some(undelivered));
        assert_eq!(state.probe_succeeded(), None);
        assert!(state.is_used());
        assert!(!state.is_not_done(hangs.expect("under way")), "its failure is no news any more");
    }

    #[test]
    fn a_cache_that_hears_nothing_drops_and_does_not_look() {
        let mut state = used();
        assert!(state.hears(false));
        assert!(!state.hears(false), "no news");
        assert!(!state.is_used());
        assert!(state.begin(message("/a")).is_some());
    }
}
