//! What a POST answers about its own target, for the GETs that follow (RFC 9110 §9.3.3), where a site wants that.
//!
//! Promises: only an answer with `Content-Location` of the very target and a lifetime of its own is stored, and none
//! that began before another write to that target has ended.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use opentelemetry::context::FutureExt as _;
use telemetry::{Scope, SpanContext};

use crate::{
    answer,
    asked::Asked,
    body::AnswerBody,
    cache_status::{Forward, Member},
    fetch::Fetched,
    flight::Flight,
    invalidate,
    policy::Policy,
    serve::Cache,
    store::Ticket,
};

/// A POST whose answer may be stored.
pub(crate) struct Posted {
    /// As a GET of the same would ask.
    asked: Asked,
    target: Uri,
    ticket: Ticket,
    requested: SystemTime,
}

impl Posted {
    /// Begins to watch a request; `None` for what is no POST of a plain target.
    pub(crate) fn of<B>(cache: &Cache, request: &Request<B>) -> Option<Posted> {
        if !cache.policy.store_post || request.method() != Method::POST {
            return None;
        }
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        for ours in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::RANGE] {
            parts.headers.remove(ours);
        }
        let target = parts.uri.clone();
        let asked = Asked::take(&mut parts, false).ok()?;
        let ticket = cache.store.ticket(&asked.key);
        Some(Posted { asked, target, ticket, requested: cache.clock.now() })
    }

    /// Whether its answer is one to store: no other write has been to the target since it began. To be asked before its
    /// own drops what is stored.
    pub(crate) fn is_kept(&self, cache: &Cache, status: StatusCode, answer: &HeaderMap) -> bool {
        status == StatusCode::OK
            && invalidate::names_itself(&self.asked.key, answer)
            && cache.store.is_current(&self.ticket)
    }

    /// Answers with what the origin has answered, and stores that on the side, as far as it may be.
    pub(crate) async fn keep(
        self,
        cache: &Cache,
        response: Response<upstream::Body>,
    ) -> Response<AnswerBody> {
        let now = cache.clock.now();
        let span = Scope::current().map_or(SpanContext::NONE, |scope| scope.span_context());
        let (flight, leader) = Flight::new(span);
        // A new one: its own invalidation is no reason not to store it.
        let ticket = cache.store.ticket(&self.asked.key);
        let asked = Arc::new(self.asked);
        let mut fetch = cache.fetch(Arc::clone(&asked), self.target, None, ticket, flight);
        // A lifetime must be said, not guessed.
        fetch.policy = Policy { heuristic_freshness: false, ..fetch.policy };
        let member = |status, stored| Member::Forwarded {
            why: Forward::Method,
            status: Some(status),
            stored,
            stale: None,
            collapsed: None,
        };
        let (kept, filling) = match fetch.take(response, self.requested, now) {
            Ok(taken) => taken,
            Err(response) => {
                let member = member(response.status(), false);
                return answer::from_origin(*response, now, member);
            }
        };
        tokio::spawn(filling.with_context(telemetry::Context::current()));
        match kept.await {
            Ok(Fetched::Kept(parts, head, stored)) => {
                let member = member(parts.status, stored);
                answer::from_fetch(&asked, *parts, &head, leader, member)
            }
            _ => answer::lost(Member::forwarded(Forward::Method, None)),
        }
    }
}
