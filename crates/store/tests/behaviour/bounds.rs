//! What happens when the database is busy, late or strange.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use store::{Change, Error, Listing, OpenError, Settings, Store};

use super::{Place, at, booking, claims, impatient, keep, kind};

pub(crate) async fn tables_are_made_once_by_whoever_starts_first(place: &dyn Place) {
    let settings = Settings::default();
    let stores = join_all((0..6).map(|_| Store::open(place.url(), &settings))).await;
    for store in &stores {
        assert!(store.is_ok(), "{store:?}");
    }
    let store = place.open().await;
    let kept = keep(&store, &booking("room", 60, 120)).await;
    let reopened = place.open().await;
    assert_eq!(reopened.get(kept.id).await.unwrap(), kept, "opening again changes nothing");
}

pub(crate) async fn tables_of_an_older_program_are_brought_up_to_date_with_what_they_hold(place: &dyn Place) {
    place.execute(place.older()).await.unwrap();
    let refused = Store::open_existing(place.url(), &Settings::default()).await;
    assert!(matches!(refused, Err(OpenError::Older { found: 2, known: 3 })), "{refused:?}");
    let store = place.open().await;
    let run = claims::one(&store, at(1)).await;
    assert_eq!((run.task.idempotency_key.as_str(), run.task.runs), ("old", 1));
    keep(&store, &booking("room", 60, 120)).await;
}

pub(crate) async fn tables_of_a_newer_program_are_left_alone(place: &dyn Place) {
    place.open().await.close();
    place
        .execute("INSERT INTO schema_versions SELECT 99, max(applied_at) FROM schema_versions")
        .await
        .unwrap();
    let refused = Store::open(place.url(), &Settings::default()).await;
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, known: 3 })), "{refused:?}");
}

pub(crate) async fn who_only_looks_makes_and_changes_nothing(place: &dyn Place) {
    let look = async || Store::open_existing(place.url(), &Settings::default()).await;
    let refused = look().await;
    assert!(matches!(refused, Err(OpenError::Database { .. })), "nobody has made the tables: {refused:?}");
    place.open().await;
    let store = look().await.unwrap();
    let kept = keep(&store, &booking("room", 60, 120)).await;
    assert_eq!(store.get(kept.id).await.unwrap(), kept);
    place.execute("DELETE FROM schema_versions WHERE version = 3").await.unwrap();
    let refused = look().await;
    assert!(matches!(refused, Err(OpenError::Older { found: 2, known: 3 })), "{refused:?}");
    place
        .execute("INSERT INTO schema_versions SELECT 99, max(applied_at) FROM schema_versions")
        .await
        .unwrap();
    let refused = look().await;
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, known: 3 })), "{refused:?}");
}

pub(crate) async fn who_finds_all_connections_in_use_is_told_in_time(place: &dyn Place) {
    let settings = Settings { connections: 1, statement_timeout: Duration::from_secs(30), ..impatient() };
    let store = place.open_with(&settings).await;
    let id = keep(&store, &booking("room", 60, 120)).await.id;
    let (inside, is_inside) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let holder = {
        let store = store.clone();
        tokio::spawn(async move {
            let decide = move |_: &_| {
                inside.send(()).unwrap();
                // The connection stays in use until the test says so.
                tokio::task::block_in_place(|| may_go_on.recv()).ok();
                Ok::<_, Error>(Change::Leave)
            };
            kind(store.change(id, at(1), decide).await)
        })
    };
    tokio::task::spawn_blocking(move || is_inside.recv()).await.unwrap().unwrap();

    let begun = Instant::now();
    let refused = store.create(booking("hall", 60, 120), None).await;
    assert_eq!(kind(refused), "exhausted");
    let waited = begun.elapsed();
    assert!(waited >= settings.wait && waited < Duration::from_secs(15), "{waited:?}");

    go_on.send(()).unwrap();
    assert_eq!(holder.await.unwrap(), "ok");
    assert_eq!(kind(store.create(booking("hall", 60, 120), None).await), "ok");
}

