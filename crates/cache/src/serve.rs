//! The service: from a request to what is done about it.
//!
//! What is stored and fresh is answered at once. Everything else goes forward: passed through untouched, or by a
//! [`Fetch`], which others may share.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use opentelemetry::context::FutureExt;
use service::RequestBodyError;
use telemetry::{Scope, SpanContext};
use tokio::sync::oneshot;
use upstream::{Ambiguity, Client};

use crate::{
    answer,
    asked::{Asked, Bypass},
    body::AnswerBody,
    cache_status::{Forward, Member},
    clock::Clock,
    entry::{Entry, Head, Variants},
    fetch::{Fetch, Fetched},
    flight::{Flight, Landing, Passenger},
    language,
    pass::fault,
    plan::{Plan, may_be_given, plan},
    policy::Policy,
    record::{Outcome, Record},
    second::{Question, Second, Wants},
    store::{Boarding, Store, Ticket},
    validate,
};

/// The cache as a service; one a thread, over the process's store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(crate) store: Arc<Store>,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) policy: Policy,
    pub(crate) record: Record,
    pub(crate) second: Option<Arc<Second>>,
}

impl Cache {
    /// Over `store`, asking what `client` reaches. Made after telemetry has started.
    pub fn new(store: &Arc<Store>, client: Client, clock: Clock, policy: Policy) -> Cache {
        Cache { store: Arc::clone(store), client, clock, policy, record: Record::new(), second: None }
    }

    /// Over a second level as well, which is for the same store.
    pub fn with_second(self, second: Option<&Arc<Second>>) -> Cache {
        Cache { second: second.cloned(), ..self }
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
        if request.method() == Method::CONNECT {
            return Answering::Now(Some(answer::no_tunnel()));
        }
        if let Some(ambiguity) = Ambiguity::of(&request) {
            return Answering::Now(Some(answer::ambiguous(ambiguity)));
        }
        let (mut parts, body) = request.into_parts();
        if self.policy.language_aware {
            language::normalise(&mut parts.headers);
        }
        let mut asked = match Asked::take(&mut parts, !body.is_end_stream()) {
            Ok(asked) => asked,
            Err(bypass) => {
                let request = Request::from_parts(parts, body.map_err(fault));
                return Answering::later(self.clone().bypass(request, bypass));
            }
        };
        let stored = self.store.get(&asked.key);
        match self.at_once(&asked, &parts.uri, stored.as_ref()) {
            Ok(response) => Answering::Now(Some(response)),
            Err(going) if asked.ranged && !going.refused => {
                let cache = self.clone();
                Answering::later(async move {
                    if let Some(response) = cache.find(&asked, &parts.uri, going.stored.as_ref()).await {
                        return response;
                    }
                    parts.headers = asked.fields;
                    cache.bypass(Request::from_parts(parts, body.map_err(fault)), Bypass::Range).await
                })
            }
            Err(forward) => {
                asked.interim = parts.extensions.remove();
                Answering::later(self.clone().forward(asked, parts.uri, stored, forward))
            }
        }
    }
}

/// [`Cache`]'s future: a hit, the hottest path, needs no box.
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
    /// No further than to the second level: the request forbids it.
    refused: bool,
}

impl Cache {
    /// The answer that needs nobody else.
    fn at_once(
        &self,
        asked: &Asked,
        target: &Uri,
        stored: Option<&Variants>,
    ) -> Result<Response<AnswerBody>, Going> {
        self.give(asked, target, stored, None)
    }

    /// The same; `found` says where it was found if not in memory.
    fn give(
        &self,
        asked: &Asked,
        target: &Uri,
        stored: Option<&Variants>,
        found: Option<&'static str>,
    ) -> Result<Response<AnswerBody>, Going> {
        let now = self.clock.now();
        match plan(asked, stored, now) {
            Plan::Answer(entry) => {
                self.record.tell(Outcome::Hit, found, Some(&entry.head.filled_by()));
                let freshness = entry.head.freshness();
                self.record.given(&freshness, now);
                let member = Member::Hit { ttl: freshness.ttl(now), detail: found };
                Ok(answer::from_entry(asked, &entry, now, member))
            }
            Plan::AnswerStale(entry) => {
                self.record.tell(Outcome::Stale, Some(Forward::Stale.word()), Some(&entry.head.filled_by()));
                let freshness = entry.head.freshness();
                self.record.given(&freshness, now);
                self.revalidate(asked, target, &entry, stored);
                let detail = Some("stale-while-revalidate");
                let member = Member::Hit { ttl: freshness.ttl(now), detail };
                Ok(answer::from_entry(asked, &entry, now, member))
            }
            // There may be one in the second level.
            Plan::Refuse(why) if self.second.is_some() && found.is_none() => {
                // What is stored here is not usable, and no older one is.
                let stored = stored.and_then(|variants| variants.selected_by(asked)).cloned();
                Err(Going { why, stored, refused: true })
            }
            Plan::Refuse(why) => Ok(self.refuse(why)),
            Plan::Fetch { why, stored } => Err(Going { why, stored, refused: false }),
        }
    }

