//! A bounded queue between the many threads that record and the one that exports.
//!
//! Promises: [`Queue::push`] never waits for the consumer (the lock is held for a move, never across an export);
//! what finds the queue full is dropped, the newest first, and counted exactly. Refuses: order across threads
//! beyond that of the lock, and a second consumer.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::Thread,
    time::Duration,
};

use tokio::sync::Notify;

use crate::loss::Counter;

/// How much memory an item roughly holds.
pub(crate) trait Weigh {
    fn bytes(&self) -> usize;
}

/// How much a queue holds, and how much is taken out of it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Most items waiting.
    pub(crate) items: usize,
    /// Most bytes waiting.
    pub(crate) bytes: usize,
    /// Most items taken at once.
    pub(crate) batch: usize,
    /// Most bytes taken at once (a receiver refuses messages over 4 MiB), but always one item.
    pub(crate) batch_bytes: usize,
    /// The longest that an item waits for others to share its batch.
    pub(crate) delay: Duration,
}

/// Who is woken when there is something to take.
#[derive(Debug)]
pub(crate) enum Consumer {
    Task(Notify),
    Thread(OnceLock<Thread>),
}

impl Consumer {
    pub(crate) fn task() -> Self {
        Consumer::Task(Notify::new())
    }

    pub(crate) fn thread() -> Self {
        Consumer::Thread(OnceLock::new())
    }

    fn wake(&self) {
        match self {
            Consumer::Task(notify) => notify.notify_one(),
            Consumer::Thread(thread) => {
                if let Some(thread) = thread.get() {
                    thread.unpark();
                }
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    bounds: Bounds,
    consumer: Consumer,
    counter: Arc<Counter>,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    closed: bool,
}

impl<T: Weigh> Queue<T> {
    pub(crate) fn new(bounds: Bounds, consumer: Consumer, counter: Arc<Counter>) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, closed: false };
        Queue { state: Mutex::new(state), bounds, consumer, counter }
    }

    /// Counts the item as recorded and queues it, or drops it, counted, where the queue is full or closed.
    pub(crate) fn push(&self, item: T) {
        self.counter.record(1);
        let bytes = item.bytes();
        let mut state = self.lock();
        let full = state.items.len() >= self.bounds.items || state.bytes + bytes > self.bounds.bytes;
        if full || state.closed {
            drop(state);
            self.counter.lose(1);
            return;
        }
        state.bytes += bytes;
        state.items.push_back(item);
        let len = state.items.len();
        drop(state);
        // The consumer waits for a first item, and then for a batch or its delay: only these two moments wake it.
        if len == 1 || len == self.bounds.batch {
            self.consumer.wake();
        }
    }

    /// The oldest items, one batch of them; empty when there are none.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut state = self.lock();
        let (mut count, mut bytes) = (0, 0);
        for item in state.items.iter().take(self.bounds.batch) {
            let more = bytes + item.bytes();
            if count > 0 && more > self.bounds.batch_bytes {
                break;
            }
            (count, bytes) = (count + 1, more);
        }
        state.bytes -= bytes;
        state.items.drain(..count).collect()
    }

    /// Waits until a batch is due: it is full, or its first item has waited for the delay.
    pub(crate) async fn due(&self) {
        let Consumer::Task(notify) = &self.consumer else { return };
        while self.len() == 0 {
            notify.notified().await;
        }
        let full = async {
            while self.len() < self.bounds.batch {
                notify.notified().await;
            }
        };
        // Elapsed or full: both mean due.
        let _ = tokio::time::timeout(self.bounds.delay, full).await;
    }

    /// [`due`](Queue::due) for a consumer that is a thread; a closed queue is due at once. False: closed and empty.
    pub(crate) fn wait(&self) -> bool {
        let Consumer::Thread(thread) = &self.consumer else { return false };
        thread.get_or_init(std::thread::current);
        loop {
            let state = self.lock();
            let (len, closed) = (state.items.len(), state.closed);
            drop(state);
            if len > 0 {
                if len < self.bounds.batch && !closed {
                    std::thread::park_timeout(self.bounds.delay);
                }
                return true;
            }
            if closed {
                return false;
            }
            std::thread::park();
        }
    }

    /// Nothing more gets in; what is in may still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.consumer.wake();
    }

    /// Closes the queue and drops what is left, counted.
    pub(crate) fn abandon(&self) {
        self.close();
        let left = std::mem::take(&mut self.lock().items);
        self.counter.lose(left.len() as u64);
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    pub(crate) fn counter(&self) -> &Arc<Counter> {
        &self.counter
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing inside the lock can leave the state half changed: a poisoned one is as good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
