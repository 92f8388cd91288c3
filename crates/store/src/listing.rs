//! A listing: bookings in the order of `(starts_at, id)`, page by page.
//!
//! The cursor is a key, not a place: what is created or removed between two pages neither repeats nor hides another booking.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{Booking, Status, Timestamp};

/// Which bookings, and how many of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only this resource's.
    pub resource: Option<String>,
    /// Only those that end after this instant.
    pub from: Option<Timestamp>,
    /// Only those that start before this instant.
    pub to: Option<Timestamp>,
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only those that come after this one in the listing's order.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: u16,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order of `(starts_at, id)`.
    pub bookings: Vec<Booking>,
    /// Where the next page goes on; none on the last.
    pub next: Option<Cursor>,
}

/// The key of the last booking of a page. As text: URL-safe base64 without padding, opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) starts_at: Timestamp,
    pub(crate) id: Uuid,
}

/// A text that is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a `next` of an earlier page")]
pub struct CursorError;

impl Cursor {
    pub(crate) fn of(booking: &Booking) -> Self {
        Self { starts_at: booking.details.starts_at, id: booking.id }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.starts_at.micros().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        // What is wrong with it helps nobody: a cursor is opaque.
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let (micros, id) = bytes.split_first_chunk::<8>().ok_or(CursorError)?;
        let starts_at = Timestamp::from_micros(i64::from_be_bytes(*micros)).ok_or(CursorError)?;
        let id = Uuid::from_slice(id).map_err(|_| CursorError)?;
        Ok(Self { starts_at, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back(micros in -1_000_000_000_000_000i64..1_000_000_000_000_000, id: u128) {
            let cursor = Cursor {
                starts_at: Timestamp::from_micros(micros).expect("within the range"),
                id: Uuid::from_u128(id),
            };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        // The last one is a cursor by its length, in a year that no timestamp can hold.
        for text in ["", "x", "AAAA", "not base64!", &"A".repeat(36), &format!("f{}", "_".repeat(31))] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
