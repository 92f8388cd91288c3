//! The service: from a request to what is done about it.
//!
//! What is stored and fresh is answered at once. Everything else goes forward: passed through untouched, or by a
//! [`Fetch`], which others may share.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use opentelemetry::context::FutureExt;
use service::RequestBodyError;
use tokio::sync::oneshot;
use upstream::{Client, RequestFault};

use crate::{
    answer,
    asked::{Asked, Bypass},
    body::AnswerBody,
    cache_status::{Forward, Member},
    clock::Clock,
    entry::{Entry, Variants},
    fetch::{Fetch, Fetched, current_span},
    flight::{Flight, Landing},
    invalidate::{self, Outcome as Written},
    key::Key,
    plan::{Plan, plan},
    record::{Outcome, Record},
    store::{Boarding, Store, Ticket},
    via,
};

/// The cache as a service; one a thread, over the process's store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache {
    store: Arc<Store>,
    client: Client,
    clock: Clock,
    record: Record,
}

impl Cache {
    /// Over `store`, asking what `client` reaches. Made after telemetry has started.
    pub fn new(store: &Arc<Store>, client: Client, clock: Clock) -> Cache {
        Cache { store: Arc::clone(store), client, clock, record: Record::new() }
    }
}

impl<B> tower_service::Service<Request<B>> for Cache
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Send + Unpin + 'static,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let (mut parts, body) = request.into_parts();
        let asked = match Asked::take(&mut parts, !body.is_end_stream()) {
            Ok(asked) => asked,
            Err(bypass) => {
                let request = Request::from_parts(parts, body.map_err(fault));
                return Answering::later(self.clone().bypass(request, bypass));
            }
        };
        let stored = self.store.get(&asked.key);
        match self.at_once(&asked, stored.as_ref()) {
            Ok(response) => Answering::Now(Some(response)),
            Err(forward) => Answering::later(self.clone().forward(asked, parts.uri, stored, forward)),
        }
    }
}

/// [`Cache`]'s future.
#[expect(clippy::large_enum_variant, reason = "a hit, the hottest path, is answered without a box")]
pub enum Answering {
    #[doc = "Answered already."]
    Now(Option<Response<AnswerBody>>),
    #[doc = "Waiting for the origin."]
    Later(Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send>>),
}

impl Answering {
    fn later(future: impl Future<Output = Response<AnswerBody>> + Send + 'static) -> Answering {
        Answering::Later(Box::pin(future))
    }
}

impl Future for Answering {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answering::Now(response) => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after it was ready")))
            }
            Answering::Later(future) => future.as_mut().poll(cx).map(Ok),
        }
    }
}

/// A request that goes forward: why, and what its answer may confirm.
struct Going {
    why: Forward,
    stored: Option<Arc<Entry>>,
}

impl Cache {
    /// The answer that needs nobody else.
    fn at_once(&self, asked: &Asked, stored: Option<&Arc<Variants>>) -> Result<Response<AnswerBody>, Going> {
        let now = self.clock.now();
        match plan(asked, stored.map(|variants| &**variants), now) {
            Plan::Answer(entry) => {
                self.record.tell(Outcome::Hit, None, Some(&entry.head.filled_by));
                let member = Member::Hit { ttl: entry.head.freshness.ttl(now) };
                Ok(answer::from_entry(asked, &entry, now, member))
            }
            Plan::Refuse(why) => {
                self.record.tell(Outcome::Miss, Some("only-if-cached"), None);
                Ok(answer::only_if_cached(Member::forwarded(why, None)))
            }
            Plan::Fetch { why, stored } => Err(Going { why, stored }),
        }
    }