pub(crate) async fn a_lock_held_by_somebody_else_is_not_waited_for_forever(place: &dyn Place) {
    let store = place.open_with(&impatient()).await;
    let kept = keep(&store, &booking("room", 60, 120)).await;
    let held = place.hold().await;
    let begun = Instant::now();
    assert_eq!(kind(store.create(booking("hall", 60, 120), None).await), "unavailable");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(store.get(kept.id).await.unwrap(), kept, "reads go on meanwhile");
    drop(held);
    tests::eventually("writing again", async || {
        match kind(store.create(booking("hall", 60, 120), None).await) {
            "ok" => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

pub(crate) async fn a_statement_that_takes_too_long_is_ended(place: &dyn Place) {
    let store = place.open_with(&impatient()).await;
    let id = keep(&store, &booking("room", 60, 120)).await.id;
    place.execute(place.slow_down()).await.unwrap();
    let begun = Instant::now();
    assert_eq!(kind(store.create(booking("hall", 60, 120), None).await), "unavailable");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let changed = store.change(id, at(1), |_| Ok::<_, Error>(Change::Cancel)).await;
    assert_eq!(kind(changed), "ok", "its connection is free again");
}

pub(crate) async fn a_caller_that_leaves_tears_nothing(place: &dyn Place) {
    let store = place.open_with(&Settings { connections: 2, ..Settings::default() }).await;
    let id = keep(&store, &booking("room", 0, 1)).await.id;
    for number in 0..60u32 {
        let append = |seen: &store::Booking| Ok::<_, Error>(Change::Replace(seen.details.clone()));
        let leaving = async {
            let changed = store.change(id, at(1), append).await.unwrap();
            let minute = 2 + u32::try_from(changed.version).unwrap();
            store.create(booking("room", minute, minute + 1), None).await.unwrap();
        };
        // It is dropped at some point of its way: after so many polls.
        let mut leaving = std::pin::pin!(leaving);
        for _ in 0..number {
            if futures_util::poll!(&mut leaving).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // Both connections still work, and none is inside a transaction that somebody left.
    let both = join_all((0..4).map(|_| store.list(Listing { limit: 100, ..Listing::default() }))).await;
    for page in both {
        assert!(page.is_ok(), "{page:?}");
    }
    assert_eq!(kind(store.create(booking("hall", 60, 120), None).await), "ok");
    assert_eq!(kind(store.ping(Duration::from_secs(2)).await), "ok");
}

pub(crate) async fn a_strange_value_is_an_error_and_nothing_worse(place: &dyn Place) {
    let store = place.open().await;
    let id = keep(&store, &booking("room", 60, 120)).await.id;
    place.execute(place.strange_time()).await.unwrap();
    assert_eq!(kind(store.get(id).await), "internal");
    assert_eq!(kind(store.list(Listing { limit: 10, ..Listing::default() }).await), "internal");
    let changed = store.change(id, at(1), |_| Ok::<_, Error>(Change::Cancel)).await;
    assert_eq!(kind(changed), "internal");
    assert_eq!(kind(store.create(booking("hall", 60, 120), None).await), "ok", "the rest goes on");
}

pub(crate) async fn a_panic_in_a_decision_costs_one_request(place: &dyn Place) {
    let store = place.open_with(&Settings { connections: 1, ..Settings::default() }).await;
    let id = keep(&store, &booking("room", 60, 120)).await.id;
    for _ in 0..3 {
        let decide = |_: &_| -> Result<Change, Error> { panic!("as it happens") };
        assert_eq!(kind(store.change(id, at(1), decide).await), "internal");
    }
    let other = place.open_with(&impatient()).await;
    let left = other.change(id, at(1), |_| Ok::<_, Error>(Change::Leave)).await;
    assert_eq!(left.unwrap().version, 1, "no lock was left behind");
    assert_eq!(kind(store.change(id, at(1), |_| Ok::<_, Error>(Change::Cancel)).await), "ok");
}

pub(crate) async fn two_stores_on_one_database_take_turns(place: &dyn Place) {
    let settings = Settings { connections: 2, wait: Duration::from_secs(20), ..Settings::default() };
    let stores = [place.open_with(&settings).await, place.open_with(&settings).await];
    let writes = (0..60u32).map(|minute| {
        let store = stores[minute as usize % 2].clone();
        tokio::spawn(async move { kind(store.create(booking("room", minute, minute + 1), None).await) })
    });
    for outcome in join_all(writes).await {
        assert_eq!(outcome.unwrap(), "ok");
    }
    let page = stores[0].list(Listing { limit: 100, ..Listing::default() }).await.unwrap();
    assert_eq!(page.bookings.len(), 60);
}

pub(crate) async fn a_closed_store_refuses(place: &dyn Place) {
    let store = place.open().await;
    store.close();
    assert_eq!(kind(store.ping(Duration::from_secs(1)).await), "unavailable");
}
