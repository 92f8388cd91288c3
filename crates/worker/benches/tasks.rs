//! What eight workers do, each a process of its own, with their telemetry going to a collector: tasks a second, and how long
//! after its commit a task is acted on. On SQLite, and on a PostgreSQL of its own, which does not wait for the disk
//! (`fsync=off`); `DATABASE_URL` names another, empty one. `cargo bench -p worker --bench tasks`.

#![allow(clippy::print_stdout, reason = "a benchmark is for reading")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends at its first surprise")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use store::{Booking, Details, NewTask, Secret, Settings, Status, Store, Timestamp, Webhook};
use tests::{Receiver, Reply, Service, System};
use tokio::time::sleep;
use uuid::Uuid;

const WORKERS: usize = 8;
const BOOKINGS: usize = 20_000;
const WAKINGS: usize = 1_000;

#[tokio::main]
async fn main() {
    tests::throughline();
    for place in ["postgres", "sqlite"] {
        let system = System::builder().workers(0);
        let (system, url) = if place == "sqlite" {
            let system = system.start().await;
            let url = format!("sqlite:{}", system.data().join("bookings.db").display());
            (system, url)
        } else {
            let url = match std::env::var("DATABASE_URL") {
                Ok(url) => url,
                Err(_) => tests::postgres::database().await,
            };
            (system.database(&url).start().await, url)
        };
        system.has_told().await;
        let store = Store::open(&url, &Settings::default()).await.unwrap();
        many(place, &system, &store, &url).await;
        wakings(place, &system, &store, &url).await;
    }
}

async fn workers(system: &System, url: &str, count: usize) -> Vec<Service> {
    let flags = ["--database-url", url, "--allow-private-addresses"];
    join_all((0..count).map(|_| Service::start("worker", &flags, system))).await
}

/// Bookings that wait for their confirmation, confirmed as fast as it goes: each is a transaction that ends the task and
/// changes the booking, with all its spans.
async fn many(place: &str, system: &System, store: &Store, url: &str) {
    let before = store.count_tasks().await.unwrap().done;
    for some in (0..BOOKINGS).collect::<Vec<_>>().chunks(16) {
        for created in join_all(some.iter().map(|number| store.create(booking(*number), None))).await {
            created.unwrap();
        }
    }
    let workers = workers(system, url, WORKERS).await;
    let (mut first, all) = (None, before + BOOKINGS as u64);
    let (done, took) = loop {
        let done = store.count_tasks().await.unwrap().done;
        let (began, already) = *first.get_or_insert((Instant::now(), done));
        if done >= all {
            break (done - already, began.elapsed());
        }
        // Counting looks at every task: not so often that it is most of what is measured.
        sleep(Duration::from_millis(250)).await;
    };
    println!("{place}: {:.0} tasks a second ({done} in {took:.2?})", done as f64 / took.as_secs_f64());
    for mut worker in workers {
        worker.stop().await;
    }
}

fn booking(number: usize) -> Booking {
    let now = Timestamp::now();
    let starts_at = now.plus(Duration::from_secs(3600 * number as u64));
    Booking {
        id: Uuid::now_v7(),
        details: Details {
            // What one resource costs with thousands of bookings is the exclusion constraint's affair.
            resource: format!("room-{}", number % 1_000),
            guest: "Ada".into(),
            starts_at,
            ends_at: starts_at.plus(Duration::from_secs(3600)),
            notes: None,
        },
        status: Status::Pending,
        created_at: now,
        updated_at: now,
        version: 1,
    }
}

/// One event at a time, from its commit until its receiver has it.
async fn wakings(place: &str, system: &System, store: &Store, url: &str) {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&arrived);
    let receiver = Receiver::start(move |_, _| {
        seen.lock().unwrap().push(Instant::now());
        Reply::status(204)
    })
    .await;
    let webhook = Webhook {
        id: Uuid::now_v7(),
        url: receiver.url(),
        secret: Secret::of_key([7; 24]),
        created_at: Timestamp::now(),
        disabled: None,
    };
    store.create_webhook(webhook.clone()).await.unwrap();
    let _workers = workers(system, url, 2).await;
    let mut delays = Vec::new();
    for number in 0..WAKINGS + 20 {
        let id = Uuid::now_v7();
        let task = NewTask {
            id,
            kind: "deliver_webhook".into(),
            payload: "{}".into(),
            booking: None,
            webhook: Some(webhook.id),
            idempotency_key: id.to_string(),
            run_at: Timestamp::now(),
            max_runs: 3,
        };
        store.enqueue(vec![task], Timestamp::now()).await.unwrap();
        let committed = Instant::now();
        while arrived.lock().unwrap().len() <= number {
            sleep(Duration::from_millis(1)).await;
        }
        delays.push(arrived.lock().unwrap()[number].saturating_duration_since(committed));
        // Not in step with anything that looks now and then.
        sleep(Duration::from_millis(fastrand::u64(5..30))).await;
    }
    // The first ones open connections.
    let mut delays = delays.split_off(20);
    delays.sort();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    println!(
        "{place}: from the commit to its receiver p50 {:.2?}, p99 {:.2?}, longest {:.2?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
