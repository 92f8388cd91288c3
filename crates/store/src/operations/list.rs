//! A page of bookings.

use super::{COLUMNS, Operation, read};
use crate::{
    Cursor, Listing, Page,
    error::Error,
    session::{Session, Sql},
    value::Value,
};

#[derive(Debug)]
pub(crate) struct List {
    pub(crate) listing: Listing,
}

impl Operation for List {
    const WRITES: bool = false;
    type Output = Page;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Page, Error> {
        let limit = usize::from(self.listing.limit);
        let (text, values) = statement(self.listing);
        let rows = session.rows(&Sql::same("SELECT", "bookings", &text), &values).await?;
        let bookings = rows.iter().take(limit).map(read).collect::<Result<Vec<_>, _>>()?;
        let next = bookings.last().filter(|_| rows.len() > limit).map(Cursor::of);
        Ok(Page { bookings, next })
    }
}

/// Asks for one booking more than the page holds: it says whether there is a next page.
fn statement(listing: Listing) -> (String, Vec<Value>) {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut only = |condition: &str, wanted: Vec<Value>| {
        let mut condition = condition.to_owned();
        for value in wanted {
            values.push(value);
            condition = condition.replacen('?', &format!("${}", values.len()), 1);
        }
        conditions.push(condition);
    };
    if let Some(resource) = listing.resource {
        only("resource = ?", vec![Value::Text(resource)]);
    }
    if let Some(from) = listing.from {
        only("ends_at > ?", vec![Value::Time(from)]);
    }
    if let Some(to) = listing.to {
        only("starts_at < ?", vec![Value::Time(to)]);
    }
    if let Some(status) = listing.status {
        only("status = ?", vec![Value::Text(status.as_str().to_owned())]);
    }
    if let Some(after) = listing.after {
        only("(starts_at, id) > (?, ?)", vec![Value::Time(after.starts_at), Value::Id(after.id)]);
    }
    values.push(Value::Integer(i64::from(listing.limit) + 1));
    let conditions = match conditions.as_slice() {
        [] => String::new(),
        conditions => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let limit = values.len();
    let text = format!("SELECT {COLUMNS} FROM bookings{conditions} ORDER BY starts_at, id LIMIT ${limit}");
    (text, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listing: Listing, expected: &str, count: usize) {
        let (text, values) = statement(listing);
        let conditions = text.split_once(" FROM ").expect("a SELECT has a FROM").1;
        assert_eq!(conditions, expected);
        assert_eq!(values.len(), count);
    }

    #[test]
    fn placeholders_appear_in_the_order_of_their_values() {
        let none = Listing { limit: 50, ..Listing::default() };
        check(none.clone(), "bookings ORDER BY starts_at, id LIMIT $1", 1);
        let from = crate::Timestamp::from_micros(0);
        check(
            Listing { resource: Some("room".into()), to: from, ..none.clone() },
            "bookings WHERE resource = $1 AND starts_at < $2 ORDER BY starts_at, id LIMIT $3",
            3,
        );
        let after = "A".repeat(32).parse().ok();
        check(
            Listing { from, status: Some(crate::Status::Confirmed), after, ..none },
            "bookings WHERE ends_at > $1 AND status = $2 AND (starts_at, id) > ($3, $4) \
             ORDER BY starts_at, id LIMIT $5",
            5,
        );
    }
}
