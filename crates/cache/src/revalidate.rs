//! Asking in the background whether a stale answer that was just given is still right (RFC 5861 §3).
//!
//! A trace of its own, linked to the request that was answered: nobody waits for it. One at a time for each key; requests
//! that come meanwhile get what it brings once that is stored.

use std::sync::Arc;

use http::{Uri, header};
use http_body_util::BodyExt as _;
use opentelemetry::{context::FutureExt as _, trace::TraceContextExt as _};
use telemetry::{KeyValue, Scope, Span, SpanContext, names};
use tokio::sync::oneshot;

use crate::{
    asked::Asked,
    body::AnswerBody,
    entry::{Entry, Variants},
    fetch::Fetched,
    flight::{Flight, Passenger},
    record::Outcome,
    serve::Cache,
    store::Boarding,
};

impl Cache {
    /// Begins to ask, unless somebody asks already; `seen` is what the answer was selected from.
    pub(crate) fn revalidate(
        &self,
        asked: &Asked,
        target: &Uri,
        stored: &Arc<Entry>,
        seen: Option<&Variants>,
    ) {
        if self.store.flight(&asked.key).is_some() {
            return;
        }
        let answered = Scope::current().map_or(SpanContext::NONE, |scope| scope.span_context());
        let span = Span::root_linked("revalidate", answered, Vec::new());
        let (flight, leader) = Flight::new(span.context().span().span_context().clone());
        let Boarding::Lead(ticket) = self.store.board(&asked.key, seen, &flight) else {
            span.set(result(Outcome::Collapsed));
            return;
        };
        let (asked, stored) = (Arc::new(unconditional(asked)), Some(Arc::clone(stored)));
        let fetch = self.fetch(asked, target.clone(), stored, ticket, flight);
        let context = span.context().clone();
        let (send, fetched) = oneshot::channel();
        let both = async move { tokio::join!(fetch.run(send), attend(fetched, leader, span)) };
        tokio::spawn(both.with_context(context));
    }
}

/// Waits for what comes, and for all of it, as whoever had asked for it would; tells its span.
async fn attend(fetched: oneshot::Receiver<Fetched>, leader: Passenger, span: Span) {
    match fetched.await {
        Ok(Fetched::Kept(..)) => {
            span.set(result(Outcome::Miss));
            let mut body = AnswerBody::flight(leader, None);
            while let Some(Ok(_)) = body.frame().await {}
        }
        Ok(Fetched::Confirmed(..)) => span.set(result(Outcome::Revalidated)),
        // Another cache was quicker.
        Ok(Fetched::Found(_)) => span.set(result(Outcome::Hit)),
        Ok(Fetched::Passed(_, refusal)) => {
            span.set(result(Outcome::Miss));
            span.set(KeyValue::new(names::CACHE_REASON, refusal.word()));
        }
        Ok(Fetched::Stale(_, status)) => {
            span.set(result(Outcome::StaleIfError));
            if let Some(status) = status {
                span.set(KeyValue::new(names::CACHE_REASON, status.as_str().to_owned()));
            }
        }
        Ok(Fetched::Failed(failure)) => span.fail(failure.error_type(), &failure),
        // Its runtime is going away.
        Err(_) => {}
    }
}

fn result(outcome: Outcome) -> KeyValue {
    KeyValue::new(names::CACHE_RESULT, outcome.word())
}

/// The request as it would be without what its client has already.
fn unconditional(asked: &Asked) -> Asked {
    let mut asked = Asked { conditional: false, interim: None, ..asked.clone() };
    asked.fields.remove(header::IF_NONE_MATCH);
    asked.fields.remove(header::IF_MODIFIED_SINCE);
    asked
}
