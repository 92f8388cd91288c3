//! What the task queue costs: a claim, and a look for the next one, with 1,000 and with 1,000,000 waiting rows, tasks a
//! second with eight that claim, and the delay from a commit to the claim that it wakes. On SQLite, and on a PostgreSQL of
//! its own, which does not wait for the disk (`fsync=off`); `DATABASE_URL` names another, empty one.
//! `cargo bench -p store --bench tasks`.

#![allow(clippy::print_stdout, reason = "a benchmark is for reading")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends at its first surprise")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use store::{Claim, Kind, NewTask, Outcome, Places, Settings, Store, Timestamp};
use tokio_postgres::NoTls;
use uuid::Uuid;

const CLAIMS: usize = 300;
const WORKERS: usize = 8;
const CHURN: usize = 20_000;
const WAKINGS: usize = 500;

#[tokio::main]
async fn main() {
    let directory = std::env::temp_dir().join(format!("throughline-bench-{}", std::process::id()));
    for place in ["sqlite", "postgres"] {
        for waiting in [1_000, 1_000_000] {
            let url = url(place, &directory, waiting).await;
            claims(place, &url, waiting).await;
        }
        let url = url(place, &directory, 0).await;
        churn(place, &url).await;
        wakings(place, &url).await;
    }
    std::fs::remove_dir_all(directory).unwrap();
}

async fn url(place: &str, directory: &std::path::Path, number: usize) -> String {
    if place == "sqlite" {
        return format!("sqlite:{}", directory.join(format!("{number}.db")).display());
    }
    match std::env::var("DATABASE_URL") {
        Ok(url) => url,
        Err(_) => tests::postgres::database().await,
    }
}

async fn claims(place: &str, url: &str, waiting: usize) {
    let store = Store::open(url, &Settings::default()).await.unwrap();
    let enough = waiting + 2 * CLAIMS * 11;
    match url.strip_prefix("sqlite:") {
        Some(path) => {
            rusqlite::Connection::open(path).unwrap().execute_batch(&fill_sqlite(enough)).unwrap();
        }
        None => {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(&fill_postgres(enough)).await.unwrap();
            if waiting > 1_000 {
                explain(&client).await;
            }
        }
    }
    for limit in [1, 10] {
        let mut took = Vec::with_capacity(CLAIMS);
        for _ in 0..CLAIMS {
            let begun = Instant::now();
            let claimed = claim(&store, limit).await;
            took.push(begun.elapsed());
            assert_eq!(claimed.len(), 2 * usize::from(limit));
        }
        println!("{place}: claim of {limit} of each kind with {waiting} waiting: {}", quantiles(took));
    }
    let kinds: Vec<_> = Kind::ALL.map(|kind| kind.as_str().to_owned()).into();
    let mut took = Vec::with_capacity(CLAIMS);
    for _ in 0..CLAIMS {
        let begun = Instant::now();
        store.next_task_due(kinds.clone()).await.unwrap().unwrap();
        took.push(begun.elapsed());
    }
    println!("{place}: when the next one is due with {waiting} waiting: {}", quantiles(took));
    store.close();
}

/// Eight that claim and end what they claimed, sixteen at a time, until nothing is left.
async fn churn(place: &str, url: &str) {
    let store = Store::open(url, &Settings::default()).await.unwrap();
    let tasks = |from: usize| (from..from + 1_000).map(|number| task(&format!("churn {number}"))).collect();
    let begun = Instant::now();
    for from in (0..CHURN).step_by(1_000) {
        store.enqueue(tasks(from), Timestamp::now()).await.unwrap();
    }
    let enqueued = begun.elapsed();
    let begun = Instant::now();
    let worker = async |store: Store| {
        let mut done = 0;
        loop {
            let leases = claim(&store, 16).await;
            if leases.is_empty() {
                return done;
            }
            done += leases.len();
            for lease in leases {
                store.end_run(lease, Outcome::Done, None, Timestamp::now()).await.unwrap();
            }
        }
    };
    let done = join_all((0..WORKERS).map(|_| tokio::spawn(worker(store.clone())))).await;
    let done: usize = done.into_iter().map(Result::unwrap).sum();
    let rate = |took: Duration| done as f64 / took.as_secs_f64();
    println!(
        "{place}: {:.0} tasks a second enqueued by one, {:.0} claimed and ended by {WORKERS}",
        rate(enqueued),
        rate(begun.elapsed())
    );
    store.close();
}

