//! The whole worker, in memory, on real databases and with real receivers.

/// Deliveries: what a receiver gets, and what its answer does.
mod delivering;
/// A commit whose answer was lost.
mod doubt;
/// Ends in good order.
mod draining;
/// Leases: renewed, lost, expired.
mod leases;
/// Many tasks, many workers.
mod many;
/// What stops no other task.
mod poison;
/// Spans and lines of runs.
mod telling;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use opentelemetry::context::FutureExt as _;
use store::{
    Backoff, Claim, Enqueued, NewTask, Outcome, Places, Secret, State, Store, Task, Timestamp, Webhook,
};
use telemetry::{Carried, Span, testing};
use tests::{Directory, eventually, eventually_within};
use tokio::{sync::oneshot, task::JoinHandle};
use uuid::Uuid;

use crate::{deliver::Deliver, outcome::Failure, run::run, work::Worker};

/// How long many tasks may take on a busy machine.
const MANY: Duration = Duration::from_secs(60);
const KEY: [u8; 24] = *b"the key of a test's hook";

/// What the workers here have places for: what there is, and what the tests make up.
const KINDS: [&str; 6] = ["confirm_booking", "deliver_webhook", "count", "panic", "calm", "slow"];

/// A database of its own; SQLite's file is removed when dropped.
struct Database {
    store: Store,
    url: String,
    /// A worker that is still ending may hold it; the system's temporary directory is no place for long.
    _directory: Option<Directory>,
}

impl Database {
    async fn sqlite() -> Self {
        let directory = Directory::new();
        let url = format!("sqlite:{}", directory.path().join("bookings.db").display());
        let mut database = Self::on(url).await;
        database._directory = Some(directory);
        database
    }

    async fn both() -> [Self; 2] {
        [Self::sqlite().await, Self::on(tests::postgres::database().await).await]
    }

    async fn on(url: String) -> Self {
        testing::capture();
        Self { store: opened(&url).await, url, _directory: None }
    }

    /// Enqueues a task within a request of its own, and gives the request's trace with the task's id.
    async fn enqueue(&self, task: NewTask) -> (Uuid, String) {
        let request = Span::internal("a request", Vec::new());
        let trace = Carried::of(request.context()).and_then(|carried| carried.trace_id()).unwrap();
        let enqueue = self.store.enqueue(vec![task], Timestamp::now());
        match enqueue.with_context(request.context().clone()).await.unwrap()[0] {
            Enqueued::New(id) => (id, trace),
            Enqueued::Before(id) => panic!("{id} was there before"),
        }
    }

    async fn subscribe(&self, url: &str) -> Webhook {
        let id = Uuid::now_v7();
        let webhook = Webhook {
            id,
            url: url.to_owned(),
            secret: Secret::of_key(KEY),
            created_at: Timestamp::now(),
            disabled: None,
        };
        self.store.create_webhook(webhook.clone()).await.unwrap();
        webhook
    }

    /// Waits until the task is in a state.
    async fn until(&self, id: Uuid, state: State) -> Task {
        self.until_task(id, |task| task.state == state).await
    }

    async fn until_task(&self, id: Uuid, is_so: impl Fn(&Task) -> bool) -> Task {
        eventually(&format!("task {id}"), async || {
            let task = self.store.task(id).await.unwrap();
            if is_so(&task) { Ok(task) } else { Err(format!("{task:?}")) }
        })
        .await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.store.close();
    }
}

async fn opened(url: &str) -> Store {
    Store::open(url, &store::Settings::default()).await.unwrap()
}

fn task(kind: &str) -> NewTask {
    let id = Uuid::now_v7();
    NewTask {
        id,
        kind: kind.to_owned(),
        payload: "{}".into(),
        booking: None,
        webhook: None,
        idempotency_key: id.to_string(),
        run_at: Timestamp::now(),
        max_runs: 3,
    }
}

fn delivery(webhook: &Webhook) -> NewTask {
    let payload = r#"{"type":"booking.created","data":{"guest":"Ada"}}"#.to_owned();
    NewTask { webhook: Some(webhook.id), payload, ..task("deliver_webhook") }
}

/// The line `task` of the trace, waited for while others run.
async fn line_of(trace: &str) -> serde_json::Value {
    eventually(&format!("the line `task` of {trace}"), async || {
        let lines = testing::lines(trace);
        lines.iter().find(|line| line["message"] == "task").cloned().ok_or(format!("{lines:?}"))
    })
    .await
}

/// A worker in the making: short times, and the real work.
struct Making {
    worker: Worker,
    within: Duration,
}

/// A worker that runs; killed when dropped.
struct Running {
    stop: Option<oneshot::Sender<()>>,
    worker: JoinHandle<()>,
}

impl Making {
    async fn on(database: &Database) -> Self {
        let deliver = Deliver::new(database.store.clone(), Duration::from_millis(500), true).unwrap();
        Self::with(database, move |task| {
            let deliver = deliver.clone();
            async move { run(&task, &deliver).await }.boxed()
        })
        .await
    }

    async fn with(
        database: &Database,
        work: impl Fn(Task) -> BoxFuture<'static, Result<Outcome, Failure>> + Send + Sync + 'static,
    ) -> Self {
        let worker = Worker {
            // Of its own, as it is in a process of its own.
            store: opened(&database.url).await,
            holder: "a test".into(),
            places: KINDS.map(|kind| Places { kind: kind.to_owned(), count: 16 }).into(),
            lease: Duration::from_secs(30),
            retries: Backoff { first: Duration::from_millis(4), longest: Duration::from_millis(40) },
            work: Box::new(work),
        };
        Self { worker, within: Duration::from_secs(10) }
    }

    fn lease(mut self, lease: Duration) -> Self {
        self.worker.lease = lease;
        self
    }

    fn concurrency(mut self, count: u16) -> Self {
        self.worker.places.iter_mut().for_each(|kind| kind.count = count);
        self
    }

    fn retries(mut self, first: Duration) -> Self {
        self.worker.retries = Backoff { first, longest: first };
        self
    }

    fn start(self) -> Running {
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            // A sender that is dropped stops nothing: its worker is killed instead.
            if stopped.await.is_err() {
                std::future::pending().await
            }
        };
        Running { stop: Some(stop), worker: tokio::spawn(self.worker.work(stopped, self.within)) }
    }
}

impl Running {
    /// Asks it to stop, without waiting for its end.
    fn ask_to_stop(&mut self) {
        self.stop.take().expect("it is asked once").send(()).expect("it runs");
    }

    /// Waits for its end.
    async fn ended(mut self) {
        tokio::time::timeout(MANY, &mut self.worker).await.expect("it ends").expect("it does not panic");
    }

    async fn stop(mut self) {
        self.ask_to_stop();
        self.ended().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.worker.abort();
    }
}
