//! What can be done with webhooks.

use uuid::Uuid;

use super::Store;
use crate::{
    Error,
    operations::{CreateWebhook, DeleteWebhook, GetWebhook, ListWebhooks},
    webhook::Webhook,
};

impl Store {
    /// Keeps a webhook: whatever is written from now on, it is told. [`Error::TooManyWebhooks`] beyond [`Webhook::AT_MOST`].
    pub async fn create_webhook(&self, webhook: Webhook) -> Result<(), Error> {
        self.run(CreateWebhook { webhook }).await
    }

    /// One webhook, with its secret.
    pub async fn webhook(&self, id: Uuid) -> Result<Webhook, Error> {
        self.run(GetWebhook { id }).await
    }

    /// All webhooks, disabled ones included, oldest first.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, Error> {
        self.run(ListWebhooks).await
    }

    /// Removes a webhook. Its tasks that wait still will find it gone.
    pub async fn delete_webhook(&self, id: Uuid) -> Result<(), Error> {
        self.run(DeleteWebhook { id }).await
    }
}
