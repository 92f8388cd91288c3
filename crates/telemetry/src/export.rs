//! Exporting one signal: takes what is due, sends it, tries again while the receiver is away, and counts the outcome.
//!
//! Promises: what a batch became is counted exactly once; while the receiver is away one batch waits here and the
//! queue behind it fills up to its bound, no further; after the request to stop, everything ends by its deadline.
//! Delivery is at least once: an answer that is lost after the receiver wrote means the same items twice
//! (readers know them by span id and `uid`).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::trace::SpanData;
use tokio::{sync::watch, time::Instant};
use tracing::Level;

use crate::{
    line::{Line, Lines, Value},
    loss::Counter,
    names,
    otlp::{self, Batch},
    queue::Queue,
    record::Record,
    transport::{Outcome, Transport},
};

/// Who speaks about exporting.
pub(crate) const LOGGER: &str = "telemetry::export";

/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Refusals are said at most this often.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Where batches come from.
pub(crate) trait Source: Send + Sync {
    /// Waits until a batch is due.
    fn due(&self) -> impl Future<Output = ()> + Send;
    /// The next batch, due or not.
    fn take(&self) -> Option<Batch>;
    /// Refuses what is still recorded and drops what is still here, counted.
    fn abandon(&self);
    fn counter(&self) -> &Arc<Counter>;
}

/// Ended spans.
#[derive(Debug)]
pub(crate) struct Spans {
    pub(crate) queue: Arc<Queue<SpanData>>,
    pub(crate) resource: Arc<ResourceAttributesWithSchema>,
    pub(crate) value_length: usize,
}

impl Source for Spans {
    async fn due(&self) {
        self.queue.due().await;
    }

    fn take(&self) -> Option<Batch> {
        let spans = self.queue.take();
        (!spans.is_empty()).then(|| otlp::spans(&spans, &self.resource, self.value_length))
    }

    fn abandon(&self) {
        self.queue.abandon();
    }

    fn counter(&self) -> &Arc<Counter> {
        self.queue.counter()
    }
}

/// Log lines.
#[derive(Debug)]
pub(crate) struct LogLines {
    pub(crate) queue: Arc<Queue<Arc<Record>>>,
    pub(crate) resource: Arc<ResourceAttributesWithSchema>,
    /// The first half of `uid`.
    pub(crate) id: String,
}

impl Source for LogLines {
    async fn due(&self) {
        self.queue.due().await;
    }

    fn take(&self) -> Option<Batch> {
        let records = self.queue.take();
        (!records.is_empty()).then(|| otlp::lines(&records, &self.resource, &self.id))
    }

    fn abandon(&self) {
        self.queue.abandon();
    }

    fn counter(&self) -> &Arc<Counter> {
        self.queue.counter()
    }
}

/// The request to stop, with its deadline once it is made.
#[derive(Clone, Debug)]
pub(crate) struct Stop(pub(crate) watch::Receiver<Option<Instant>>);

impl Stop {
    fn is_requested(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits for the request; whoever could make it being gone is one as well.
    async fn requested(&mut self) -> Instant {
        match self.0.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        }
    }

    /// Waits for the deadline.
    async fn expired(&mut self) {
        tokio::time::sleep_until(self.requested().await).await;
    }
}

/// Whether one receiver answers; what is said about it is said once.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: String,
    /// It has answered, whatever it answered.
    heard: AtomicBool,
    away: AtomicBool,
    /// It was away, or had never been heard, when the process was asked to stop.
    given_up: AtomicBool,
    lines: Arc<Lines>,
}

