//! The first request through the whole system, and its story.
//!
//! In the database of the data directory it books, because that is what goes furthest: through every service to a worker. Its
//! booking is of a resource of its own, and is removed when the story has been told. In any other database it only looks.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::{Instant, sleep};

use crate::{
    ask::{Answer, ask, get},
    trace,
};

const PATH: &str = "/api/bookings";
const RESOURCE: &str = "throughline-first-request";

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a worker may take to confirm the booking.
const CONFIRMED: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long its story may take to reach the files.
const STORY: Duration = Duration::from_secs(2);

/// Who has a part in it, from the edge on; the last where there is one, and something for it to do.
const SERVICES: [&str; 4] = ["load_balancer", "cache", "http_server", "worker"];

/// What became of the first request.
pub(super) struct First {
    pub(super) status: u16,
    pub(super) trace_id: String,
    /// `None`: it is not in the files, or there are none of ours.
    pub(super) story: Option<String>,
    /// The booking that it made.
    booking: Option<String>,
}

/// Sends it, lets a worker act on it where one `works`, and reads its story from `files`.
pub(super) async fn request(
    edge: SocketAddr,
    books: bool,
    works: bool,
    files: Option<PathBuf>,
) -> anyhow::Result<First> {
    let edge = edge.to_string();
    let answer = if books { book(&edge).await } else { get(&edge, PATH, ANSWER).await };
    let answer = answer.context("the first request failed")?;
    let booking = Some(text(&answer, "location")).filter(|path| !path.is_empty());
    let mut services = &SERVICES[..3];
    if let (Some(booking), true) = (&booking, works) {
        confirmed(&edge, booking).await?;
        services = &SERVICES;
    }
    let trace_id = text(&answer, "x-trace-id");
    let story = match files {
        Some(files) => {
            let id = trace_id.clone();
            let read = move || trace::story_of(&[files], &id, services, STORY);
            tokio::task::spawn_blocking(read).await.context("reading the story")??
        }
        None => None,
    };
    Ok(First { status: answer.status.as_u16(), trace_id, story, booking })
}

impl First {
    /// Removes the booking that it made.
    pub(super) async fn remove(&self, edge: SocketAddr) -> anyhow::Result<()> {
        let Some(booking) = &self.booking else { return Ok(()) };
        let removing = || format!("the first request's booking `{booking}` cannot be removed");
        let answer =
            ask(&edge.to_string(), Method::DELETE, booking, None, ANSWER).await.with_context(removing)?;
        ensure!(answer.status == StatusCode::NO_CONTENT, "{}: answered {}", removing(), answer.status);
        Ok(())
    }
}

/// Books the second that begins now: no other start of this system has it.
async fn book(edge: &str) -> anyhow::Result<Answer> {
    let now = OffsetDateTime::now_utc().truncate_to_microsecond();
    let written = |time: OffsetDateTime| time.format(&Rfc3339).context("a time of today has a form");
    let booking = json!({
        "resource": RESOURCE,
        "guest": "throughline up",
        "starts_at": written(now)?,
        "ends_at": written(now + Duration::from_secs(1))?,
    });
    ask(edge, Method::POST, PATH, Some(booking.to_string()), ANSWER).await
}

/// Waits until a worker has confirmed the booking, or for long enough: then the story is told as far as it has come.
async fn confirmed(edge: &str, booking: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + CONFIRMED;
    while Instant::now() < deadline {
        let answer = get(edge, booking, ANSWER).await?;
        // What is no JSON is no pending booking either.
        let found: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if found["status"] != "pending" {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// A header as text; empty where it is absent.
fn text(answer: &Answer, name: &str) -> String {
    let value = answer.headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
