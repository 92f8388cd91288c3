//! `deliver_webhook`: one event to one receiver, signed as the Standard Webhooks specification says.
//!
//! Idempotent for a receiver that remembers `webhook-id`: it is the task's id, the same over all runs. A run that died after
//! the receiver took the event and before that was written sends it again. The timestamp, and with it the signature, is of
//! the run: receivers refuse old ones.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::BodyExt as _;
use store::{Outcome, Store, Task, Webhook};
use telemetry::{Client, ClientLayer, ErrorType as _, SecretTarget};
use tower_service::Service as _;

use crate::{
    outcome::{Again, Failure},
    send::{SendError, Sender},
};

/// What is read of an answer's body, so that its connection can be used again; more is not waited for.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Delivers events.
#[derive(Clone, Debug)]
pub(crate) struct Deliver {
    store: Store,
    client: Client<Sender>,
}

impl Deliver {
    pub(crate) fn new(store: Store, within: Duration, allow_private: bool) -> Result<Self, reqwest::Error> {
        use tower_layer::Layer as _;
        Ok(Self { store, client: ClientLayer.layer(Sender::new(within, allow_private)?) })
    }

    /// One delivery.
    pub(crate) async fn run(&self, task: &Task) -> Result<Outcome, Failure> {
        let id = task.webhook.ok_or_else(|| Failure::lasting("payload", "the task names no webhook"))?;
        let webhook = match self.store.webhook(id).await {
            Ok(webhook) if webhook.disabled.is_none() => webhook,
            // Nobody wants to hear it any more.
            Ok(_) | Err(store::Error::NoSuchWebhook) => return Ok(Outcome::Done),
            Err(error) => return Err(Failure::passing("database", chain(&error))),
        };
        let now = SystemTime::now();
        let request = request(task, &webhook, now)?;
        let answer = self.client.clone().call(request).await.map_err(unanswered)?;
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        let judged = crate::judge::judge(answer.status(), retry_after);
        read(answer.into_body()).await;
        judged
    }
}

fn request(task: &Task, webhook: &Webhook, now: SystemTime) -> Result<Request<Bytes>, Failure> {
    let key = webhook.secret.key();
    let key = key.ok_or_else(|| Failure::lasting("secret", "the webhook's secret cannot be read"))?;
    let id = task.id.to_string();
    // A clock before 1970 was never set: receivers refuse what it signs, and say so.
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let body = Bytes::from(task.payload.clone());
    Request::post(&webhook.url)
        .extension(SecretTarget)
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", crate::signature::sign(&key, &id, seconds, &body))
        .body(body)
        .map_err(|error| Failure::lasting("url", format!("the webhook's URL cannot be used: {error}")))
}

fn unanswered(error: SendError) -> Failure {
    let again = match error {
        SendError::Literal { .. } | SendError::Url(_) => Again::Never,
        _ => Again::Later,
    };
    Failure { kind: error.error_type().into(), error: chain(&error), again }
}

fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    crate::retry_after::wait(headers.get(header::RETRY_AFTER)?.to_str().ok()?, now)
}

/// What a receiver says beside its status is nobody's concern, and neither is whether it comes to an end.
async fn read<B: http_body::Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut room = LONGEST_ANSWER;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match room.checked_sub(length) {
            Some(left) => room = left,
            None => return,
        }
    }
}

/// An error and its causes, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| text + ": " + &cause.to_string())
}
