//! The whole service, layers and store included, called in memory.

/// Reads: entity tags, conditions, freshness, pages.
mod reading;
/// Every refusal, with each header and body.
mod refusals;
/// The task that a write leaves, as clients see it.
mod tasks;
/// Spans, lines and headers of a request.
mod telling;
/// Who is told of changes, as clients see it.
mod webhooks;
/// Writes: what becomes of a booking.
mod writing;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use service::{Limited, Limits};
use store::{Claim, Ended, Outcome, Places, State, Store, Timestamp};
use telemetry::{Peer, Server, TrustedPeers, testing};
use tower::ServiceExt as _;

use crate::layers;

/// The API on a database of its own.
pub(crate) struct Api {
    service: Server<Limited<Router>>,
    pub(crate) store: Store,
    directory: Option<PathBuf>,
}

/// What came back, whole.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trace: String,
}

impl Api {
    pub(crate) async fn sqlite() -> Self {
        Self::sqlite_with(&store::Settings::default()).await
    }

    async fn sqlite_with(settings: &store::Settings) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("throughline-api-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let url = format!("sqlite:{}", directory.join("bookings.db").display());
        let mut api = Self::on(&url, settings).await;
        api.directory = Some(directory);
        api
    }

    async fn postgres() -> Self {
        Self::on(&tests::postgres::database().await, &store::Settings::default()).await
    }

    async fn on(url: &str, settings: &store::Settings) -> Self {
        testing::capture();
        let store = Store::open(url, settings).await.unwrap();
        let limits = Limits { max_body_bytes: 100_000, ..Limits::default() };
        let trusted: TrustedPeers = "private".parse().unwrap();
        Self { service: layers(store.clone(), trusted, limits), store, directory: None }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let (traceparent, trace) = testing::traceparent();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("traceparent", traceparent)
            .extension(Peer("127.0.0.1:50000".parse().unwrap()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let (parts, body) = self.service.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body, trace }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    async fn post(&self, body: &Value) -> Answer {
        self.send("POST", "/api/bookings", &[JSON], body.to_string()).await
    }

    /// A booking that a worker has confirmed: its path and its members.
    async fn confirmed(&self, body: &Value) -> (String, Value) {
        let (path, _) = self.booked(body).await;
        let now = Timestamp::now();
        let expires_at = now.plus(Duration::from_secs(60));
        let claim = Claim { places: Places::of_every_kind(100), holder: "a test".into(), now, expires_at };
        for run in self.store.claim_tasks(claim).await.unwrap().runs {
            let ended = self.store.end_run(run.lease, Outcome::Confirm, None, now).await.unwrap();
            assert_eq!(ended, Ended::Now(State::Done));
        }
        let members = self.get(&path).await.json();
        assert_eq!(members["status"], "confirmed");
        (path, members)
    }

    /// A booking that is there: its path and its members.
    pub(crate) async fn booked(&self, body: &Value) -> (String, Value) {
        let answer = self.post(body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        (answer.header("location").to_owned(), answer.json())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            std::fs::remove_dir_all(directory).ok();
        }
    }
}

impl Answer {
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no `{name}` in {self:?}"));
        value.to_str().unwrap()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");
const PATCH: (&str, &str) = ("content-type", "application/merge-patch+json");

/// `resource` from one hour to another of one day.
pub(crate) fn wanted(resource: &str, from: u32, to: u32) -> Value {
    json!({
        "resource": resource, "guest": "Ada",
        "starts_at": format!("2030-01-01T{from:02}:00:00Z"), "ends_at": format!("2030-01-01T{to:02}:00:00Z"),
    })
}
