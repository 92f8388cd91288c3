//! An event: what became of a booking, as those who subscribed are told it.
//!
//! The shape is that of the Standard Webhooks specification: `type`, `timestamp` and `data`, the booking as it was then.

use serde::Serialize;
use uuid::Uuid;

use crate::{Booking, Timestamp};

/// What became of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is there.
    Created,
    /// It stands.
    Confirmed,
    /// Its details are others.
    Changed,
    /// It is given up.
    Cancelled,
    /// It is no more.
    Removed,
}

impl Event {
    /// As receivers see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Created => "booking.created",
            Event::Confirmed => "booking.confirmed",
            Event::Changed => "booking.changed",
            Event::Cancelled => "booking.cancelled",
            Event::Removed => "booking.removed",
        }
    }

    /// The body that is sent; `booking` as this event left it.
    pub(crate) fn payload(self, booking: &Booking, now: Timestamp) -> String {
        let details = &booking.details;
        let told = Told {
            r#type: self.as_str(),
            timestamp: now,
            data: Data {
                id: booking.id,
                resource: &details.resource,
                guest: &details.guest,
                starts_at: details.starts_at,
                ends_at: details.ends_at,
                notes: details.notes.as_deref(),
                status: booking.status.as_str(),
                created_at: booking.created_at,
                updated_at: booking.updated_at,
                version: booking.version,
            },
        };
        serde_json::to_string(&told)
            .expect("strings, numbers, timestamps and nulls can all be written as JSON")
    }
}

#[derive(Serialize)]
struct Told<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

/// The members that the API shows, and the version: two events of one booking may arrive in either order.
#[derive(Serialize)]
struct Data<'a> {
    id: Uuid,
    resource: &'a str,
    guest: &'a str,
    starts_at: Timestamp,
    ends_at: Timestamp,
    notes: Option<&'a str>,
    status: &'static str,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Details, Status};

    #[test]
    fn an_event_is_its_type_its_time_and_the_booking() {
        let at = |text: &str| text.parse().expect("a timestamp");
        let details = Details {
            resource: "room".into(),
            guest: "Ada".into(),
            starts_at: at("2030-01-01T10:00:00Z"),
            ends_at: at("2030-01-01T11:00:00Z"),
            notes: None,
        };
        let now = at("2029-12-31T08:00:00Z");
        let booking = Booking::new(Uuid::nil(), details, Status::Pending, now);
        assert_eq!(
            Event::Created.payload(&booking, now),
            "{\"type\":\"booking.created\",\"timestamp\":\"2029-12-31T08:00:00Z\",\"data\":{\
             \"id\":\"00000000-0000-0000-0000-000000000000\",\"resource\":\"room\",\"guest\":\"Ada\",\
             \"starts_at\":\"2030-01-01T10:00:00Z\",\"ends_at\":\"2030-01-01T11:00:00Z\",\"notes\":null,\
             \"status\":\"pending\",\"created_at\":\"2029-12-31T08:00:00Z\",\"updated_at\":\"2029-12-31T08:00:00Z\",\
             \"version\":1}}"
        );
    }
}