    /// RFC 9111 §5.2.1.7.
    fn refuse(&self, why: Forward) -> Response<AnswerBody> {
        self.record.tell(Outcome::Miss, Some("only-if-cached"), None);
        answer::only_if_cached(Member::forwarded(why, None))
    }

    /// The answer that another cache has stored, for a request that fetches nothing that could be stored; none that is
    /// older than what is `stored` here.
    async fn find(
        &self,
        asked: &Asked,
        target: &Uri,
        stored: Option<&Arc<Entry>>,
    ) -> Option<Response<AnswerBody>> {
        let second = self.second.as_ref()?;
        let ticket = self.store.ticket(&asked.key);
        let suits = |entry: &Entry| {
            let now = self.clock.now();
            may_be_given(asked, entry, now) && !stored.is_some_and(|stored| entry.is_older_than(stored, now))
        };
        let (wants, policy, fetch) = (Wants::Answer, self.policy, ticket.fetch());
        let looked = second.look(Question { asked, wants, policy, fetch, suits }).await;
        let entry = Arc::new(looked.entry?);
        let given = suits(&entry) && self.store.put(&ticket, Arc::clone(&entry));
        if given { self.give_found(asked, target, entry) } else { None }
    }

    /// Answers with what another cache has stored and this one now has, too.
    fn give_found(&self, asked: &Asked, target: &Uri, entry: Arc<Entry>) -> Option<Response<AnswerBody>> {
        let variants = self.store.get(&asked.key);
        // It may have been pushed out already.
        let variants = variants.unwrap_or_else(|| Variants::with(None, entry));
        self.give(asked, target, Some(&variants), Some("second-level")).ok()
    }

