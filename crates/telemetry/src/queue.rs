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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Item(usize);

    impl Weigh for Item {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    const BOUNDS: Bounds =
        Bounds { items: 4, bytes: 100, batch: 3, batch_bytes: 50, delay: Duration::from_secs(60) };

    fn queue(consumer: Consumer) -> Queue<Item> {
        Queue::new(BOUNDS, consumer, Arc::default())
    }

    #[test]
    fn the_newest_is_dropped_where_items_or_bytes_do_not_fit() {
        let check = |pushed: &[usize], taken: &[usize], dropped: u64| {
            let queue = queue(Consumer::task());
            pushed.iter().for_each(|bytes| queue.push(Item(*bytes)));
            let taken: Vec<_> = taken.iter().map(|bytes| Item(*bytes)).collect();
            assert_eq!(queue.take(), taken, "{pushed:?}");
            let count = queue.counter().read();
            assert_eq!((count.recorded, count.dropped), (pushed.len() as u64, dropped), "{pushed:?}");
        };
        check(&[], &[], 0);
        check(&[1, 2], &[1, 2], 0);
        check(&[1, 2, 3, 4], &[1, 2, 3], 0);
        check(&[1, 2, 3, 4, 5, 6], &[1, 2, 3], 2);
        // By bytes: of the queue, and of a batch, which has always one.
        check(&[60, 50, 40], &[60], 1);
        check(&[20, 20, 20], &[20, 20], 0);
        check(&[101], &[], 1);
    }

    #[test]
    fn room_that_was_taken_is_room_again() {
        let queue = queue(Consumer::task());
        for _ in 0..10 {
            queue.push(Item(60));
            assert_eq!(queue.take(), [Item(60)]);
        }
        assert_eq!(queue.counter().read().dropped, 0);
    }

    #[test]
    fn what_is_left_at_the_end_and_what_comes_after_is_dropped() {
        let queue = queue(Consumer::task());
        queue.push(Item(1));
        queue.close();
        queue.push(Item(1));
        assert_eq!((queue.len(), queue.counter().read().dropped), (1, 1));
        queue.abandon();
        assert_eq!((queue.take(), queue.counter().read().dropped), (vec![], 2));
    }

    #[tokio::test]
    async fn a_full_batch_is_due_at_once_and_a_first_item_after_the_delay() {
        let patient = queue(Consumer::task());
        let full = async {
            for _ in 0..BOUNDS.batch {
                patient.push(Item(1));
                tokio::task::yield_now().await;
            }
        };
        // The delay is a minute: only a full batch ends this wait.
        let ended =
            tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(patient.due(), full) });
        assert!(ended.await.is_ok());

        let bounds = Bounds { delay: Duration::from_millis(5), ..BOUNDS };
        let hasty = Queue::new(bounds, Consumer::task(), Arc::default());
        hasty.push(Item(1));
        assert!(tokio::time::timeout(Duration::from_secs(20), hasty.due()).await.is_ok());
    }

    #[test]
    fn a_thread_that_waits_is_woken_by_items_and_by_the_end() {
        let queue = Arc::new(Queue::new(
            Bounds { delay: Duration::ZERO, ..BOUNDS },
            Consumer::thread(),
            Arc::default(),
        ));
        let waiting = Arc::clone(&queue);
        let consumer = std::thread::spawn(move || {
            let mut taken = 0;
            while waiting.wait() {
                taken += waiting.take().len();
            }
            taken
        });
        queue.push(Item(1));
        queue.push(Item(2));
        queue.close();
        assert_eq!(consumer.join().expect("ends"), 2);
    }
}
