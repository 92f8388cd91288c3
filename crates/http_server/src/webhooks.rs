//! What can be done with webhooks. A secret is shown once, in the answer to the creation.

use axum::{extract::State, response::Response};
use http::header;
use serde::Serialize;
use serde_json::Value;
use store::{Secret, Store, Timestamp, Webhook};
use uuid::Uuid;

use crate::{
    answer,
    body::{Members, Posted},
    conditions::Conditions,
    ids::WebhookId,
    receiver,
    refusal::Refusal,
};

#[derive(Serialize)]
struct Representation<'a> {
    id: Uuid,
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    created_at: Timestamp,
    disabled: Option<DisabledRepresentation<'a>>,
}

#[derive(Serialize)]
struct DisabledRepresentation<'a> {
    at: Timestamp,
    reason: &'a str,
}

#[derive(Serialize)]
struct ListRepresentation<'a> {
    webhooks: Vec<Representation<'a>>,
}

/// `GET /api/webhooks`
pub(crate) async fn list(State(store): State<Store>, conditions: Conditions) -> Result<Response, Refusal> {
    let webhooks = store.webhooks().await?;
    let webhooks = webhooks.iter().map(Representation::of).collect();
    answer::revalidated(&ListRepresentation { webhooks }, &conditions)
}

/// `POST /api/webhooks`
pub(crate) async fn create(State(store): State<Store>, posted: Posted) -> Result<Response, Refusal> {
    let webhook = Webhook {
        id: Uuid::now_v7(),
        url: url(posted.members)?,
        secret: Secret::of_key(key()),
        created_at: Timestamp::now(),
        disabled: None,
    };
    store.create_webhook(webhook.clone()).await?;
    let shown = Representation { secret: Some(webhook.secret.reveal()), ..Representation::of(&webhook) };
    let mut response = answer::secret(&shown);
    let location = format!("/api/webhooks/{}", webhook.id);
    answer::set(response.headers_mut(), header::LOCATION, &location);
    Ok(response)
}

/// `GET /api/webhooks/{id}`
pub(crate) async fn read(
    State(store): State<Store>,
    WebhookId(id): WebhookId,
    conditions: Conditions,
) -> Result<Response, Refusal> {
    let webhook = store.webhook(id).await?;
    answer::revalidated(&Representation::of(&webhook), &conditions)
}

/// `DELETE /api/webhooks/{id}`
pub(crate) async fn remove(
    State(store): State<Store>,
    WebhookId(id): WebhookId,
) -> Result<Response, Refusal> {
    store.delete_webhook(id).await?;
    Ok(answer::nothing())
}

impl<'a> Representation<'a> {
    fn of(webhook: &'a Webhook) -> Self {
        let disabled = webhook.disabled.as_ref();
        Self {
            id: webhook.id,
            url: &webhook.url,
            secret: None,
            created_at: webhook.created_at,
            disabled: disabled.map(|one| DisabledRepresentation { at: one.at, reason: &one.reason }),
        }
    }
}

/// The one member that a client writes.
fn url(members: Members) -> Result<String, Refusal> {
    let mut url = None;
    for (name, value) in members.0 {
        match (name.as_str(), value) {
            ("url", Value::String(text)) => url = Some(text),
            ("url", _) => return Err(Refusal::invalid("url", "must be a string")),
            ("id" | "secret" | "created_at" | "disabled", _) => {
                return Err(Refusal::invalid(name, "is read-only"));
            }
            _ => return Err(Refusal::invalid(name, "is not a member of a webhook")),
        }
    }
    let url = url.ok_or_else(|| Refusal::invalid("url", "is missing"))?;
    receiver::check(&url).map_err(|reason| Refusal::invalid("url", reason))?;
    Ok(url)
}

/// 24 bytes that nobody can guess: the random bits of two ids, which come from the system's generator. A UUIDv4 fixes six of
/// its bits, so what is taken are bytes that it leaves alone.
fn key() -> [u8; 24] {
    let ids = [Uuid::new_v4(), Uuid::new_v4()];
    let mut key = [0; 24];
    let free = ids.iter().flat_map(|id| id.as_bytes().iter().enumerate());
    let free = free.filter(|(place, _)| !matches!(place, 6 | 8)).map(|(_, byte)| *byte);
    key.iter_mut().zip(free).for_each(|(byte, random)| *byte = random);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_of_24_bytes_of_which_none_is_the_same_everywhere() {
        let keys: Vec<_> = (0..64).map(|_| key()).collect();
        for place in 0..24 {
            assert!(keys.iter().any(|key| key[place] != keys[0][place]), "byte {place}");
        }
    }
}