    async fn forward(
        self,
        asked: Asked,
        target: Uri,
        mut seen: Option<Arc<Variants>>,
        mut going: Going,
    ) -> Response<AnswerBody> {
        if asked.head {
            return self.head(asked, target, going.why).await;
        }
        let (flight, leader) = Flight::new(current_span());
        let mut collapsed = None;
        let ticket = loop {
            if !self.may_wait(&asked, &going) {
                break self.store.ticket(&asked.key);
            }
            let boarding = if self.may_lead(&asked, &going) {
                self.store.board(&asked.key, seen.as_ref(), &flight)
            } else {
                let under_way = self.store.flight(&asked.key);
                under_way.map_or_else(|| Boarding::Lead(self.store.ticket(&asked.key)), Boarding::Follow)
            };
            match boarding {
                Boarding::Lead(ticket) => break ticket,
                Boarding::Follow(other) => match self.follow(&asked, &other, going.why).await {
                    Some(response) => return response,
                    None => {
                        collapsed = Some(false);
                        break self.store.ticket(&asked.key);
                    }
                },
                Boarding::Again => {
                    seen = self.store.get(&asked.key);
                    match self.at_once(&asked, seen.as_ref()) {
                        Ok(response) => return response,
                        Err(now) => going = now,
                    }
                }
            }
        };
        self.lead(Arc::new(asked), target, going, ticket, (flight, leader), collapsed).await
    }

    /// Whether to wait for another's fetch: not where each request must ask for itself.
    fn may_wait(&self, asked: &Asked, going: &Going) -> bool {
        let always_validate = going.stored.as_ref().is_some_and(|entry| entry.head.freshness.always_validate);
        asked.shares() && !always_validate && !self.store.is_alone(&asked.key, self.clock.now())
    }

    /// Whether others may wait for its fetch: not if the client's own condition goes with it, since a 304 would be an
    /// answer to that client only.
    fn may_lead(&self, asked: &Asked, going: &Going) -> bool {
        let validates = |entry: &Arc<Entry>| crate::validate::ask(&mut HeaderMap::new(), &entry.head.fields);
        !asked.conditional || going.stored.as_ref().is_some_and(validates)
    }

    /// Waits for another request's fetch; `None` when what came is not for this one.
    async fn follow(
        &self,
        asked: &Asked,
        flight: &Arc<Flight>,
        why: Forward,
    ) -> Option<Response<AnswerBody>> {
        let passenger = Flight::board(flight);
        let landing = passenger.landing().await;
        let now = self.clock.now();
        let member =
            |status| Member::Forwarded { why, status: Some(status), stored: false, collapsed: Some(true) };
        let usable = |head: &crate::entry::Head| {
            head.is_selected_by(asked) && head.is_allowed_for(asked) && head.freshness.is_fresh(now)
        };
        let response = match landing {
            Landing::Streams(head) if usable(&head) => {
                answer::from_flight(asked, &head, passenger, now, member(head.status))
            }
            Landing::Confirmed(entry) if usable(&entry.head) => {
                answer::from_entry(asked, &entry, now, member(http::StatusCode::NOT_MODIFIED))
            }
            _ => return None,
        };
        self.record.tell(Outcome::Collapsed, Some(why.word()), Some(&flight.span));
        Some(response)
    }

