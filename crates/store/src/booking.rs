//! A booking: one resource kept for one guest during `[starts_at, ends_at)`.

use std::str::FromStr;

use uuid::Uuid;

use crate::Timestamp;

/// One booking as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// A UUIDv7, chosen by whoever creates it.
    pub id: Uuid,
    /// What its owner may change.
    pub details: Details,
    /// Where it stands.
    pub status: Status,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// 1 at its creation, one more with every change: what stands behind its strong `ETag`.
    pub version: i64,
}

/// The members of a booking that its owner may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// What is kept; two bookings of one resource do not overlap.
    pub resource: String,
    /// For whom.
    pub guest: String,
    /// The first instant.
    pub starts_at: Timestamp,
    /// The first instant after it; later than `starts_at`.
    pub ends_at: Timestamp,
    /// Anything else.
    pub notes: Option<String>,
}

/// Where a booking stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits to be confirmed.
    Pending,
    /// Stands.
    Confirmed,
    /// Given up: overlaps with nothing.
    Cancelled,
}

/// What shall become of a booking, decided with its current state at hand; see [`Store::change`](crate::Store::change).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is, version included.
    Leave,
    /// New details.
    Replace(Details),
    /// It is given up.
    Cancel,
    /// It is removed.
    Remove,
}

impl Booking {
    /// A booking in its first version.
    pub fn new(id: Uuid, details: Details, status: Status, now: Timestamp) -> Self {
        Self { id, details, status, created_at: now, updated_at: now, version: 1 }
    }

    /// This booking's next version.
    pub(crate) fn next(self, details: Details, status: Status, now: Timestamp) -> Self {
        Self { details, status, updated_at: now, version: self.version.saturating_add(1), ..self }
    }
}

impl Status {
    /// As it is written, in the database and to clients.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Confirmed => "confirmed",
            Status::Cancelled => "cancelled",
        }
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        [Status::Pending, Status::Confirmed, Status::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownStatus)
    }
}

/// A word that is no [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `pending`, `confirmed` or `cancelled`")]
pub struct UnknownStatus;
