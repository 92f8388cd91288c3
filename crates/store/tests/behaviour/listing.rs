//! Pages of bookings.

use store::{Booking, Listing, Status, Store};

use super::{Place, at, booking, keep};

async fn ids(store: &Store, listing: Listing) -> Vec<uuid::Uuid> {
    store.list(listing).await.unwrap().bookings.iter().map(|booking| booking.id).collect()
}

pub(crate) async fn filters_select_and_the_order_is_by_start(place: &dyn Place) {
    let store = place.open().await;
    let late = keep(&store, &booking("room", 180, 240)).await.id;
    let early = keep(&store, &booking("room", 60, 120)).await.id;
    let other = keep(&store, &booking("hall", 60, 120)).await.id;
    let cancelled = Booking { status: Status::Cancelled, ..booking("room", 60, 120) };
    let cancelled = keep(&store, &cancelled).await.id;
    let all = Listing { limit: 10, ..Listing::default() };

    let room = Listing { resource: Some("room".into()), ..all.clone() };
    for (listing, expected) in [
        (all.clone(), vec![early, other, cancelled, late]),
        (room.clone(), vec![early, cancelled, late]),
        (Listing { resource: Some("roo".into()), ..all.clone() }, vec![]),
        (Listing { status: Some(Status::Cancelled), ..all.clone() }, vec![cancelled]),
        (Listing { status: Some(Status::Confirmed), ..room.clone() }, vec![early, late]),
        (Listing { from: Some(at(119)), ..room.clone() }, vec![early, cancelled, late]),
        (Listing { from: Some(at(120)), ..all.clone() }, vec![late]),
        (Listing { to: Some(at(180)), ..all.clone() }, vec![early, other, cancelled]),
        (Listing { to: Some(at(60)), ..all.clone() }, vec![]),
        (Listing { from: Some(at(70)), to: Some(at(71)), ..all.clone() }, vec![early, other, cancelled]),
        (Listing { from: Some(at(120)), to: Some(at(180)), ..all.clone() }, vec![]),
        (Listing { limit: 1, ..all }, vec![early]),
    ] {
        assert_eq!(ids(&store, listing.clone()).await, expected, "{listing:?}");
    }
}

pub(crate) async fn pages_follow_each_other_whatever_happens_between_them(place: &dyn Place) {
    let store = place.open().await;
    let mut kept = Vec::new();
    for hour in 0..3 {
        for resource in ["a", "b", "c"] {
            kept.push(keep(&store, &booking(resource, 60 + hour * 60, 120 + hour * 60)).await.id);
        }
    }
    let mut seen = Vec::new();
    let mut listing = Listing { limit: 2, ..Listing::default() };
    let mut pages = 0;
    loop {
        let page = store.list(listing.clone()).await.unwrap();
        assert!(page.bookings.len() <= 2);
        seen.extend(page.bookings.iter().map(|booking| booking.id));
        pages += 1;
        // Before every page there comes one that is earlier than all that was seen.
        keep(&store, &booking(&format!("late comer {pages}"), 0, 1)).await;
        let Some(next) = page.next else { break };
        // As clients carry it.
        listing.after = Some(next.to_string().parse().unwrap());
    }
    assert_eq!(seen, kept);
    assert_eq!(pages, 5);
    let whole = store.list(Listing { limit: 14, ..Listing::default() }).await.unwrap();
    assert_eq!((whole.bookings.len(), whole.next), (14, None), "a full last page has no next");
}
