//! Asking the origin on behalf of a request, and storing on the side what comes.
//!
//! A fetch is a task of its own, within the trace of the request that started it (its leader): it goes on while
//! anybody waits for it, also after the leader has left. When nobody does, it goes on only if little is missing.
//!
//! Promises: only whole answers are stored, and before anybody has read their last byte, so that whoever has an
//! answer gets a hit with the next request; an answer fetched before an invalidation is not stored.
//! Refuses: answering; it hands on what came as [`Fetched`].

/// Finding what other caches have stored.
mod find;

use std::{
    pin::pin,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, Request, Response, StatusCode, Uri, response::Parts};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use tokio::sync::oneshot;
use upstream::{Client, EndsByClose, Failure};

use crate::{
    asked::Asked,
    clock::Clock,
    entry::{Entry, Head, PIECE, gathered},
    flight::Flight,
    pass_interim,
    policy::Policy,
    second::{Lease, Message, Second},
    store::{Reserved, Store, Ticket},
    storing::{Refusal, kept_fields, may_store},
    validate, via,
};

/// Bytes that are worth fetching for the store alone.
const WORTH_FINISHING: u64 = 256 << 10;

/// What came of it, for the leader.
pub(crate) enum Fetched {
    /// A new answer, which is read from the flight; whether it is being stored.
    Kept(Box<Parts>, Arc<Head>, bool),
    /// A new answer that is not stored.
    Passed(Box<Response<upstream::Body>>, Refusal),
    /// The stored answer is still right; whether it stays stored.
    Confirmed(Arc<Entry>, bool),
    /// Another cache has stored an answer, and it may be given; nobody asked the origin.
    Found(Arc<Entry>),
    /// The origin failed, with this status or without an answer, and the stored answer may stand in (RFC 5861 §4).
    Stale(Arc<Entry>, Option<StatusCode>),
    /// No answer.
    Failed(Failure),
}

/// A fetch to be made.
pub(crate) struct Fetch {
    pub(crate) store: Arc<Store>,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) policy: Policy,
    pub(crate) asked: Arc<Asked>,
    pub(crate) target: Uri,
    /// What the origin is asked to confirm.
    pub(crate) stored: Option<Arc<Entry>>,
    pub(crate) ticket: Ticket,
    pub(crate) flight: Arc<Flight>,
    pub(crate) second: Option<Arc<Second>>,
    /// Whether it waits for another cache's fetch.
    pub(crate) waits: bool,
    /// The right to fetch it for all caches, once it was given.
    pub(crate) lease: OnceLock<Arc<Lease>>,
}

/// What came, before it is handed on.
enum Came {
    Whole(Whole),
    Other(Fetched),
}

/// An answer to be stored.
struct Whole {
    parts: Box<Parts>,
    head: Arc<Head>,
    arriving: Arriving,
}

/// The body of an answer that is being stored.
struct Arriving {
    body: Box<upstream::Body>,
    /// Its length, where it is known.
    declared: Option<u64>,
}

impl Fetch {
    /// Makes it; ends early when nobody waits for it any more.
    pub(crate) async fn run(self, leader: oneshot::Sender<Fetched>) {
        let _ending = Ending(&self);
        let came = {
            let (asking, deserted) = (pin!(self.find_or_ask()), pin!(self.flight.deserted()));
            match select(asking, deserted).await {
                Either::Left((came, _)) => came,
                Either::Right(_) => return,
            }
        };
        match came {
            Came::Other(fetched) => {
                self.tell_others(&fetched);
                // A leader that has left needs nothing more.
                let _ = leader.send(fetched);
            }
            Came::Whole(whole) => {
                if whole.head.freshness().is_fresh(self.clock.now()) {
                    self.flight.stream(Arc::clone(&whole.head), whole.arriving.declared.is_some());
                } else {
                    self.alone_here();
                }
                if let (Some(lease), Some(length)) = (self.lease.get(), whole.arriving.declared)
                    && !lease.takes(length)
                {
                    lease.alone();
                }
                self.stream(whole, leader).await;
            }
        }
    }

    /// Stores an answer that has come already, and whose body is read by the future; gives it back if it may not be
    /// stored.
    pub(crate) fn take(
        self,
        response: Response<upstream::Body>,
        requested: SystemTime,
        received: SystemTime,
    ) -> Result<(oneshot::Receiver<Fetched>, impl Future<Output = ()> + Send), Box<Response<upstream::Body>>>
    {
        let whole = self.arrived(response, requested, received).map_err(|(response, _)| response)?;
        let (leader, kept) = oneshot::channel();
        Ok((kept, async move {
            let _ending = Ending(&self);
            self.stream(whole, leader).await;
        }))
    }

    async fn stream(&self, Whole { parts, head, arriving }: Whole, leader: oneshot::Sender<Fetched>) {
        // Of a longer one nobody knows yet: a write may come before its end.
        let stored = match arriving.declared {
            Some(0) => self.keep(&head, Vec::new()),
            _ => self.store.admits(&self.ticket, &head),
        };
        // It may have left: the others go on reading.
        let _ = leader.send(Fetched::Kept(parts, Arc::clone(&head), stored));
        self.fill(&head, arriving).await;
    }

