//! One fetch that several waiting requests share.
//!
//! A flight goes through these stages: *asking*, until the head of the answer is there; then it either *streams* an
//! answer that is being stored, or has *confirmed* the stored one, or is *alone*: what came is for its leader only.
//! The leader learns what came from the fetch itself; the others from the flight.
//!
//! Promises: every passenger that reads gets every byte in order, whenever it boarded, and an error where the fetch
//! broke off, never a clean end; what is kept is bounded by the fetch.
//! Refuses: deciding what is shared, which is [`crate::fetch`]'s.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use telemetry::SpanContext;

use crate::{
    entry::{Entry, Head},
    store::Reserved,
};

/// Bytes that an answer which is not kept may run ahead of its only reader.
const AHEAD: usize = 256 << 10;

/// The fetch broke off before the answer's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer's body broke off")]
pub(crate) struct BrokeOff;

/// What a waiting request learns of the fetch it waits for.
#[derive(Clone, Debug)]
pub(crate) enum Landing {
    /// An answer to read, if it is the right one for this request.
    Streams(Arc<Head>),
    /// The stored answer, confirmed.
    Confirmed(Arc<Entry>),
    /// The stored answer, stale, as the origin failed.
    StandsIn(Arc<Entry>),
    /// An answer that another cache has stored; nobody asked the origin.
    Found(Arc<Entry>),
    /// Nothing that it may use: it goes on by itself.
    Alone,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Flight {
    state: Mutex<State>,
    /// The SERVER span of the leader's request.
    pub(crate) span: SpanContext,
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    /// Whether the answer says how long it is: others wait for the end of one that does not, since it may still turn
    /// out too large to be kept for them.
    sized: bool,
    chunks: VecDeque<Bytes>,
    /// Chunks that have been read and dropped: only when the answer is not kept.
    dropped: usize,
    /// Bytes in `chunks`.
    held: usize,
    passing: bool,
    /// The memory that the chunks may take, given back when the last passenger has left.
    room: Option<Reserved>,
    end: Option<Result<(), BrokeOff>>,
    passengers: usize,
    next: u64,
    waiting: BTreeMap<u64, Waker>,
    /// The fetch, waiting for room or for everybody's leaving.
    fetch: Option<Waker>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Asking,
    Landed(Landing),
}

impl Flight {
    /// One with its leader aboard.
    pub(crate) fn new(span: SpanContext) -> (Arc<Flight>, Passenger) {
        let flight = Arc::new(Flight { state: Mutex::default(), span });
        let leader = Flight::board(&flight);
        (flight, leader)
    }

    /// Lets a request aboard.
    pub(crate) fn board(flight: &Arc<Flight>) -> Passenger {
        let mut state = flight.state();
        state.passengers += 1;
        state.next += 1;
        Passenger { id: state.next, position: 0, flight: Arc::clone(flight) }
    }

    /// The answer's head is there and it is being kept.
    pub(crate) fn stream(&self, head: Arc<Head>, sized: bool) {
        let mut state = self.state();
        state.sized = sized;
        state.land(Landing::Streams(head));
    }

    /// Takes over the memory that is reserved for what will arrive.
    pub(crate) fn hold(&self, room: Reserved) {
        self.state().room = Some(room);
    }

    /// Reserves some more; false when there is none.
    pub(crate) fn grow(&self, by: usize) -> bool {
        self.state().room.as_mut().is_some_and(|room| room.grow(by))
    }

    /// The stored answer has been confirmed.
    pub(crate) fn confirm(&self, entry: Arc<Entry>) {
        self.state().land(Landing::Confirmed(entry));
    }

    /// The origin failed, and this stale answer stands in.
    pub(crate) fn stand_in(&self, entry: Arc<Entry>) {
        self.state().land(Landing::StandsIn(entry));
    }

    /// Another cache has stored this answer.
    pub(crate) fn found(&self, entry: Arc<Entry>) {
        self.state().land(Landing::Found(entry));
    }

    /// What came is not to be shared.
    pub(crate) fn alone(&self) {
        self.state().land(Landing::Alone);
    }

    /// The answer will not be kept after all: only its leader goes on reading it.
    pub(crate) fn pass(&self) {
        let mut state = self.state();
        state.passing = true;
        state.land(Landing::Alone);
    }

    /// Some more of the answer.
    pub(crate) fn push(&self, chunk: Bytes) {
        let mut state = self.state();
        state.held += chunk.len();
        state.chunks.push_back(chunk);
        state.wake();
    }

    /// The answer is whole.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        state.end.get_or_insert(Ok(()));
        state.wake();
    }

    /// The fetch has ended, however it did: what is not whole by now broke off.
    pub(crate) fn ended(&self) {
        let mut state = self.state();
        if matches!(state.stage, Stage::Asking) {
            state.stage = Stage::Landed(Landing::Alone);
        }
        state.end.get_or_insert(Err(BrokeOff));
        state.wake();
    }

    /// Everything so far, in pieces that hold nothing but themselves.
    pub(crate) fn chunks(&self) -> Vec<Bytes> {
        self.state().chunks.iter().cloned().collect()
    }

    /// Returns once nobody is aboard.
    pub(crate) async fn deserted(&self) {
        poll_fn(|cx| self.poll_fetch(cx, |state| state.passengers == 0)).await;
    }

