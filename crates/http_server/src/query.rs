//! The query of a list: which bookings, and where the page begins. Pure: a query in, a listing or a refusal out.
//!
//! What is not understood is refused: a misspelt filter that is passed over would select everything.

use std::str::FromStr;

use axum::extract::Query;
use http::Uri;
use store::Listing;

use crate::refusal::Refusal;

/// Bookings in a page where nothing is said.
const LIMIT: u16 = 50;
/// Bookings in a page at most.
const MOST: u16 = 100;

/// Reads `resource`, `from`, `to`, `status`, `limit` and `cursor`, each at most once.
pub(crate) fn listing(uri: &Uri) -> Result<Listing, Refusal> {
    let malformed = |error| Refusal::Malformed(format!("the query cannot be read: {error}"));
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(malformed)?;
    let mut listing = Listing { limit: LIMIT, ..Listing::default() };
    for (at, (name, value)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(seen, _)| seen == name) {
            return Err(refused(name, "must not be there twice"));
        }
        match name.as_str() {
            "resource" if value.contains('\0') => return Err(refused(name, "must not contain NUL")),
            "resource" => listing.resource = Some(value.clone()),
            "from" => listing.from = Some(read(name, value)?),
            "to" => listing.to = Some(read(name, value)?),
            "status" => listing.status = Some(read(name, value)?),
            "cursor" => listing.after = Some(read(name, value)?),
            "limit" => listing.limit = limit(name, value)?,
            _ => return Err(refused(name, "is no parameter of a list")),
        }
    }
    if listing.from.zip(listing.to).is_some_and(|(from, to)| from >= to) {
        return Err(refused("to", "must be later than `from`"));
    }
    Ok(listing)
}

fn limit(name: &str, value: &str) -> Result<u16, Refusal> {
    value
        .parse()
        .ok()
        .filter(|limit| (1..=MOST).contains(limit) && !value.starts_with('+'))
        .ok_or_else(|| refused(name, &format!("must be a number from 1 to {MOST}")))
}

fn read<T: FromStr<Err: ToString>>(name: &str, value: &str) -> Result<T, Refusal> {
    value.parse().map_err(|error: T::Err| refused(name, &error.to_string()))
}

fn refused(name: &str, reason: &str) -> Refusal {
    Refusal::Malformed(format!("`{name}` in the query {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(query: &str, expected: Result<&str, &str>) {
        let uri = Uri::try_from(format!("/api/bookings?{query}")).unwrap();
        let read = listing(&uri).map(|listing| format!("{listing:?}")).map_err(|refusal| refusal.to_string());
        match expected {
            Ok(part) => assert!(read.as_ref().is_ok_and(|all| all.contains(part)), "{query}: {read:?}"),
            Err(part) => assert!(read.as_ref().is_err_and(|all| all.contains(part)), "{query}: {read:?}"),
        }
    }

    #[test]
    fn filters_are_read() {
        check("", Ok("limit: 50"));
        check("limit=1", Ok("limit: 1"));
        check("limit=100", Ok("limit: 100"));
        check("resource=room%201", Ok(r#"resource: Some("room 1")"#));
        check("from=2030-01-01T00:00:00Z", Ok("from: Some(2030-01-01T00:00:00Z)"));
        check("to=2030-01-01T02:00:00%2B02:00", Ok("to: Some(2030-01-01T00:00:00Z)"));
        check("status=pending", Ok("status: Some(Pending)"));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        check("limit=0", Err("`limit`"));
        check("limit=101", Err("`limit`"));
        check("limit=+5", Err("`limit`"));
        check("limit=%2B5", Err("`limit`"));
        check("limit=99999999999", Err("`limit`"));
        check("limit=1&limit=2", Err("twice"));
        check("ressource=room", Err("`ressource`"));
        check("status=Pending", Err("`status`"));
        check("status=", Err("`status`"));
        check("from=yesterday", Err("`from`"));
        check("from=2030-01-01T00:00:00+02:00", Err("`from`"));
        check("cursor=x", Err("`cursor`"));
        check("resource=a%00b", Err("NUL"));
        check("from=2030-01-01T00:00:00Z&to=2030-01-01T00:00:00Z", Err("`to`"));
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "[ -~&&[^ \"<>\\\\^`{|}#]]{0,60}") {
            if let Ok(uri) = Uri::try_from(format!("/?{query}")) {
                let _ = listing(&uri);
            }
        }
    }
}
