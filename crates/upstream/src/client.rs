//! A request's way to an answer: pick, wait, attempt, and once more where that is safe.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, Version, header};
use http_body::Body as _;
use telemetry::{Attempt, ClientLayer, Scope};
use tower::{Layer as _, Service as _};

use crate::{
    answer::Body,
    attempt::{self, AttemptError, Bounds},
    failure::Failure,
    fields,
    interim::OnInterim,
    pick::Spirit,
    pool::Pool,
    queue,
    replica::Replica,
    request_body::{RequestBody, RequestFault},
    retry::{self, Ended, Facts},
    upstream::Upstream,
    visit::Visit,
};

/// How long a connection may take when no replica is in good standing.
const PANIC_CONNECT: Duration = Duration::from_millis(250);
/// How long an answer may take that decides whether an ejected replica takes requests again, while others do.
const PROBE_ANSWER: Duration = Duration::from_secs(1);

/// Sends requests to the replicas; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    upstream: Arc<Upstream>,
    pool: Arc<Pool>,
}

impl Client {
    pub(crate) fn new(upstream: Arc<Upstream>, pool: Arc<Pool>) -> Client {
        Client { upstream, pool }
    }

    /// Picks, waits, attempts, retries where that is safe. Strips hop-by-hop fields both ways; injects the trace;
    /// records queue, upstream, attempts and replica in the current [`Scope`]; tells interim responses as
    /// [`on_interim`](crate::on_interim) says. `key`: what consistent hashing hashes.
    pub async fn send<B>(&self, mut request: Request<B>, key: Option<u64>) -> Result<Response<Body>, Failure>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<RequestFault>,
    {
        let scope = Scope::current();
        if let Some(scope) = &scope {
            scope.proxy();
        }
        let interim = request.extensions_mut().remove::<OnInterim>();
        let request = prepare(request).await.map_err(Failure::request)?;
        self.upstream.budget.serve();
        let mut way = Way::new(&self.upstream, scope, key, interim, &request);
        let mut next = Next { request, ended: None, _budget: None };
        loop {
            let (replica, spirit) = way.choose().ok_or_else(Failure::no_replica)?;
            let place = queue::enter(&replica, way.wait(spirit)).await.map_err(Failure::full)?;
            let bounds = way.bounds(spirit).ok_or_else(Failure::deadline)?;
            let copy = way.copy(&next.request);
            let visit = Visit::begin(replica, place, spirit, way.scope.clone());
            way.note(&visit.replica, next.ended);
            match self.attempt(visit, bounds, &way, next).await {
                Ok(response) => match way.after_answer(&response, spirit, copy) {
                    Some(again) => next = again,
                    None => return Ok(response.map(Body::new)),
                },
                Err(error) => next = way.after_error(error, spirit, copy)?,
            }
        }
    }

    async fn attempt(
        &self,
        visit: Visit,
        bounds: Bounds,
        way: &Way<'_>,
        next: Next<'_>,
    ) -> Result<Response<telemetry::ClientBody<crate::answer::Answer>>, AttemptError> {
        let mut request = next.request;
        request.extensions_mut().insert(Attempt {
            replica: visit.replica.name.clone(),
            host: visit.replica.host.clone(),
            port: visit.replica.address.port(),
            resend_count: way.made - 1,
            retry_reason: next.ended.map(Ended::reason),
        });
        if let Some(interim) = &way.interim {
            interim.listen(&mut request);
        }
        let pool = self.pool.clone();
        let mut visit = Some(visit);
        let once = tower::service_fn(move |request| {
            let visit = visit.take().expect("the service is called once, two lines below");
            attempt::make(pool.clone(), visit, bounds, request)
        });
        ClientLayer.layer(once).call(request).await
    }
}

/// The request to send next, and why there is another attempt.
struct Next<'a> {
    request: Request<RequestBody>,
    ended: Option<Ended>,
    /// Held while the attempt runs.
    _budget: Option<retry::Counted<'a>>,
}

/// What is known of a request on its way.
struct Way<'a> {
    upstream: &'a Upstream,
    scope: Option<Scope>,
    key: Option<u64>,
    interim: Option<OnInterim>,
    idempotent: bool,
    /// Kept whole: the request may be written again.
    repeatable: bool,
    deadline: Instant,
    tried: Vec<u64>,
    made: u32,
}