    /// Returns once there is room for more of an answer that is not kept, or nobody left to read it.
    pub(crate) async fn room(&self) {
        poll_fn(|cx| {
            self.poll_fetch(cx, |state| !state.passing || state.held < AHEAD || state.passengers == 0)
        })
        .await;
    }

    fn poll_fetch(&self, cx: &Context<'_>, done: impl Fn(&State) -> bool) -> Poll<()> {
        let mut state = self.state();
        if done(&state) {
            return Poll::Ready(());
        }
        state.fetch = Some(cx.waker().clone());
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single step, so that the state is right even if its holder panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn land(&mut self, landing: Landing) {
        self.stage = Stage::Landed(landing);
        self.wake();
    }

    fn wake(&mut self) {
        for waker in std::mem::take(&mut self.waiting).into_values() {
            waker.wake();
        }
    }
}

/// A request's place in a flight; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Passenger {
    flight: Arc<Flight>,
    id: u64,
    /// Chunks read.
    position: usize,
}

impl Passenger {
    /// Waits for what a request that did not start the fetch may do.
    pub(crate) async fn landing(&self) -> Landing {
        poll_fn(|cx| {
            let mut state = self.flight.state();
            let landing = match &state.stage {
                Stage::Asking => None,
                Stage::Landed(Landing::Streams(head)) => match (state.end, state.sized) {
                    (Some(Err(BrokeOff)), _) => Some(Landing::Alone),
                    (Some(Ok(())), _) | (None, true) => Some(Landing::Streams(Arc::clone(head))),
                    (None, false) => None,
                },
                Stage::Landed(landing) => Some(landing.clone()),
            };
            match landing {
                Some(landing) => Poll::Ready(landing),
                None => {
                    state.waiting.insert(self.id, cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The next piece of the answer; `None` at its end.
    pub(crate) fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokeOff>>> {
        let (flight, position) = (Arc::clone(&self.flight), self.position);
        let mut state = flight.state();
        if let Some(chunk) = state.chunks.get(position - state.dropped).cloned() {
            self.position += 1;
            if state.passing {
                state.drop_read(position + 1);
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        match state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(broke_off)) => Poll::Ready(Some(Err(broke_off))),
            None => {
                state.waiting.insert(self.id, cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl State {
    /// Forgets what the only reader has read, and lets the fetch go on.
    fn drop_read(&mut self, read: usize) {
        while self.dropped < read
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.dropped += 1;
            self.held -= chunk.len();
        }
        if let Some(fetch) = self.fetch.take() {
            fetch.wake();
        }
    }
}

impl Drop for Passenger {
    fn drop(&mut self) {
        let mut state = self.flight.state();
        state.waiting.remove(&self.id);
        state.passengers -= 1;
        if state.passengers == 0
            && let Some(fetch) = state.fetch.take()
        {
            fetch.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{asked, at};
    use futures_util::FutureExt;
    use http::Method;

    fn head() -> Arc<Head> {
        let asked = asked(Method::GET, "/a", &[]);
        Arc::new(crate::tests::head(&asked, &[("cache-control", "max-age=60")], at(0.0)))
    }

    /// What a follower knows by now.
    fn known(follower: &Passenger) -> &'static str {
        match follower.landing().now_or_never() {
            None => "nothing",
            Some(Landing::Streams(_)) => "streams",
            Some(Landing::Confirmed(_)) => "confirmed",
            Some(Landing::StandsIn(_)) => "stands in",
            Some(Landing::Found(_)) => "found",
            Some(Landing::Alone) => "alone",
        }
    }

    #[test]
    fn followers_of_an_answer_without_length_wait_for_its_end() {
        let check = |sized: bool, end: fn(&Flight), before: &str, after: &str| {
            let (flight, _leader) = Flight::new(SpanContext::NONE);
            let follower = Flight::board(&flight);
            assert_eq!(known(&follower), "nothing");
            flight.stream(head(), sized);
            flight.push("a".into());
            assert_eq!(known(&follower), before, "{sized}");
            end(&flight);
            assert_eq!(known(&follower), after, "{sized}");
        };
        check(true, Flight::finish, "streams", "streams");
        check(false, Flight::finish, "nothing", "streams");
        check(false, Flight::ended, "nothing", "alone");
        check(false, Flight::pass, "nothing", "alone");
    }

    #[test]
    fn what_is_not_kept_is_held_back_by_its_reader_alone() {
        let (flight, leader) = Flight::new(SpanContext::NONE);
        let mut leader = Box::pin(leader);
        flight.pass();
        flight.push(vec![0; AHEAD].into());
        assert!(flight.room().now_or_never().is_none(), "the reader is behind");
        let cx = Context::from_waker(Waker::noop());
        assert!(matches!(leader.as_mut().poll_chunk(&cx), Poll::Ready(Some(Ok(_)))));
        assert!(flight.room().now_or_never().is_some(), "the reader has caught up");
        flight.push(vec![0; AHEAD].into());
        drop(leader);
        assert!(flight.room().now_or_never().is_some(), "nobody reads any more");
        assert!(flight.deserted().now_or_never().is_some());
    }
}
