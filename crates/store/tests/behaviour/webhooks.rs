//! Who is told of changes.

use store::{Ended, Outcome, Secret, State, Store, Webhook};
use uuid::Uuid;

use super::{Place, at, booking, claims, fresh_id, keep, kind};

pub(crate) fn webhook() -> Webhook {
    Webhook {
        id: fresh_id(),
        url: "https://example.org/events".into(),
        secret: Secret::of_key([1; 24]),
        created_at: at(0),
        disabled: None,
    }
}

pub(crate) async fn subscribe(store: &Store) -> Uuid {
    let webhook = webhook();
    store.create_webhook(webhook.clone()).await.unwrap();
    webhook.id
}

/// Those who are told, oldest first.
pub(crate) async fn subscribed(store: &Store) -> Vec<Uuid> {
    let webhooks = store.webhooks().await.unwrap();
    webhooks.iter().filter(|webhook| webhook.disabled.is_none()).map(|webhook| webhook.id).collect()
}

pub(crate) async fn a_webhook_is_read_back_as_it_was_kept(place: &dyn Place) {
    let store = place.open().await;
    let kept = webhook();
    store.create_webhook(kept.clone()).await.unwrap();
    assert_eq!(store.webhook(kept.id).await.unwrap(), kept);
    assert_eq!(store.webhooks().await.unwrap(), std::slice::from_ref(&kept));
    store.delete_webhook(kept.id).await.unwrap();
    assert_eq!(kind(store.webhook(kept.id).await), "no such webhook");
    assert_eq!(kind(store.delete_webhook(kept.id).await), "no such webhook");
    assert_eq!(store.webhooks().await.unwrap(), []);
}

pub(crate) async fn there_are_so_many_webhooks_and_no_more(place: &dyn Place) {
    let store = place.open().await;
    for _ in 0..Webhook::AT_MOST {
        subscribe(&store).await;
    }
    assert_eq!(kind(store.create_webhook(webhook()).await), "too many webhooks");
    assert_eq!(store.webhooks().await.unwrap().len() as u64, Webhook::AT_MOST);
}

pub(crate) async fn one_who_wants_no_more_is_told_no_more(place: &dyn Place) {
    let store = place.open().await;
    let [gone, stays] = [subscribe(&store).await, subscribe(&store).await];
    keep(&store, &booking("room", 60, 120)).await;
    let runs = claims::claim(&store, 10, at(1)).await.runs;
    let run = runs.iter().find(|run| run.task.webhook == Some(gone)).unwrap();
    let outcome = Outcome::Unsubscribe { reason: "it answered 410".into() };
    assert_eq!(claims::end(&store, run.lease, outcome, at(2)).await, Ended::Now(State::Done));
    let disabled = store.webhook(gone).await.unwrap().disabled.unwrap();
    assert_eq!((disabled.at, disabled.reason.as_str()), (at(2), "it answered 410"));
    assert_eq!(subscribed(&store).await, [stays]);
    keep(&store, &booking("hall", 60, 120)).await;
    assert_eq!(claims::one(&store, at(1)).await.task.webhook, Some(stays));
}