impl<'a> Way<'a> {
    fn new(
        upstream: &'a Upstream,
        scope: Option<Scope>,
        key: Option<u64>,
        interim: Option<OnInterim>,
        request: &Request<RequestBody>,
    ) -> Way<'a> {
        Way {
            upstream,
            scope,
            key,
            interim,
            idempotent: retry::is_idempotent(request.method()),
            repeatable: matches!(request.body(), RequestBody::Kept(_)),
            deadline: Instant::now() + upstream.settings.request_timeout(),
            tried: Vec::new(),
            made: 0,
        }
    }

    fn choose(&self) -> Option<(Arc<Replica>, Spirit)> {
        let may_probe = self.idempotent && self.repeatable && self.made == 0;
        self.upstream.choose(Instant::now(), &self.tried, self.key, may_probe)
    }

    /// How long to wait for a place. Where nobody knows whether the replica lives, not at all.
    fn wait(&self, spirit: Spirit) -> queue::Bounds {
        let settings = &self.upstream.settings;
        let length = if spirit == Spirit::Panic { 0 } else { settings.queue_length };
        queue::Bounds { length, until: self.deadline.min(Instant::now() + settings.queue_timeout) }
    }

    /// The bounds of the next attempt; `None` after the deadline.
    fn bounds(&self, spirit: Spirit) -> Option<Bounds> {
        let settings = &self.upstream.settings;
        let left = self.deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        let (connect, head) = match spirit {
            Spirit::Trust => (settings.connect_timeout, settings.try_timeout()),
            Spirit::Panic => (settings.connect_timeout.min(PANIC_CONNECT), settings.try_timeout()),
            Spirit::Probe => (settings.connect_timeout, settings.try_timeout().min(PROBE_ANSWER)),
        };
        Some(Bounds { connect: connect.min(left), head: head.min(left), idle: settings.answer_idle_timeout })
    }

    /// The request once more, should it come to that.
    fn copy(&self, request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
        if !self.idempotent || self.made + 1 >= self.upstream.settings.attempts {
            return None;
        }
        let mut copy = Request::new(request.body().again()?);
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        Some(copy)
    }

    /// Counts an attempt that begins.
    fn note(&mut self, replica: &Replica, ended: Option<Ended>) {
        self.made += 1;
        self.tried.push(replica.id);
        replica.attempts.fetch_add(1, Relaxed);
        if ended.is_some() {
            replica.retries.fetch_add(1, Relaxed);
        }
        if let Some(scope) = &self.scope {
            scope.attempt(&replica.name);
        }
    }

    /// What to send next after an answer came: nothing, unless it is the replica's own way to say that it cannot serve.
    fn after_answer<B>(
        &self,
        response: &Response<B>,
        spirit: Spirit,
        copy: Option<Request<RequestBody>>,
    ) -> Option<Next<'a>> {
        let ended = retry::refusal(response.status(), response.headers())?;
        let next = self.again(ended, spirit, copy?)?;
        tracing::warn!(error.type = ended.reason(), "attempt refused, trying again");
        Some(next)
    }

    /// What to send next after an attempt failed, if anything.
    fn after_error(
        &self,
        mut error: AttemptError,
        spirit: Spirit,
        copy: Option<Request<RequestBody>>,
    ) -> Result<Next<'a>, Failure> {
        let ended = error.ended();
        let request = error.take_unsent().or(copy);
        let next = match (ended, request) {
            (Some(ended), Some(request)) => self.again(ended, spirit, request),
            _ => None,
        };
        let Some(next) = next else { return Err(Failure::attempt(error)) };
        let kind = telemetry::ErrorType::error_type(&error);
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error.type = kind, error, "attempt failed, trying again");
        Ok(next)
    }

    fn again(&self, ended: Ended, spirit: Spirit, request: Request<RequestBody>) -> Option<Next<'a>> {
        let facts = Facts {
            made: self.made,
            most: self.upstream.settings.attempts,
            idempotent: self.idempotent,
            repeatable: self.repeatable || ended == Ended::Unsent,
            panic: spirit == Spirit::Panic,
        };
        let why_not = |why| tracing::debug!(error.type = ended.reason(), why, "not tried again");
        if !retry::may_repeat(ended, facts) {
            why_not("not safe, or no attempt left");
            return None;
        }
        let Some(budget) = self.upstream.budget.repeat(ended) else {
            why_not("the retry budget is spent");
            return None;
        };
        Some(Next { request, ended: Some(ended), _budget: budget })
    }
}

/// The request as it goes out: no hop-by-hop fields, origin-form, HTTP/1.1, its body kept or streaming.
async fn prepare<B>(request: Request<B>) -> Result<Request<RequestBody>, RequestFault>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<RequestFault>,
{
    let (parts, body) = request.into_parts();
    let body = RequestBody::take(body).await?;
    let mut headers = parts.headers;
    fields::strip_request(&mut headers);
    if body.size_hint().exact().is_none() {
        // Said explicitly: hyper takes a GET of unknown length to have no body at all.
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = origin_form(parts.uri);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The target without scheme and authority (RFC 9112 §3.2.1).
fn origin_form(uri: Uri) -> Uri {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return uri;
    }
    uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from)
}