impl Receiver {
    pub(crate) fn new(address: String, lines: Arc<Lines>) -> Arc<Self> {
        let [heard, away, given_up] = [const { AtomicBool::new(false) }; 3];
        Arc::new(Receiver { address, heard, away, given_up, lines })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The process stops: a receiver that is away gets one more chance and no more, so that a process without a
    /// Collector does not hang for its whole deadline; nor does one that ends before its first batch was due.
    pub(crate) fn last_call(&self) {
        let never_heard = !self.heard.load(Relaxed);
        self.given_up.store(never_heard || self.away.load(Relaxed), Relaxed);
    }

    fn is_here(&self) {
        self.heard.store(true, Relaxed);
        if self.away.swap(false, Relaxed) {
            self.say(Level::INFO, "collector back", "");
        }
    }

    fn is_gone(&self, why: &str) {
        if !self.away.swap(true, Relaxed) {
            self.say(Level::WARN, "collector away", why);
        }
    }

    fn say(&self, level: Level, message: &'static str, why: &str) {
        let fields = [(names::COLLECTOR, Value::Text(&self.address)), (names::REASON, Value::Text(why))];
        let fields = if why.is_empty() { &fields[..1] } else { &fields[..] };
        self.lines.emit_to_stdout(&Line { level, logger: LOGGER, message, span: None, fields });
    }
}

/// Sends one signal to one receiver.
pub(crate) struct Exporter<S> {
    pub(crate) source: S,
    pub(crate) transport: Transport,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) refused: Rarely,
}

/// What follows a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    /// The process stops and the receiver is away: nothing further would get through.
    GiveUp,
}

impl<S: Source> Exporter<S> {
    /// Runs until the stop's deadline, or until everything is out after the request to stop.
    pub(crate) async fn run(mut self, mut stop: Stop) {
        loop {
            tokio::select! {
                () = self.source.due() => {}
                _ = stop.requested() => {}
            }
            let next = match self.source.take() {
                Some(batch) => self.deliver(batch, &mut stop).await,
                None if stop.is_requested() => Next::GiveUp,
                None => Next::GoOn,
            };
            if next == Next::GiveUp {
                return self.source.abandon();
            }
        }
    }

    async fn deliver(&mut self, batch: Batch, stop: &mut Stop) -> Next {
        let counter = Arc::clone(self.source.counter());
        let mut pause = PAUSES.0;
        loop {
            let stopping = stop.is_requested();
            let sent = tokio::select! {
                outcome = self.transport.send(batch.message.clone()) => Some(outcome),
                () = stop.expired() => None,
            };
            match sent {
                Some(Outcome::Accepted { rejected, why }) => {
                    self.receiver.is_here();
                    let rejected = rejected.min(batch.items);
                    counter.export(batch.items - rejected);
                    if rejected > 0 {
                        self.refuse(&counter, rejected, &why);
                    }
                    return Next::GoOn;
                }
                Some(Outcome::Refused(why)) => {
                    self.receiver.is_here();
                    self.refuse(&counter, batch.items, &why);
                    return Next::GoOn;
                }
                Some(Outcome::Later { why, after }) => {
                    self.receiver.is_gone(&why);
                    if stopping && self.receiver.given_up.load(Relaxed) {
                        counter.lose(batch.items);
                        return Next::GiveUp;
                    }
                    wait(if stopping { PAUSES.0 } else { after.unwrap_or(pause) }, stopping, stop).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                None => {
                    counter.lose(batch.items);
                    return Next::GiveUp;
                }
            }
        }
    }

    fn refuse(&self, counter: &Counter, items: u64, why: &str) {
        counter.lose(items);
        if self.refused.may_speak() {
            self.receiver.say(Level::WARN, "collector refused", why);
        }
    }
}

/// Pauses, cut short by the request to stop (once it was made: by its deadline).
async fn wait(pause: Duration, stopping: bool, stop: &mut Stop) {
    let cut = async {
        if stopping {
            stop.expired().await;
        } else {
            stop.requested().await;
        }
    };
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = cut => {}
    }
}

/// Lets something be said now and then.
#[derive(Debug, Default)]
pub(crate) struct Rarely(Mutex<Option<Instant>>);

impl Rarely {
    fn may_speak(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| last.elapsed() >= SAY_EVERY);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}