/// From the return of the commit to the return of the claim that it woke: below nothing where the claim was quicker.
async fn wakings(place: &str, url: &str) {
    let settings = Settings::default();
    let (store, other) =
        (Store::open(url, &settings).await.unwrap(), Store::open(url, &settings).await.unwrap());
    let (enqueued, mut committed) = tokio::sync::mpsc::channel(1);
    let worker = tokio::spawn(async move {
        let mut waiter = store.task_waiter();
        let mut started = Vec::new();
        while started.len() < WAKINGS {
            let leases = claim(&store, 1).await;
            if leases.is_empty() {
                waiter.wait(&[Kind::DeliverWebhook.as_str().to_owned()]).await;
                continue;
            }
            started.push(Instant::now());
            store.end_run(leases[0], Outcome::Done, None, Timestamp::now()).await.unwrap();
            enqueued.send(()).await.unwrap();
        }
        started
    });
    let mut commits = Vec::new();
    for number in 0..WAKINGS {
        other.enqueue(vec![task(&format!("waking {number}"))], Timestamp::now()).await.unwrap();
        commits.push(Instant::now());
        committed.recv().await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let started = worker.await.unwrap();
    let took = started.iter().zip(commits).map(|(start, commit)| start.saturating_duration_since(commit));
    println!("{place}: from a commit to the claim: {}", quantiles(took.collect()));
}

async fn claim(store: &Store, limit: u16) -> Vec<store::Lease> {
    let now = Timestamp::now();
    let expires_at = now.plus(Duration::from_secs(600));
    let claim = Claim { places: Places::of_every_kind(limit), holder: "bench".into(), now, expires_at };
    store.claim_tasks(claim).await.unwrap().runs.into_iter().map(|run| run.lease).collect()
}

fn task(key: &str) -> NewTask {
    NewTask {
        id: Uuid::now_v7(),
        kind: Kind::DeliverWebhook.as_str().into(),
        payload: "x".repeat(400),
        booking: None,
        webhook: None,
        idempotency_key: key.into(),
        run_at: Timestamp::now(),
        max_runs: 15,
    }
}

fn fill_postgres(count: usize) -> String {
    format!(
        "INSERT INTO tasks (id, kind, payload, idempotency_key, state, run_at, due_at, runs, max_runs, created_at) \
         SELECT gen_random_uuid(), CASE n % 2 WHEN 0 THEN 'deliver_webhook' ELSE 'confirm_booking' END, repeat('x', 400), n::text, 'queued', at, at, 0, 15, at \
         FROM (SELECT n, now() - interval '1 hour' + n * interval '1 millisecond' AS at \
         FROM generate_series(1, {count}) AS n) AS filled"
    )
}

fn fill_sqlite(count: usize) -> String {
    let now = Timestamp::now().micros();
    format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) \
         INSERT INTO tasks (id, kind, payload, idempotency_key, state, run_at, due_at, runs, max_runs, created_at) \
         SELECT printf('%08x-0000-7000-8000-%012x', n, n), \
         CASE n % 2 WHEN 0 THEN 'deliver_webhook' ELSE 'confirm_booking' END, printf('%.*c', 400, 'x'), n, 'queued', \
         {now} - 3600000000 + n * 1000, {now} - 3600000000 + n * 1000, 0, 15, {now} FROM numbers"
    )
}

/// What the claim's inner statement does, told by PostgreSQL itself.
async fn explain(client: &tokio_postgres::Client) {
    let plan = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM tasks WHERE kind = 'deliver_webhook' AND due_at <= now() \
                ORDER BY due_at, id LIMIT 10 FOR UPDATE SKIP LOCKED";
    for row in client.query(plan, &[]).await.unwrap() {
        println!("    {}", row.get::<_, String>(0));
    }
}

fn quantiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1_000.0;
    format!("median {:.2} ms, p99 {:.2} ms, longest {:.2} ms", at(0.5), at(0.99), at(1.0))
}
