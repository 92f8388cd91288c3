//! Bookings and what becomes of them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use store::{Booking, Change, Details, Error, Status, Store};

use super::{Place, at, booking, details, fresh_id, keep, kind};

pub(crate) async fn a_booking_is_read_back_as_it_was_kept(place: &dyn Place) {
    let store = place.open().await;
    let plain = keep(&store, &booking("room", 60, 120)).await;
    let mut rich = Booking {
        status: Status::Pending,
        created_at: "0001-01-01T00:00:00.000001Z".parse().unwrap(),
        updated_at: "9999-12-31T23:59:59.999999Z".parse().unwrap(),
        ..booking("Ωmega 🏠 ' \" \\ % _", 60, 120)
    };
    rich.details.notes = Some("two\nlines\t\u{7}".into());
    rich.details.starts_at = "2030-01-01T09:00:00.123456Z".parse().unwrap();
    rich.details.ends_at = "2030-01-01T09:00:00.123457Z".parse().unwrap();
    keep(&store, &rich).await;
    for kept in [plain, rich] {
        assert_eq!(store.get(kept.id).await.unwrap(), kept);
    }
    assert_eq!(kind(store.get(fresh_id()).await), "not found");
}

pub(crate) async fn bookings_of_one_resource_do_not_overlap(place: &dyn Place) {
    let store = place.open().await;
    keep(&store, &booking("room", 60, 120)).await;
    keep(&store, &booking("room", 180, 240)).await;
    for (resource, from, to, expected) in [
        ("room", 60, 120, "overlap"),
        ("room", 0, 61, "overlap"),
        ("room", 119, 130, "overlap"),
        ("room", 80, 90, "overlap"),
        ("room", 0, 300, "overlap"),
        ("room", 130, 181, "overlap"),
        ("room", 120, 180, "ok"),
        ("room", 0, 60, "ok"),
        ("Room", 60, 120, "ok"),
        ("room ", 60, 120, "ok"),
    ] {
        let outcome = store.create(booking(resource, from, to), None).await;
        assert_eq!(kind(outcome), expected, "{resource:?} {from}..{to}");
    }
    let cancelled = Booking { status: Status::Cancelled, ..booking("room", 60, 120) };
    assert_eq!(kind(store.create(cancelled, None).await), "ok", "a cancelled one is in nobody's way");
    let pending = Booking { status: Status::Pending, ..booking("room", 60, 120) };
    assert_eq!(kind(store.create(pending, None).await), "overlap", "a pending one is");
}

pub(crate) async fn of_fifty_at_once_one_gets_the_resource(place: &dyn Place) {
    let store = place.open().await;
    let begun = Instant::now();
    let outcomes = join_all((0..50).map(|minute| {
        let store = store.clone();
        // All of them hold minute 60.
        tokio::spawn(async move { kind(store.create(booking("room", 10 + minute, 61 + minute), None).await) })
    }))
    .await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "ok").count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "overlap").count(), 49, "{outcomes:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits for a deadlock: {:?}", begun.elapsed());
}

pub(crate) async fn the_database_itself_refuses_what_overlaps(place: &dyn Place) {
    let store = place.open().await;
    let kept = keep(&store, &booking("room", 60, 120)).await;
    let columns = "resource, guest, starts_at, ends_at, notes, status, created_at, updated_at, version";
    let copy =
        format!("INSERT INTO bookings (id, {columns}) SELECT '{}', {columns} FROM bookings", fresh_id());
    assert!(place.execute(&copy).await.is_err(), "a copy of {kept:?}");
    let later = keep(&store, &booking("room", 120, 180)).await;
    let moved =
        format!("UPDATE bookings SET starts_at = (SELECT starts_at FROM bookings WHERE id = '{}')", kept.id);
    assert!(place.execute(&format!("{moved} WHERE id = '{}'", later.id)).await.is_err());
    let turned = "UPDATE bookings SET starts_at = ends_at";
    assert!(place.execute(turned).await.is_err(), "a booking that lasts no time");
    assert!(place.execute("UPDATE bookings SET status = 'lost'").await.is_err(), "an unknown status");
}

async fn replace(store: &Store, id: uuid::Uuid, details: Details) -> Result<Booking, Error> {
    store.change(id, at(1), move |_| Ok::<_, Error>(Change::Replace(details))).await
}

