//! A webhook: a URL that is told of every change of a booking, and the secret that signs what it is told.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::Timestamp;

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// A UUIDv7, chosen by whoever creates it.
    pub id: Uuid,
    /// Where events are sent.
    pub url: String,
    /// What signs them.
    pub secret: Secret,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when it is told nothing any more, and why.
    pub disabled: Option<Disabled>,
}

/// Why a webhook is told nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// For people to read.
    pub reason: String,
}

impl Webhook {
    /// Webhooks at most: every change of a booking writes a task for each.
    pub const AT_MOST: u64 = 100;
}

/// The key of a webhook's signatures, as the Standard Webhooks specification writes it: `whsec_` and base64. Its `Debug`
/// says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

const PREFIX: &str = "whsec_";

impl Secret {
    /// The secret with this key: 24 bytes, drawn by whoever creates the webhook from a generator that nobody can guess.
    pub fn of_key(key: [u8; 24]) -> Self {
        Self(format!("{PREFIX}{}", STANDARD.encode(key)))
    }

    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// As its owner is shown it, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The bytes to sign with; none where somebody else wrote what is no secret into our tables.
    pub fn key(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.0.strip_prefix(PREFIX)?).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_prefix_and_its_key_and_is_not_told() {
        let secret = Secret::of_key([7; 24]);
        assert_eq!(secret.reveal(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH");
        assert_eq!(secret.key(), Some(vec![7; 24]));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(Secret::stored("BwcH".into()).key(), None);
    }
}
