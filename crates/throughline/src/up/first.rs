//! The first request through the whole system, and its story.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;

use crate::{get::get, trace};

const PATH: &str = "/api/bookings";

/// How long the answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How long its story may take to reach the files.
const STORY: Duration = Duration::from_secs(2);

/// What became of the first request.
pub(super) struct First {
    pub(super) status: u16,
    pub(super) trace_id: String,
    /// `None`: it is not in the files, or there are none of ours.
    pub(super) story: Option<String>,
}

/// Sends it, and reads its story from `files`.
pub(super) async fn request(edge: SocketAddr, files: Option<PathBuf>) -> anyhow::Result<First> {
    let answer = get(&edge.to_string(), PATH, ANSWER).await.context("the first request failed")?;
    let trace_id = answer.headers.get("x-trace-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let story = match files {
        Some(files) => {
            let id = trace_id.to_owned();
            let read = move || trace::story_of(&[files], &id, STORY);
            tokio::task::spawn_blocking(read).await.context("reading the story")??
        }
        None => None,
    };
    Ok(First { status: answer.status.as_u16(), trace_id: trace_id.to_owned(), story })
}