    /// Asks the origin, for itself and for those who wait.
    async fn lead(
        &self,
        asked: Arc<Asked>,
        target: Uri,
        Going { why, stored }: Going,
        ticket: Ticket,
        (flight, leader): (Arc<Flight>, crate::flight::Passenger),
        collapsed: Option<bool>,
    ) -> Response<AnswerBody> {
        let fetch = Fetch {
            store: Arc::clone(&self.store),
            client: self.client.clone(),
            clock: self.clock.clone(),
            asked: Arc::clone(&asked),
            target,
            stored,
            ticket,
            flight,
        };
        let (send, fetched) = oneshot::channel();
        tokio::spawn(fetch.run(send).with_context(telemetry::Context::current()));
        let fetched = fetched.await;
        let now = self.clock.now();
        let member = |status, stored| Member::Forwarded { why, status: Some(status), stored, collapsed };
        match fetched {
            Ok(Fetched::Kept(parts, head)) => {
                self.record.tell(Outcome::Miss, Some(why.word()), None);
                let member = member(parts.status, true);
                answer::from_fetch(&asked, *parts, &head, leader, member)
            }
            Ok(Fetched::Passed(response, refusal)) => {
                self.record.tell(Outcome::Miss, Some(refusal.word()), None);
                let member = member(response.status(), false);
                answer::from_origin(response, now, member)
            }
            Ok(Fetched::Confirmed(entry, stays)) => {
                self.record.tell(Outcome::Revalidated, Some(why.word()), Some(&entry.head.filled_by));
                answer::from_entry(&asked, &entry, now, member(http::StatusCode::NOT_MODIFIED, stays))
            }
            Ok(Fetched::Failed(failure)) => {
                self.record.tell(Outcome::Miss, Some(why.word()), None);
                let member = Member::Forwarded { why, status: None, stored: false, collapsed };
                answer::own(failure.response("cache"), member)
            }
            Err(_the_fetch_is_gone) => {
                self.record.tell(Outcome::Miss, Some(why.word()), None);
                answer::lost(Member::forwarded(why, None))
            }
        }
    }

    /// A HEAD that nothing stored answers is passed through: its answer has no body to store.
    async fn head(self, asked: Asked, target: Uri, why: Forward) -> Response<AnswerBody> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = target;
        *request.headers_mut() = asked.fields;
        self.record.tell(Outcome::Miss, Some(why.word()), None);
        self.pass(request, asked.key.hash(), why).await.0
    }

    /// Passes a request through untouched; one that may change something invalidates what it may have changed.
    async fn bypass<B>(self, request: Request<B>, bypass: Bypass) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes, Error = RequestFault> + Send + Unpin + 'static,
    {
        self.record.tell(Outcome::Bypass, Some(bypass.word()), None);
        let why = if bypass == Bypass::Method { Forward::Method } else { Forward::Bypass };
        let key = Key::of(request.uri(), request.headers());
        let hash = key.as_ref().map_or(0, Key::hash);
        let mut write = Write { store: &self.store, method: request.method().clone(), key };
        let (response, answered) = self.pass(request, hash, why).await;
        if answered {
            write.answered(&response);
        }
        response
    }

    /// Passes it on and says whether the origin answered.
    async fn pass<B>(&self, mut request: Request<B>, hash: u64, why: Forward) -> (Response<AnswerBody>, bool)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<RequestFault>,
    {
        via(request.headers_mut());
        match self.client.send(request, Some(hash)).await {
            Ok(response) => {
                let member = Member::forwarded(why, Some(response.status()));
                (answer::from_origin(response, self.clock.now(), member), true)
            }
            Err(failure) => (answer::own(failure.response("cache"), Member::forwarded(why, None)), false),
        }
    }
}

/// A request that may change something, until it is answered. Dropped before (no answer, or the client left), it
/// counts as done: nobody knows.
struct Write<'a> {
    store: &'a Store,
    method: Method,
    key: Option<Key>,
}

impl Write<'_> {
    fn answered(&mut self, response: &Response<AnswerBody>) {
        if let Some(key) = self.key.take()
            && invalidate::may_have_changed(&self.method, Written::Answered(response.status()))
        {
            for key in invalidate::keys(&key, response.headers()) {
                self.store.invalidate(&key);
            }
        }
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take()
            && invalidate::may_have_changed(&self.method, Written::Unknown)
        {
            self.store.invalidate(&key);
        }
    }
}

/// What a request body's error means to the next hop's client.
fn fault(error: RequestBodyError) -> RequestFault {
    match error {
        RequestBodyError::TooLarge { .. } => RequestFault::TooLarge(error.into()),
        RequestBodyError::Idle { .. } => RequestFault::TooSlow(error.into()),
        RequestBodyError::Broken(source) => RequestFault::Broken(source),
    }
}