pub(crate) async fn a_change_is_what_was_decided_with_the_booking_at_hand(place: &dyn Place) {
    let store = place.open().await;
    let kept = keep(&store, &booking("room", 60, 120)).await;

    let left = store.change(kept.id, at(1), |_| Ok::<_, Error>(Change::Leave)).await.unwrap();
    assert_eq!(left, kept);

    let refused = store.change(kept.id, at(1), |seen| Err::<Change, _>(Refused(seen.version))).await;
    assert_eq!(refused.unwrap_err().0, 1);
    assert_eq!(store.get(kept.id).await.unwrap(), kept);

    let wanted = Details { notes: Some("by the window".into()), ..details("hall", 90, 150) };
    let replaced = replace(&store, kept.id, wanted.clone()).await.unwrap();
    assert_eq!(replaced, Booking { details: wanted, version: 2, updated_at: at(1), ..kept.clone() });
    assert_eq!(store.get(kept.id).await.unwrap(), replaced);

    let cancelled = store.change(kept.id, at(2), |_| Ok::<_, Error>(Change::Cancel)).await.unwrap();
    assert_eq!(cancelled, Booking { status: Status::Cancelled, version: 3, updated_at: at(2), ..replaced });
    assert_eq!(store.get(kept.id).await.unwrap(), cancelled);

    let removed = store.change(kept.id, at(3), |_| Ok::<_, Error>(Change::Remove)).await.unwrap();
    assert_eq!(removed, cancelled);
    assert_eq!(kind(store.get(kept.id).await), "not found");
    let gone = store.change(kept.id, at(4), |_| Ok::<_, Error>(Change::Remove)).await;
    assert_eq!(kind(gone), "not found");
}

#[derive(Debug)]
struct Refused(i64);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        panic!("the store works: {error}")
    }
}

pub(crate) async fn a_change_may_not_overlap_either(place: &dyn Place) {
    let store = place.open().await;
    let first = keep(&store, &booking("room", 60, 120)).await;
    let second = keep(&store, &booking("room", 120, 180)).await;
    assert_eq!(kind(replace(&store, second.id, details("room", 119, 180)).await), "overlap");
    assert_eq!(store.get(second.id).await.unwrap(), second, "nothing of it was done");
    assert_eq!(kind(replace(&store, second.id, details("room", 130, 190)).await), "ok", "not with itself");
    store.change(first.id, at(1), |_| Ok::<_, Error>(Change::Cancel)).await.unwrap();
    assert_eq!(
        kind(replace(&store, second.id, details("room", 60, 120)).await),
        "ok",
        "a cancelled one gave way"
    );
    assert_eq!(kind(replace(&store, first.id, details("room", 60, 120)).await), "ok", "and stays cancelled");
}

pub(crate) async fn of_many_that_move_to_one_place_one_arrives(place: &dyn Place) {
    let store = place.open().await;
    let mut waiting = Vec::new();
    for number in 0..10 {
        waiting.push(keep(&store, &booking(&format!("waiting room {number}"), 60, 120)).await.id);
    }
    // Again and again: two that wait for each other are rare.
    for round in 0..20 {
        let room = format!("room {round}");
        let moves = waiting.iter().map(|id| {
            let (store, id, wanted) = (store.clone(), *id, details(&room, 60, 120));
            tokio::spawn(async move { kind(replace(&store, id, wanted).await) })
        });
        let outcomes: Vec<_> = join_all(moves).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "ok").count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "overlap").count(), 9, "{outcomes:?}");
    }
}

pub(crate) async fn no_change_is_lost_among_fifty_at_once(place: &dyn Place) {
    let store = place.open().await;
    let id = keep(&store, &booking("room", 60, 120)).await.id;
    let changes = (0..50).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let append = |seen: &Booking| {
                let notes = seen.details.notes.clone().unwrap_or_default() + "x";
                Ok::<_, Error>(Change::Replace(Details { notes: Some(notes), ..seen.details.clone() }))
            };
            store.change(id, at(1), append).await.unwrap().version
        })
    });
    let mut versions: Vec<_> = join_all(changes).await.into_iter().map(Result::unwrap).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=51).collect::<Vec<_>>());
    assert_eq!(store.get(id).await.unwrap().details.notes, Some("x".repeat(50)));
}

pub(crate) async fn of_many_that_expect_one_version_one_succeeds(place: &dyn Place) {
    let store = place.open().await;
    let id = keep(&store, &booking("room", 60, 120)).await.id;
    let changes = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let decide = |seen: &Booking| match seen.version {
                1 => Ok(Change::Cancel),
                other => Err(Refused(other)),
            };
            store.change(id, at(1), decide).await.is_ok()
        })
    });
    let succeeded = join_all(changes).await.into_iter().filter(|outcome| *outcome.as_ref().unwrap()).count();
    assert_eq!(succeeded, 1);
}
