//! Paths and methods, and which function answers each; what is not here is 404 or 405.

use std::task::{Context, Poll};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    routing::{get, post},
};
use store::Store;
use telemetry::Scope;
use tower::{Layer, Service};

use crate::{
    answer,
    body::{JSON, MERGE_PATCH},
    bookings,
    refusal::Refusal,
    tasks, webhooks,
};

const BOOKINGS: &str = "GET, HEAD, POST, OPTIONS";
const BOOKING: &str = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";
const TASK: &str = "GET, HEAD, OPTIONS";
const WEBHOOKS: &str = "GET, HEAD, POST, OPTIONS";
const WEBHOOK: &str = "GET, HEAD, DELETE, OPTIONS";
const CANCEL: &str = "POST, OPTIONS";

/// The API on this store.
pub(crate) fn routes(store: Store) -> Router {
    let bookings = get(bookings::list)
        .post(bookings::create)
        .options(async || answer::options(BOOKINGS, &[("accept-post", JSON)]))
        .fallback(async || Refusal::Method(BOOKINGS));
    let booking = get(bookings::read)
        .put(bookings::replace)
        .patch(bookings::patch)
        .delete(bookings::remove)
        .options(async || answer::options(BOOKING, &[("accept-patch", MERGE_PATCH)]))
        .fallback(async || Refusal::Method(BOOKING));
    let cancel = post(bookings::cancel)
        .options(async || answer::options(CANCEL, &[]))
        .fallback(async || Refusal::Method(CANCEL));
    let task = get(tasks::read)
        .options(async || answer::options(TASK, &[]))
        .fallback(async || Refusal::Method(TASK));
    let webhooks = get(webhooks::list)
        .post(webhooks::create)
        .options(async || answer::options(WEBHOOKS, &[("accept-post", JSON)]))
        .fallback(async || Refusal::Method(WEBHOOKS));
    let webhook = get(webhooks::read)
        .delete(webhooks::remove)
        .options(async || answer::options(WEBHOOK, &[]))
        .fallback(async || Refusal::Method(WEBHOOK));
    Router::new()
        .route("/api/bookings", bookings)
        .route("/api/bookings/{id}", booking)
        .route("/api/bookings/{id}/cancel", cancel)
        .route("/api/tasks/{id}", task)
        .route("/api/webhooks", webhooks)
        .route("/api/webhooks/{id}", webhook)
        .route_layer(RecordRoute)
        .fallback(async || Refusal::NoSuchPath)
        .with_state(store)
}

/// Tells the request's span its route. Inside the router: only there is it known.
#[derive(Clone, Copy, Debug)]
struct RecordRoute;

impl<S> Layer<S> for RecordRoute {
    type Service = RouteRecorded<S>;

    fn layer(&self, inner: S) -> RouteRecorded<S> {
        RouteRecorded { inner }
    }
}

#[derive(Clone, Debug)]
struct RouteRecorded<S> {
    inner: S,
}

impl<S: Service<Request>> Service<Request> for RouteRecorded<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        if let (Some(scope), Some(route)) = (Scope::current(), request.extensions().get::<MatchedPath>()) {
            scope.route(route.as_str());
        }
        self.inner.call(request)
    }
}
