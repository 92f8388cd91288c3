//! The id in a path: a UUID in its one usual form, so that a thing has one path only.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use uuid::Uuid;

use crate::refusal::Refusal;

/// `/api/bookings/{id}`
#[derive(Clone, Copy, Debug)]
pub(crate) struct BookingId(pub(crate) Uuid);

/// `/api/tasks/{id}`
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskId(pub(crate) Uuid);

/// `/api/webhooks/{id}`
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebhookId(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for BookingId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        id(parts, state, "booking").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TaskId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        id(parts, state, "task").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebhookId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        id(parts, state, "webhook").await.map(Self)
    }
}

async fn id<S: Send + Sync>(parts: &mut Parts, state: &S, whose: &str) -> Result<Uuid, Refusal> {
    let malformed = || {
        Refusal::Malformed(format!("a {whose}'s id must be a UUID: 36 characters, lower case, with hyphens"))
    };
    // It failed to be text: no id of ours.
    let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| malformed())?;
    Uuid::try_parse(&text).ok().filter(|id| id.to_string() == text).ok_or_else(malformed)
}
