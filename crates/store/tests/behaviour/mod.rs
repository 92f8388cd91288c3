//! What every store does, told once: each function is one case, called by a test of its name for each database.

/// Bookings and what becomes of them.
pub(crate) mod bookings;
/// What happens when the database is busy, late or strange.
pub(crate) mod bounds;
/// Tasks given to those who ask.
pub(crate) mod claims;
/// Tasks that follow from bookings.
pub(crate) mod follow;
/// Pages of bookings.
pub(crate) mod listing;
/// Idempotency keys.
pub(crate) mod once;
/// Tasks looked at, retried, cancelled, removed.
pub(crate) mod steering;
/// What a store tells of itself.
pub(crate) mod telling;
/// Being woken.
pub(crate) mod waiting;
/// Who is told.
pub(crate) mod webhooks;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use store::{Booking, Created, Details, Error, NewTask, Settings, Status, Store, Timestamp};
use uuid::Uuid;

/// A database that a case may also reach past the store.
pub(crate) trait Place: Send + Sync {
    /// What [`Store::open`] takes.
    fn url(&self) -> &str;
    /// Runs statements as somebody else, each on its own.
    fn execute<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), String>>;
    /// Keeps everybody from writing until it is dropped.
    fn hold(&self) -> BoxFuture<'_, Box<dyn Send>>;
    /// A statement that writes a time that no store would write, into every booking.
    fn strange_time(&self) -> &'static str;
    /// Statements that make the tables as a program of version 2 left them, with a task that is due in them.
    fn older(&self) -> &'static str;
    /// A statement that makes every later insert of a booking take forever.
    fn slow_down(&self) -> &'static str;
}

impl dyn Place + '_ {
    pub(crate) async fn open(&self) -> Store {
        Store::open(self.url(), &Settings::default()).await.expect("the store opens")
    }

    /// The tables are made with more patience: on a busy machine that takes a while.
    pub(crate) async fn open_with(&self, settings: &Settings) -> Store {
        self.open().await.close();
        Store::open(self.url(), settings).await.expect("the store opens")
    }
}

/// Two connections and little patience.
pub(crate) fn impatient() -> Settings {
    Settings {
        connections: 2,
        wait: Duration::from_millis(300),
        statement_timeout: Duration::from_millis(300),
    }
}

/// Minute `minute` of a day.
pub(crate) fn at(minute: u32) -> Timestamp {
    let text = format!("2030-01-01T{:02}:{:02}:00Z", minute / 60, minute % 60);
    text.parse().expect("a time of a day")
}

pub(crate) fn details(resource: &str, from: u32, to: u32) -> Details {
    Details {
        resource: resource.into(),
        guest: "Ada".into(),
        starts_at: at(from),
        ends_at: at(to),
        notes: None,
    }
}

pub(crate) fn booking(resource: &str, from: u32, to: u32) -> Booking {
    Booking::new(fresh_id(), details(resource, from, to), Status::Confirmed, at(0))
}

/// A task that may run three times.
pub(crate) fn task(key: &str, run_at: Timestamp) -> NewTask {
    NewTask {
        id: fresh_id(),
        kind: "deliver_webhook".into(),
        payload: "{}".into(),
        booking: None,
        webhook: None,
        idempotency_key: key.into(),
        run_at,
        max_runs: 3,
    }
}

/// Ids in the order of their making.
pub(crate) fn fresh_id() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u64_pair(0x0190_0000_0000_7000, 0x8000 << 48 | NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn keep(store: &Store, booking: &Booking) -> Booking {
    let created = store.create(booking.clone(), None).await.expect("it can be kept");
    assert!(matches!(created, Created::New(_)), "{created:?}");
    booking.clone()
}

/// Which variant it is: errors hold causes that differ.
pub(crate) fn kind<T: std::fmt::Debug>(outcome: Result<T, Error>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(Error::NotFound) => "not found",
        Err(Error::NoSuchTask) => "no such task",
        Err(Error::NoSuchWebhook) => "no such webhook",
        Err(Error::TooManyWebhooks) => "too many webhooks",
        Err(Error::TaskState { state }) => state.as_str(),
        Err(Error::Overlap) => "overlap",
        Err(Error::KeyReused) => "key reused",
        Err(Error::KeyRunning) => "key running",
        Err(Error::Exhausted { .. }) => "exhausted",
        Err(Error::Unavailable { .. }) => "unavailable",
        Err(Error::Internal { .. }) => "internal",
    }
}
