//! What can be done with bookings: one function a method and path, in the order of [`crate::routes`].

use std::sync::{Arc, OnceLock};

use axum::{extract::State, response::Response};
use http::Uri;
use store::{Booking, Change, Created, Details, Once, Status, Store, Timestamp};
use uuid::Uuid;

use crate::{
    answer,
    body::{Patch, Posted, Put},
    conditions::Conditions,
    idempotency::IdempotencyKey,
    ids::BookingId,
    members::Draft,
    query,
    refusal::Refusal,
};

/// `GET /api/bookings`
pub(crate) async fn list(
    State(store): State<Store>,
    conditions: Conditions,
    uri: Uri,
) -> Result<Response, Refusal> {
    let listing = query::listing(&uri)?;
    let page = store.list(listing.clone()).await?;
    answer::page(&page, &listing, &conditions)
}

/// `POST /api/bookings`: the booking is pending, and the answer names the task that will confirm it.
pub(crate) async fn create(
    State(store): State<Store>,
    IdempotencyKey(key): IdempotencyKey,
    posted: Posted,
) -> Result<Response, Refusal> {
    let now = Timestamp::now();
    let details = Draft::read(posted.members)?.new_booking()?;
    let booking = Booking::new(Uuid::now_v7(), details, Status::Pending, now);
    let created = answer::created(&booking);
    let resource = booking.details.resource.clone();
    let once = key.map(|key| Once {
        route: "POST /api/bookings",
        key,
        request_hash: posted.hash,
        answer: created.clone(),
        now,
    });
    match store.create(booking, once).await? {
        Created::New(task) => Ok(answer::given(store::Answer { task, ..created }, &resource)),
        Created::Before(answer) => Ok(answer::given(answer, &resource)),
    }
}

/// `GET /api/bookings/{id}`
pub(crate) async fn read(
    State(store): State<Store>,
    BookingId(id): BookingId,
    conditions: Conditions,
) -> Result<Response, Refusal> {
    answer::read(&store.get(id).await?, &conditions)
}

/// `PUT /api/bookings/{id}`
pub(crate) async fn replace(
    State(store): State<Store>,
    BookingId(id): BookingId,
    conditions: Conditions,
    Put(members): Put,
) -> Result<Response, Refusal> {
    let draft = Draft::read(members)?;
    draft.whole()?;
    let replaced = |current: &Booking| draft.replace(current);
    write(store, id, conditions, replaced).await
}

/// `PATCH /api/bookings/{id}`
pub(crate) async fn patch(
    State(store): State<Store>,
    BookingId(id): BookingId,
    conditions: Conditions,
    Patch(members): Patch,
) -> Result<Response, Refusal> {
    let draft = Draft::read(members)?;
    let merged = |current: &Booking| draft.merge_into(current);
    write(store, id, conditions, merged).await
}

/// `DELETE /api/bookings/{id}`
pub(crate) async fn remove(
    State(store): State<Store>,
    BookingId(id): BookingId,
    conditions: Conditions,
) -> Result<Response, Refusal> {
    let decide = move |current: &Booking| {
        conditions.require(&answer::etag(current))?;
        Ok::<_, Refusal>(Change::Remove)
    };
    Ok(answer::removed(&store.change(id, Timestamp::now(), decide).await?))
}

/// `POST /api/bookings/{id}/cancel`: a booking that is cancelled already stays as it is.
pub(crate) async fn cancel(
    State(store): State<Store>,
    BookingId(id): BookingId,
    conditions: Conditions,
) -> Result<Response, Refusal> {
    let decide = move |current: &Booking| {
        conditions.require(&answer::etag(current))?;
        let is_cancelled = current.status == Status::Cancelled;
        Ok::<_, Refusal>(if is_cancelled { Change::Leave } else { Change::Cancel })
    };
    Ok(answer::written(&store.change(id, Timestamp::now(), decide).await?, None))
}

/// The conditions come before what a body says of read-only members: whoever sends back an old state shall hear that it
/// is old (412), not that a member of it has changed (422).
async fn write(
    store: Store,
    id: Uuid,
    conditions: Conditions,
    details: impl FnOnce(&Booking) -> Result<Details, Refusal> + Send + 'static,
) -> Result<Response, Refusal> {
    let before = Arc::new(OnceLock::new());
    let current_resource = Arc::clone(&before);
    let decide = move |current: &Booking| {
        conditions.require(&answer::etag(current))?;
        current_resource.get_or_init(|| current.details.resource.clone());
        details(current).map(Change::Replace)
    };
    let booking = store.change(id, Timestamp::now(), decide).await?;
    Ok(answer::written(&booking, before.get().map(String::as_str)))
}
