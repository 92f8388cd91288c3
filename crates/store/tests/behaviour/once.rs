//! Idempotency keys.

use std::time::Duration;

use futures_util::future::join_all;
use store::{Answer, Booking, Created, Listing, Once, Store, Timestamp};

use super::{Place, at, booking, keep, kind};

fn once(key: &str, asked: u8, booking: &Booking, now: Timestamp) -> Once {
    let answer = Answer {
        status: 201,
        location: format!("/{}", booking.id),
        etag: "\"1\"".into(),
        body: booking.id.as_bytes().to_vec(),
        task: None,
    };
    Once { route: "POST /api/bookings", key: key.into(), request_hash: [asked; 32], answer, now }
}

async fn create(store: &Store, key: &str, asked: u8, booking: &Booking) -> Result<Created, store::Error> {
    store.create(booking.clone(), Some(once(key, asked, booking, at(0)))).await
}

async fn count(store: &Store) -> usize {
    store.list(Listing { limit: 100, ..Listing::default() }).await.unwrap().bookings.len()
}

pub(crate) async fn the_same_key_gives_the_same_answer_once(place: &dyn Place) {
    let store = place.open().await;
    let (first, second) = (booking("room", 60, 120), booking("room", 60, 120));
    assert_eq!(create(&store, "key", 1, &first).await.unwrap(), Created::New(None));
    let again = create(&store, "key", 1, &second).await.unwrap();
    assert_eq!(again, Created::Before(once("key", 1, &first, at(0)).answer));
    assert_eq!(kind(create(&store, "key", 2, &second).await), "key reused");
    assert_eq!(kind(create(&store, "other key", 1, &second).await), "overlap");
    assert_eq!(count(&store).await, 1);
}

pub(crate) async fn an_overlap_is_an_answer_too(place: &dyn Place) {
    let store = place.open().await;
    let standing = keep(&store, &booking("room", 60, 120)).await;
    assert_eq!(kind(create(&store, "key", 1, &booking("room", 60, 120)).await), "overlap");
    store.change(standing.id, at(1), |_| Ok::<_, store::Error>(store::Change::Remove)).await.unwrap();
    assert_eq!(kind(create(&store, "key", 1, &booking("room", 60, 120)).await), "overlap", "still");
    assert_eq!(kind(create(&store, "new key", 1, &booking("room", 60, 120)).await), "ok");
}

pub(crate) async fn what_failed_is_not_remembered(place: &dyn Place) {
    let store = place.open_with(&super::impatient()).await;
    let held = place.hold().await;
    assert_eq!(kind(create(&store, "key", 1, &booking("room", 60, 120)).await), "unavailable");
    drop(held);
    let patient = place.open().await;
    assert_eq!(kind(create(&patient, "key", 2, &booking("room", 60, 120)).await), "ok");
}

pub(crate) async fn a_key_expires_after_a_day(place: &dyn Place) {
    let store = place.open().await;
    let first = booking("room", 60, 120);
    assert_eq!(create(&store, "key", 1, &first).await.unwrap(), Created::New(None));
    let later = |seconds| at(0).plus(Once::KEPT).plus(Duration::from_secs(seconds));
    let just_before = Timestamp::from_micros(later(0).micros() - 1).unwrap();
    let second = booking("room", 120, 180);
    let again = store.create(second.clone(), Some(once("key", 1, &second, just_before))).await.unwrap();
    assert!(matches!(again, Created::Before(_)), "{again:?}");
    let again = store.create(second.clone(), Some(once("key", 2, &second, later(0)))).await.unwrap();
    assert_eq!(again, Created::New(None), "an expired key is as good as a new one");
    assert_eq!(count(&store).await, 2);
}

pub(crate) async fn expired_keys_are_removed_in_batches(place: &dyn Place) {
    let store = place.open().await;
    for minute in 0..5 {
        let one = booking("room", minute, minute + 1);
        let once = once(&format!("key {minute}"), 1, &one, at(minute));
        store.create(one, Some(once)).await.unwrap();
    }
    let now = at(3).plus(Once::KEPT);
    assert_eq!(store.remove_expired_keys(now, 3).await.unwrap(), 3);
    assert_eq!(store.remove_expired_keys(now, 3).await.unwrap(), 1);
    assert_eq!(store.remove_expired_keys(now, 3).await.unwrap(), 0);
    let again = create(&store, "key 4", 1, &booking("room", 60, 120)).await.unwrap();
    assert!(matches!(again, Created::Before(_)), "the last one has not expired: {again:?}");
}

pub(crate) async fn of_twenty_at_once_with_one_key_one_is_carried_out(place: &dyn Place) {
    let store = place.open().await;
    let other = place.open().await;
    let requests = (0..20).map(|number| {
        let store = if number % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(
            async move { create(&store, "key", 1, &booking(&format!("room {number}"), 60, 120)).await },
        )
    });
    let mut answers = Vec::new();
    let mut new = 0;
    for outcome in join_all(requests).await {
        match outcome.unwrap() {
            Ok(Created::New(_)) => new += 1,
            Ok(Created::Before(answer)) => answers.push(answer),
            Err(store::Error::KeyRunning) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(new, 1);
    assert_eq!(count(&store).await, 1);
    answers.dedup();
    assert!(answers.len() <= 1, "{answers:?}");
}

pub(crate) async fn a_key_whose_first_request_is_running_is_refused(place: &dyn Place) {
    let store = place.open().await;
    let held = place.hold().await;
    let running = {
        let store = store.clone();
        tokio::spawn(async move { create(&store, "key", 1, &booking("room", 60, 120)).await })
    };
    tests::eventually("the second request finds the first one running", async || {
        let store = store.clone();
        // The second one may be the first to come: it waits, then, and is not waited for.
        let wanted = booking("hall", 60, 120);
        let second = create(&store, "key", 1, &wanted);
        match tokio::time::timeout(Duration::from_millis(100), second).await {
            Ok(outcome) if kind_of(&outcome) == "key running" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    drop(held);
    let first = running.await.unwrap();
    assert!(matches!(first, Ok(_) | Err(store::Error::KeyRunning)), "{first:?}");
}

fn kind_of(outcome: &Result<Created, store::Error>) -> &'static str {
    match outcome {
        Err(store::Error::KeyRunning) => "key running",
        _ => "something else",
    }
}
