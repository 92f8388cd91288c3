//! The members of a booking as clients write them: what each may hold, and what `POST`, `PUT` and `PATCH` make of them.
//!
//! Bounds: `resource` and `guest` 1 to 200 characters on one line, `notes` up to 2,000; lengths in Unicode characters.

use serde_json::Value;
use store::{Booking, Details, Timestamp};

use crate::{body::Members, refusal::Refusal};

/// The longest `resource` and `guest`.
pub(crate) const LONGEST_NAME: usize = 200;
/// The longest `notes`.
pub(crate) const LONGEST_NOTES: usize = 2_000;

/// What a body says, each member checked for itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Draft {
    resource: Option<String>,
    guest: Option<String>,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    /// `Some(None)`: said to be absent.
    notes: Option<Option<String>>,
    read_only: Vec<(ReadOnly, Value)>,
}

/// A member that only we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadOnly {
    Id,
    Status,
    CreatedAt,
    UpdatedAt,
}

impl Draft {
    /// Refuses unknown members and what no member may hold.
    pub(crate) fn read(members: Members) -> Result<Self, Refusal> {
        let mut draft = Draft::default();
        for (name, value) in members.0 {
            match name.as_str() {
                "resource" => draft.resource = Some(line("resource", value)?),
                "guest" => draft.guest = Some(line("guest", value)?),
                "starts_at" => draft.starts_at = Some(instant("starts_at", value)?),
                "ends_at" => draft.ends_at = Some(instant("ends_at", value)?),
                "notes" => draft.notes = Some(notes(value)?),
                _ => match ReadOnly::named(&name) {
                    Some(member) => draft.read_only.push((member, value)),
                    None => return Err(Refusal::invalid(name, "is not a member of a booking")),
                },
            }
        }
        Ok(draft)
    }

    /// `POST`: all of a new booking.
    pub(crate) fn new_booking(self) -> Result<Details, Refusal> {
        if let Some((member, _)) = self.read_only.first() {
            return Err(Refusal::invalid(member.name(), "is read-only"));
        }
        self.whole()
    }

    /// `PUT`, as far as it can be said without the current booking: whether it is whole.
    pub(crate) fn whole(&self) -> Result<Details, Refusal> {
        let missing = |field| move || Refusal::invalid(field, "is missing");
        ordered(Details {
            resource: self.resource.clone().ok_or_else(missing("resource"))?,
            guest: self.guest.clone().ok_or_else(missing("guest"))?,
            starts_at: self.starts_at.ok_or_else(missing("starts_at"))?,
            ends_at: self.ends_at.ok_or_else(missing("ends_at"))?,
            notes: self.notes.clone().flatten(),
        })
    }

    /// `PUT`: all of the booking, read-only members unchanged.
    pub(crate) fn replace(self, current: &Booking) -> Result<Details, Refusal> {
        self.unchanged(current)?;
        self.whole()
    }

    /// `PATCH` (RFC 7396): what is said replaces, what is not said stays.
    pub(crate) fn merge_into(self, current: &Booking) -> Result<Details, Refusal> {
        self.unchanged(current)?;
        let details = &current.details;
        ordered(Details {
            resource: self.resource.unwrap_or_else(|| details.resource.clone()),
            guest: self.guest.unwrap_or_else(|| details.guest.clone()),
            starts_at: self.starts_at.unwrap_or(details.starts_at),
            ends_at: self.ends_at.unwrap_or(details.ends_at),
            notes: self.notes.unwrap_or_else(|| details.notes.clone()),
        })
    }

    fn unchanged(&self, current: &Booking) -> Result<(), Refusal> {
        match self.read_only.iter().find(|(member, value)| !member.is_still(value, current)) {
            Some((member, _)) => {
                Err(Refusal::invalid(member.name(), "is read-only and differs from the booking's"))
            }
            None => Ok(()),
        }
    }
}

impl ReadOnly {
    const ALL: [ReadOnly; 4] = [ReadOnly::Id, ReadOnly::Status, ReadOnly::CreatedAt, ReadOnly::UpdatedAt];

    fn name(self) -> &'static str {
        match self {
            ReadOnly::Id => "id",
            ReadOnly::Status => "status",
            ReadOnly::CreatedAt => "created_at",
            ReadOnly::UpdatedAt => "updated_at",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|member| member.name() == name)
    }

    fn is_still(self, value: &Value, current: &Booking) -> bool {
        let Value::String(text) = value else { return false };
        let is = |instant: Timestamp| text.parse() == Ok(instant);
        match self {
            ReadOnly::Id => *text == current.id.to_string(),
            ReadOnly::Status => text == current.status.as_str(),
            ReadOnly::CreatedAt => is(current.created_at),
            ReadOnly::UpdatedAt => is(current.updated_at),
        }
    }
}

fn ordered(details: Details) -> Result<Details, Refusal> {
    if details.starts_at < details.ends_at {
        return Ok(details);
    }
    Err(Refusal::invalid("ends_at", "must be later than `starts_at`"))
}

fn text(field: &'static str, value: Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) if text.contains('\0') => Err(Refusal::invalid(field, "must not contain NUL")),
        Value::String(text) => Ok(text),
        Value::Null => Err(Refusal::invalid(field, "must not be null")),
        _ => Err(Refusal::invalid(field, "must be a string")),
    }
}

/// A name is shown in one line wherever it is shown.
fn line(field: &'static str, value: Value) -> Result<String, Refusal> {
    let text = text(field, value)?;
    if text.trim().is_empty() {
        return Err(Refusal::invalid(field, "must not be empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(field, "must not contain control characters"));
    }
    bounded(field, text, LONGEST_NAME)
}

fn notes(value: Value) -> Result<Option<String>, Refusal> {
    match value {
        Value::Null => Ok(None),
        value => bounded("notes", text("notes", value)?, LONGEST_NOTES).map(Some),
    }
}

fn bounded(field: &'static str, text: String, longest: usize) -> Result<String, Refusal> {
    if text.chars().nth(longest).is_some() {
        return Err(Refusal::invalid(field, format!("must not be longer than {longest} characters")));
    }
    Ok(text)
}

fn instant(field: &'static str, value: Value) -> Result<Timestamp, Refusal> {
    text(field, value)?
        .parse()
        .map_err(|error: store::TimestampError| Refusal::invalid(field, error.to_string()))
}

#[cfg(test)]
mod tests;
