//! Answers: a booking and a page of bookings as clients see them, with the entity tags and the freshness that caches need.
//!
//! - What changes through HTTP only, a shared cache in front may answer for a few seconds by itself: it sees every write, and
//!   the [groups] that the write names tell it which lists have changed with it. `max-age` bounds what a cache that saw no
//!   write may still say.
//! - What a worker changes behind the caches, a task, a pending booking and every list that its confirmation changes, must be
//!   asked for again, and is, cheaply, by its entity tag.
//! - The answer to a write is for whoever wrote.

use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use store::{Answer, Booking, Listing, Page, Status, Timestamp};
use uuid::Uuid;

use crate::{
    conditions::{Conditions, Verdict},
    groups::{self, Shown},
    refusal::Refusal,
    tasks,
};

const FRESH: HeaderValue = HeaderValue::from_static("public, max-age=5");
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// A booking's members, in the order in which they are written.
#[derive(Serialize)]
struct Representation<'a> {
    id: Uuid,
    resource: &'a str,
    guest: &'a str,
    starts_at: Timestamp,
    ends_at: Timestamp,
    notes: Option<&'a str>,
    status: &'static str,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize)]
struct PageRepresentation<'a> {
    bookings: Vec<Representation<'a>>,
    next: Option<String>,
}

impl<'a> Representation<'a> {
    fn of(booking: &'a Booking) -> Self {
        let details = &booking.details;
        Self {
            id: booking.id,
            resource: &details.resource,
            guest: &details.guest,
            starts_at: details.starts_at,
            ends_at: details.ends_at,
            notes: details.notes.as_deref(),
            status: booking.status.as_str(),
            created_at: booking.created_at,
            updated_at: booking.updated_at,
        }
    }
}

/// A booking's strong entity tag: its version, which no two of its states share.
pub(crate) fn etag(booking: &Booking) -> String {
    format!("\"{}\"", booking.version)
}

/// A booking's own path.
pub(crate) fn path(booking: &Booking) -> String {
    format!("/api/bookings/{}", booking.id)
}

/// The answer to a read of one booking.
pub(crate) fn read(booking: &Booking, conditions: &Conditions) -> Result<Response, Refusal> {
    let fresh = if booking.status == Status::Pending { REVALIDATED } else { FRESH };
    let mut response = conditional(conditions, etag(booking), fresh, || json(&Representation::of(booking)))?;
    groups::show(response.headers_mut(), Shown::Booking(&booking.details.resource));
    Ok(response)
}

/// The answer to a read of a page of this listing.
pub(crate) fn page(page: &Page, listing: &Listing, conditions: &Conditions) -> Result<Response, Refusal> {
    let bookings = page.bookings.iter().map(Representation::of).collect();
    let next = page.next.map(|cursor| cursor.to_string());
    let body = json(&PageRepresentation { bookings, next });
    let fresh = if changes_behind_caches(page, listing) { REVALIDATED } else { FRESH };
    let mut response = conditional(conditions, digest(&body), fresh, || body)?;
    groups::show(response.headers_mut(), Shown::List(listing.resource.as_deref()));
    Ok(response)
}

/// Whether a worker changes a page without a write that caches see: it confirms a pending booking that is shown, or one
/// that is not, and then is among those confirmed.
fn changes_behind_caches(page: &Page, listing: &Listing) -> bool {
    listing.status == Some(Status::Confirmed)
        || page.bookings.iter().any(|booking| booking.status == Status::Pending)
}

/// The answer to a read of what changes behind the caches.
pub(crate) fn revalidated(shown: &impl Serialize, conditions: &Conditions) -> Result<Response, Refusal> {
    let body = json(shown);
    conditional(conditions, digest(&body), REVALIDATED, || body)
}

/// An entity tag made of an answer's bytes.
fn digest(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash[..16]))
}

/// The answer to a write that leaves a booking, which was of this resource before.
pub(crate) fn written(booking: &Booking, before: Option<&str>) -> Response {
    let mut response = body(StatusCode::OK, json(&Representation::of(booking)), &etag(booking), REVALIDATED);
    groups::invalidate(response.headers_mut(), before.into_iter().chain([&*booking.details.resource]));
    // What was written to another path, `…/cancel`, lets caches know whose state this is (RFC 9111 §4.4).
    set(response.headers_mut(), header::CONTENT_LOCATION, &path(booking));
    response
}

/// The answer to a creation, as it is given now and remembered for its idempotency key.
pub(crate) fn created(booking: &Booking) -> Answer {
    Answer {
        status: StatusCode::CREATED.as_u16(),
        location: path(booking),
        etag: etag(booking),
        body: json(&Representation::of(booking)),
        // The store knows it.
        task: None,
    }
}

/// The answer to a write that removed a booking.
pub(crate) fn removed(booking: &Booking) -> Response {
    let mut response = nothing();
    groups::invalidate(response.headers_mut(), [&*booking.details.resource]);
    response
}

/// A remembered answer, byte for byte, to the creation of a booking of this resource.
pub(crate) fn given(answer: Answer, resource: &str) -> Response {
    // What was remembered is what we wrote: 201, unless somebody else writes into our tables.
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::CREATED);
    let mut response = body(status, answer.body, &answer.etag, REVALIDATED);
    set(response.headers_mut(), header::LOCATION, &answer.location);
    // Also when it was created before: nobody knows whether that answer arrived.
    groups::invalidate(response.headers_mut(), [resource]);
    if let Some(task) = answer.task {
        // RFC 5989: where to watch what is going on.
        set(response.headers_mut(), header::LINK, &format!("<{}>; rel=\"monitor\"", tasks::path(task)));
    }
    response
}

/// 201, with what is shown this one time and kept by nobody.
pub(crate) fn secret(shown: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(json(shown)));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(crate::body::JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 204, for what has no body.
pub(crate) fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// What a resource can be asked for.
pub(crate) fn options(allow: &'static str, accepts: &[(&'static str, &'static str)]) -> Response {
    let mut response = nothing();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    for (name, media_type) in accepts {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(media_type));
    }
    response
}

fn conditional(
    conditions: &Conditions,
    etag: String,
    cache_control: HeaderValue,
    bytes: impl FnOnce() -> Vec<u8>,
) -> Result<Response, Refusal> {
    match conditions.verdict(&etag) {
        Verdict::Met => Ok(body(StatusCode::OK, bytes(), &etag, cache_control)),
        Verdict::Failed => Err(Refusal::Precondition),
        Verdict::NotModified => {
            let mut response = nothing();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            set(response.headers_mut(), header::ETAG, &etag);
            response.headers_mut().insert(header::CACHE_CONTROL, cache_control);
            Ok(response)
        }
    }
}

fn body(status: StatusCode, bytes: Vec<u8>, etag: &str, cache_control: HeaderValue) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(crate::body::JSON));
    headers.insert(header::CACHE_CONTROL, cache_control);
    set(headers, header::ETAG, etag);
    response
}

pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Only what somebody else wrote into our tables could be no header value; it is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn json(representation: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(representation).expect("strings, timestamps and nulls can all be written as JSON")
}