    /// Looks at the second level, where there is one, and asks the origin where that has nothing.
    async fn find_or_ask(&self) -> Came {
        match &self.second {
            None => self.ask(self.stored.clone()).await,
            Some(second) => match self.find(second).await {
                Ok(entry) => Came::Other(Fetched::Found(entry)),
                Err(stored) => self.ask(stored).await,
            },
        }
    }

    /// Sends the request until there is an answer that makes sense: a 304 that is not about the stored answer is
    /// followed by one question more, without conditions of ours.
    async fn ask(&self, stored: Option<Arc<Entry>>) -> Came {
        let known = stored;
        let mut stored = known.as_deref();
        loop {
            let mut request = self.request();
            let validates = stored
                .is_some_and(|entry| validate::ask(request.headers_mut(), &entry.head.fields.to_map(0)));
            let requested = self.clock.now();
            let response = match self.client.send(request, Some(self.asked.key.digest())).await {
                Ok(response) => response,
                Err(failure) => {
                    let besides = self.policy.stale_on_disconnect;
                    return Came::Other(match self.stand_in(known.as_ref(), besides) {
                        Some(entry) => Fetched::Stale(entry, None),
                        None => Fetched::Failed(failure),
                    });
                }
            };
            if is_error(response.status())
                && let Some(entry) = self.stand_in(known.as_ref(), Duration::ZERO)
            {
                return Came::Other(Fetched::Stale(entry, Some(response.status())));
            }
            let received = self.clock.now();
            if let Some(entry) = stored
                && validates
                && response.status() == StatusCode::NOT_MODIFIED
            {
                if validate::confirms(response.headers(), &entry.head.fields.to_map(0)) {
                    return self.confirmed(entry, response.headers(), requested, received).await;
                }
                stored = None;
                continue;
            }
            return match self.arrived(response, requested, received) {
                Ok(whole) => Came::Whole(whole),
                Err((response, refusal)) => {
                    // What is stored is no longer what the origin answers; an error of its own says nothing of that.
                    let status = response.status();
                    if known.is_some()
                        && refusal != Refusal::RequestNoStore
                        && !status.is_server_error()
                        && status != StatusCode::NOT_MODIFIED
                    {
                        self.supersede().await;
                    }
                    Came::Other(Fetched::Passed(response, refusal))
                }
            };
        }
    }

    /// The stored answer, where it may be given although the origin has failed; `besides` is permitted anyway.
    fn stand_in(&self, stored: Option<&Arc<Entry>>, besides: Duration) -> Option<Arc<Entry>> {
        let usable = |entry: &&Arc<Entry>| {
            entry.head.freshness().usable_on_error(&self.asked.control, besides, self.clock.now())
        };
        stored.filter(usable).cloned()
    }

    fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.asked.fields.clone();
        via(request.headers_mut());
        pass_interim(&mut request, self.asked.interim.clone());
        request
    }

    /// RFC 9111 §4.3.4.
    async fn confirmed(
        &self,
        entry: &Entry,
        answer: &HeaderMap,
        requested: SystemTime,
        received: SystemTime,
    ) -> Came {
        let fields = validate::updated(&entry.head.fields.to_map(0), &kept_fields(answer, received));
        let (status, filled_by) = (entry.head.status, entry.head.filled_by());
        let (entry, stays) = match may_store(&self.asked, self.policy, status, &fields, requested, received) {
            Ok(storable) => {
                let entry = Arc::new(
                    entry.with_head(Head::new(status, fields, storable, filled_by), self.ticket.fetch()),
                );
                (Arc::clone(&entry), self.put(entry))
            }
            Err(refusal) => {
                if refusal != Refusal::RequestNoStore {
                    self.supersede().await;
                }
                (
                    Arc::new(entry.with_head(entry.head.confirmed(&fields, received), self.ticket.fetch())),
                    false,
                )
            }
        };
        Came::Other(Fetched::Confirmed(entry, stays))
    }

    fn arrived(
        &self,
        response: Response<upstream::Body>,
        requested: SystemTime,
        received: SystemTime,
    ) -> Result<Whole, (Box<Response<upstream::Body>>, Refusal)> {
        match self.room_for(&response, requested, received) {
            Ok((head, declared, room)) => {
                self.flight.hold(room);
                let (parts, body) = response.into_parts();
                let arriving = Arriving { body: Box::new(body), declared };
                Ok(Whole { parts: Box::new(parts), head: Arc::new(head), arriving })
            }
            Err(refusal) => Err((Box::new(response), refusal)),
        }
    }

    fn room_for(
        &self,
        response: &Response<upstream::Body>,
        requested: SystemTime,
        received: SystemTime,
    ) -> Result<(Head, Option<u64>, Reserved), Refusal> {
        let (status, fields) = (response.status(), response.headers());
        let storable = may_store(&self.asked, self.policy, status, fields, requested, received)?;
        let body = response.body();
        let declared = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
        if response.extensions().get::<EndsByClose>().is_some() {
            return Err(Refusal::Unframed);
        }
        if declared.is_some_and(|length| length > self.store.largest_body()) {
            return Err(Refusal::TooLarge);
        }
        let mut room = Reserved::none(self.store.room());
        let length = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if !room.grow(length) {
            return Err(Refusal::NoRoom);
        }
        let fields = kept_fields(fields, received);
        let head = Head::new(status, fields, storable, self.flight.span.clone());
        Ok((head, declared, room))
    }

    /// Tells those who wait with the leader what came for all of them.
    fn tell_others(&self, fetched: &Fetched) {
        match fetched {
            Fetched::Confirmed(entry, true) if entry.is_fresh(self.clock.now()) => {
                self.flight.confirm(Arc::clone(entry));
            }
            Fetched::Stale(entry, _) => {
                self.lease_failed();
                self.flight.stand_in(Arc::clone(entry));
            }
            Fetched::Found(entry) => self.flight.found(Arc::clone(entry)),
            Fetched::Failed(_) => {
                self.lease_failed();
                self.flight.alone();
            }
            _ => self.alone(),
        }
    }

    /// What is stored is no longer what the origin answers: here, in the second level, and in other caches' memories.
    async fn supersede(&self) {
        if let Some(second) = &self.second {
            second.tell(Message { keys: vec![self.asked.key.clone()], ..Message::default() }).await;
        }
        self.store.supersede(&self.asked);
    }

    /// Stores an entry here, and soon in the second level; says whether that was still right.
    fn put(&self, entry: Arc<Entry>) -> bool {
        let stored = self.store.put(&self.ticket, Arc::clone(&entry));
        if stored && let Some(lease) = self.lease.get() {
            lease.fill(&entry);
        }
        stored
    }

    /// What came is for the leader only, and so will be what comes for the next ones.
    fn alone(&self) {
        self.lease_alone();
        self.alone_here();
    }

    fn lease_alone(&self) {
        if let Some(lease) = self.lease.get() {
            lease.alone();
        }
    }

    fn lease_failed(&self) {
        if let Some(lease) = self.lease.get() {
            lease.failed();
        }
    }

    fn alone_here(&self) {
        self.store.remember_alone(&self.asked.key, self.clock.now());
        self.store.close(&self.asked.key, &self.flight);
        self.flight.alone();
    }

    /// Reads the body into the flight, and into the store when it is whole.
    async fn fill(&self, head: &Arc<Head>, mut arriving: Arriving) {
        let (mut length, mut keeping) = (0, true);
        while arriving.declared != Some(length) {
            let missing = arriving.declared.map(|declared| declared - length);
            let Some(next) = self.next(&mut arriving.body, missing).await else { return };
            let chunk = match next {
                Some(Ok(frame)) => frame.into_data(),
                Some(Err(_told_by_the_attempt)) => return,
                None if arriving.declared.is_some() => return,
                None => break,
            };
            // Trailers are not passed on (RFC 9110 §6.5.1).
            let Ok(chunk) = chunk else { continue };
            length += chunk.len() as u64;
            if keeping && !self.has_room(&arriving, length, chunk.len()) {
                keeping = false;
                self.lease_alone();
                self.store.close(&self.asked.key, &self.flight);
                self.flight.pass();
            }
            // A copy, since the chunk is a part of a read buffer that may be much larger.
            let chunk = if keeping { Bytes::copy_from_slice(&chunk) } else { chunk };
            if arriving.declared == Some(length) {
                self.keep(head, [self.flight.chunks(), vec![chunk.clone()]].concat());
            }
            self.flight.push(chunk);
            self.flight.room().await;
        }
        if keeping && arriving.declared.is_none() {
            self.keep(head, self.flight.chunks());
        }
        self.flight.finish();
    }

    /// The next frame; `None` when nobody reads any more and too much is `missing`.
    async fn next(
        &self,
        body: &mut upstream::Body,
        missing: Option<u64>,
    ) -> Option<Option<Result<http_body::Frame<Bytes>, upstream::BodyError>>> {
        if missing.is_some_and(|missing| missing <= WORTH_FINISHING) {
            return Some(body.frame().await);
        }
        match select(body.frame(), pin!(self.flight.deserted())).await {
            Either::Left((frame, _)) => Some(frame),
            Either::Right(_) => None,
        }
    }

    /// Whether what has come of a body of unknown length still fits.
    fn has_room(&self, arriving: &Arriving, length: u64, more: usize) -> bool {
        arriving.declared.is_some() || length <= self.store.largest_body() && self.flight.grow(more + PIECE)
    }

    /// Stores it, and says whether that is still right.
    fn keep(&self, head: &Arc<Head>, chunks: Vec<Bytes>) -> bool {
        let entry = Entry::new(Head::clone(head), gathered(chunks), self.ticket.fetch());
        let stored = self.put(Arc::new(entry));
        self.store.close(&self.asked.key, &self.flight);
        stored
    }
}

/// Statuses in whose place a stale answer is better (RFC 5861 §4).
fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// Ends the flight however the fetch ends: whole, broken off, deserted, or dropped with its runtime.
struct Ending<'a>(&'a Fetch);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store.close(&self.0.asked.key, &self.0.flight);
        self.0.flight.ended();
    }
}
