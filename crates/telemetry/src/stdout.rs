//! Lines on standard output, written by a thread of their own.
//!
//! Promises: nobody who records a line ever waits for whoever reads standard output; a reader that is slow, blocked or
//! gone costs lines, which are counted, and nothing else. Lines are whole and in order; many of them are one write.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use crate::{
    json::Process,
    loss::{Count, Counter},
    queue::{Bounds, Consumer, Queue},
    record::Record,
};

/// How often a standard output that is not ready (non-blocking, and full) is asked again.
const NOT_READY: Duration = Duration::from_millis(5);

/// Makes the very last line, once it is known what became of all others.
type LastLine = Box<dyn FnOnce() -> Record + Send>;

#[derive(Debug)]
pub(crate) struct Stdout {
    pub(crate) queue: Arc<Queue<Arc<Record>>>,
    last_line: Arc<LastLineCell>,
    finished: Receiver<()>,
}

#[derive(Default)]
struct LastLineCell(Mutex<Option<LastLine>>);

impl std::fmt::Debug for LastLineCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LastLineCell")
    }
}

impl Stdout {
    /// Starts the thread; `to` is written without further buffering.
    pub(crate) fn start(
        to: impl Write + Send + 'static,
        process: Process,
        bounds: Bounds,
        counter: Arc<Counter>,
    ) -> Self {
        let queue = Arc::new(Queue::new(bounds, Consumer::thread(), counter));
        let last_line = Arc::<LastLineCell>::default();
        let (tell, finished) = sync_channel(1);
        let writer = Writer { to, process, queue: Arc::clone(&queue), last_line: Arc::clone(&last_line) };
        std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || writer.run(&tell))
            .expect("a process that can start no thread cannot serve either");
        Stdout { queue, last_line, finished }
    }

    /// Writes what is queued and then `last_line`, by `deadline`; what is not written then counts as dropped.
    pub(crate) fn finish(self, deadline: Instant, last_line: LastLine) -> Count {
        *self.last_line.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last_line);
        self.queue.close();
        let within = deadline.saturating_duration_since(Instant::now());
        let finished = self.finished.recv_timeout(within).is_ok();
        self.queue.abandon();
        let count = self.queue.counter().read();
        // Where nobody reads, the thread stays behind in its last write, and what it holds is lost as well.
        let dropped = if finished { count.dropped } else { count.recorded - count.exported };
        Count { dropped, ..count }
    }
}

struct Writer<W> {
    to: W,
    process: Process,
    queue: Arc<Queue<Arc<Record>>>,
    last_line: Arc<LastLineCell>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, tell: &SyncSender<()>) {
        let mut text = Vec::new();
        while self.queue.wait() {
            let records = self.queue.take();
            text.clear();
            for record in &records {
                self.process.write(&mut text, record);
            }
            let lines = records.len() as u64;
            match self.write(&text) {
                Ok(()) => self.queue.counter().export(lines),
                // Standard output is gone. It may be nobody's fault, and there is nowhere to say it: count.
                Err(_) => self.queue.counter().lose(lines),
            }
        }
        let last = self.last_line.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(last) = last {
            text.clear();
            self.process.write(&mut text, &last());
            let counter = Arc::clone(self.queue.counter());
            counter.record(1);
            if self.write(&text).is_ok() { counter.export(1) } else { counter.lose(1) }
        }
        // Nobody waits any more: then nobody needs to know.
        let _ = tell.try_send(());
    }

    fn write(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match self.to.write(text) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => text = &text[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(NOT_READY),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