    async fn forward(
        self,
        asked: Asked,
        target: Uri,
        mut seen: Option<Variants>,
        mut going: Going,
    ) -> Response<AnswerBody> {
        if (asked.head || going.refused)
            && let Some(response) = self.find(&asked, &target, going.stored.as_ref()).await
        {
            return response;
        }
        if going.refused {
            return self.refuse(going.why);
        }
        if asked.head {
            return self.head(asked, target, going.why).await;
        }
        let span = Scope::current().map_or(SpanContext::NONE, |scope| scope.span_context());
        let (flight, leader) = Flight::new(span);
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
                Boarding::Follow(other) => match self.follow(&asked, &target, &other, going.why).await {
                    Some(response) => return response,
                    None => {
                        collapsed = Some(false);
                        break self.store.ticket(&asked.key);
                    }
                },
                Boarding::Again => {
                    seen = self.store.get(&asked.key);
                    match self.at_once(&asked, &target, seen.as_ref()) {
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
        let always_validate =
            going.stored.as_ref().is_some_and(|entry| entry.head.freshness().always_validate);
        asked.shares() && !always_validate && !self.store.is_alone(&asked.key, self.clock.now())
    }

    /// Whether others may wait for its fetch: not if the client's own condition goes with it, since a 304 would be an
    /// answer to that client only.
    fn may_lead(&self, asked: &Asked, going: &Going) -> bool {
        let validates =
            |entry: &Arc<Entry>| validate::ask(&mut HeaderMap::new(), &entry.head.fields.to_map(0));
        !asked.conditional || going.stored.as_ref().is_some_and(validates)
    }

    /// Waits for another request's fetch; `None` when what came is not for this one.
    async fn follow(
        &self,
        asked: &Asked,
        target: &Uri,
        flight: &Arc<Flight>,
        why: Forward,
    ) -> Option<Response<AnswerBody>> {
        let passenger = Flight::board(flight);
        let landing = passenger.landing().await;
        let now = self.clock.now();
        let member =
            |status| Member::Forwarded { why, status, stored: false, stale: None, collapsed: Some(true) };
        let suits = |head: &Head| head.is_selected_by(asked) && head.is_allowed_for(asked);
        let usable = |head: &Head| suits(head) && head.freshness().is_fresh(now);
        let response = match landing {
            Landing::Streams(head) if usable(&head) => {
                answer::from_flight(asked, &head, passenger, now, member(Some(head.status)))
            }
            Landing::Confirmed(entry) if usable(&entry.head) => {
                answer::from_entry(asked, &entry, now, member(Some(StatusCode::NOT_MODIFIED)))
            }
            Landing::Found(entry) => return self.give_found(asked, target, entry),
            // It was given to the leader, whose request says nothing that this one does not.
            Landing::StandsIn(entry) if suits(&entry.head) => {
                self.record.tell(Outcome::StaleIfError, Some(why.word()), Some(&entry.head.filled_by()));
                return Some(stand_in(asked, &entry, now, (why, None), Some(true)));
            }
            _ => return None,
        };
        self.record.tell(Outcome::Collapsed, Some(why.word()), Some(&flight.span));
        Some(response)
    }

    /// A fetch to be made; `stored` is what the origin is asked to confirm.
    pub(crate) fn fetch(
        &self,
        asked: Arc<Asked>,
        target: Uri,
        stored: Option<Arc<Entry>>,
        ticket: Ticket,
        flight: Arc<Flight>,
    ) -> Fetch {
        Fetch {
            store: Arc::clone(&self.store),
            client: self.client.clone(),
            clock: self.clock.clone(),
            policy: self.policy,
            asked,
            target,
            stored,
            ticket,
            flight,
            second: self.second.clone(),
            waits: true,
            lease: OnceLock::new(),
        }
    }

    /// Asks the origin, for itself and for those who wait.
    async fn lead(
        &self,
        asked: Arc<Asked>,
        target: Uri,
        Going { why, stored, .. }: Going,
        ticket: Ticket,
        (flight, leader): (Arc<Flight>, Passenger),
        collapsed: Option<bool>,
    ) -> Response<AnswerBody> {
        let mut fetch = self.fetch(Arc::clone(&asked), target.clone(), stored, ticket, flight);
        // Who has waited in vain does not wait again, for whoever waited with it.
        fetch.waits = collapsed.is_none();
        let (send, fetched) = oneshot::channel();
        tokio::spawn(fetch.run(send).with_context(telemetry::Context::current()));
        let fetched = fetched.await;
        let now = self.clock.now();
        let member =
            |status, stored| Member::Forwarded { why, status: Some(status), stored, stale: None, collapsed };
        match fetched {
            Ok(Fetched::Kept(parts, head, stored)) => {
                self.record.tell(Outcome::Miss, Some(why.word()), None);
                let member = member(parts.status, stored);
                answer::from_fetch(&asked, *parts, &head, leader, member)
            }
            Ok(Fetched::Passed(response, refusal)) => {
                self.record.tell(Outcome::Miss, Some(refusal.word()), None);
                let member = member(response.status(), false);
                answer::from_origin(*response, now, member)
            }
            Ok(Fetched::Confirmed(entry, stays)) => {
                self.record.tell(Outcome::Revalidated, Some(why.word()), Some(&entry.head.filled_by()));
                answer::from_entry(&asked, &entry, now, member(StatusCode::NOT_MODIFIED, stays))
            }
            Ok(Fetched::Found(entry)) => {
                let given = self.give_found(&asked, &target, Arc::clone(&entry));
                // It was right when it was found, and has just become stale.
                given.unwrap_or_else(|| stand_in(&asked, &entry, now, (why, None), collapsed))
            }
            Ok(Fetched::Stale(entry, status)) => {
                self.record.tell(Outcome::StaleIfError, Some(why.word()), Some(&entry.head.filled_by()));
                stand_in(&asked, &entry, now, (why, status), collapsed)
            }
            Ok(Fetched::Failed(failure)) => {
                self.record.tell(Outcome::Miss, Some(why.word()), None);
                let member = Member::Forwarded { why, status: None, stored: false, stale: None, collapsed };
                answer::own(failure.response("cache"), member)
            }
            Err(_the_fetch_is_gone) => {
                self.record.tell(Outcome::Miss, Some(why.word()), None);
                answer::lost(Member::forwarded(why, None))
            }
        }
    }
}

/// The stale answer that stands in where the origin failed.
fn stand_in(
    asked: &Asked,
    entry: &Entry,
    now: SystemTime,
    (why, status): (Forward, Option<StatusCode>),
    collapsed: Option<bool>,
) -> Response<AnswerBody> {
    let stale = Some((entry.head.freshness().ttl(now), "stale-if-error"));
    answer::from_entry(asked, entry, now, Member::Forwarded { why, status, stored: false, stale, collapsed })
}
