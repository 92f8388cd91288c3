//! Work on its way through all cores, taken off in the order in which it was put on, so that the same input gives the
//! same answer.
//!
//! At most two loads for each core are on their way: memory is bounded by them, whatever the size of the input.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Block;
use super::cut::{Cutter, Piece, Went};

/// More cores than this wait for the memory.
const MOST_CORES: usize = 16;

/// What a core does next.
pub(super) enum Load {
    /// A piece of a file, read where it is looked at.
    Piece(Arc<File>, Piece, End),
    /// Whole lines that were read already.
    Block(Vec<u8>),
}

/// Where a file ends, and how many bytes at its end are a line without its end that was not understood: it becomes known
/// when all its pieces are taken off.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Which file.
    pub(super) file: super::Key,
    /// How long the file was when it was opened: nothing beyond is read, however fast it grows.
    pub(super) length: u64,
    /// Whether the lines before it are counted; an index has counted its own.
    pub(super) is_counted: bool,
}

/// What came of a load.
pub(super) struct Done<T> {
    /// What the work made of each block.
    pub(super) made: Vec<(T, u64)>,
    pub(super) went: Went,
    /// Of a piece: which file it is of, and what went wrong.
    pub(super) of: Option<(End, io::Result<()>)>,
}

/// A load's number, what came of it, and the block that was in it; or the panic that its work ended with.
type Finished<T> = (u64, thread::Result<(Done<T>, Vec<u8>)>);

/// The belt. The threads end with it.
pub(super) struct Belt<'s, 'e, T, W> {
    scope: &'s thread::Scope<'s, 'e>,
    work: &'e W,
    /// What each thread begins with.
    cutter: Cutter<'e>,
    cores: usize,
    threads: usize,
    loads: SyncSender<(u64, Load)>,
    waiting: Arc<Mutex<Receiver<(u64, Load)>>>,
    finished: Sender<Finished<T>>,
    done: Receiver<Finished<T>>,
    put: u64,
    taken: u64,
    /// What was done before its turn.
    early: BTreeMap<u64, Done<T>>,
    /// Blocks that have been looked at, to be filled again.
    empty: Vec<Vec<u8>>,
}

impl<'s, 'e, T: Send + 's, W: Fn(Block<'_>) -> (T, bool) + Sync> Belt<'s, 'e, T, W>
where
    'e: 's,
{
    /// `shared_by` is how many belts share the cores.
    pub(super) fn new(
        scope: &'s thread::Scope<'s, 'e>,
        work: &'e W,
        cutter: Cutter<'e>,
        shared_by: usize,
    ) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_CORES);
        let cores = (cores / shared_by).max(1);
        let (loads, waiting) = sync_channel(2 * cores);
        let (finished, done) = channel();
        Self {
            scope,
            work,
            cutter,
            cores,
            threads: 0,
            loads,
            waiting: Arc::new(Mutex::new(waiting)),
            finished,
            done,
            put: 0,
            taken: 0,
            early: BTreeMap::new(),
            empty: Vec::new(),
        }
    }

    /// Puts a load on; takes others off first where the belt is full.
    pub(super) fn put(&mut self, load: Load, fold: &mut dyn FnMut(Done<T>)) {
        self.take_off(2 * self.cores as u64 - 1, fold);
        if self.threads < self.cores {
            self.threads += 1;
            self.start();
        }
        let sent = self.loads.send((self.put, load));
        sent.expect("the belt itself holds the receiving end");
        self.put += 1;
    }

    /// An empty block, to be filled and put on.
    pub(super) fn empty(&mut self) -> Vec<u8> {
        self.empty.pop().unwrap_or_default()
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.put == self.taken
    }

    /// Takes off all that is on its way.
    pub(super) fn drain(&mut self, fold: &mut dyn FnMut(Done<T>)) {
        self.take_off(0, fold);
        self.empty.clear();
    }

    fn start(&self) {
        let (work, waiting, finished) = (self.work, self.waiting.clone(), self.finished.clone());
        let mut cutter = self.cutter.clone();
        self.scope.spawn(move || {
            // The lock is held while waiting: whoever has it gets the next load, the others wait for the lock.
            let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            while let Ok((number, load)) = next() {
                // A panic goes on in the thread that waits for the load, which would wait forever else.
                let done = catch_unwind(AssertUnwindSafe(|| carry(load, &mut cutter, work)));
                if finished.send((number, done)).is_err() {
                    break;
                }
            }
        });
    }

    /// Takes off until no more than `left` are on it.
    fn take_off(&mut self, left: u64, fold: &mut dyn FnMut(Done<T>)) {
        while self.put - self.taken > left {
            match self.early.remove(&self.taken) {
                Some(done) => {
                    self.taken += 1;
                    fold(done);
                }
                None => {
                    let got = self.done.recv();
                    let (number, done) = got.expect("the belt itself holds a sending end");
                    let (done, block) = done.unwrap_or_else(|panic| resume_unwind(panic));
                    self.early.insert(number, done);
                    if block.capacity() > 0 {
                        self.empty.push(block);
                    }
                }
            }
        }
    }
}

/// Does what a load is there for; gives the block back that was in it.
pub(super) fn carry<T>(
    load: Load,
    cutter: &mut Cutter<'_>,
    work: &impl Fn(Block<'_>) -> (T, bool),
) -> (Done<T>, Vec<u8>) {
    let mut made = Vec::new();
    let mut visit = |file, offset, text: &[u8], is_ended| {
        let (what, is_understood) = work(Block { text, is_ended, file, offset });
        made.push((what, text.len() as u64));
        is_understood
    };
    match load {
        Load::Block(block) => {
            visit(None, 0, &block, true);
            (Done { made, went: Went::default(), of: None }, block)
        }
        Load::Piece(file, piece, end) => {
            let mut at = piece.first();
            let mut read = |buffer: &mut [u8]| {
                let left = usize::try_from(end.length.saturating_sub(at)).unwrap_or(usize::MAX);
                let most = buffer.len().min(left);
                let count = file.read_at(&mut buffer[..most], at)?;
                at += count as u64;
                Ok(count)
            };
            let outcome = cutter.cut(piece, &mut read, &mut |offset, text, is_ended| {
                visit(Some(end.file), offset, text, is_ended)
            });
            let (went, outcome) = match outcome {
                Ok(went) => (went, Ok(())),
                Err(error) => (Went::default(), Err(error)),
            };
            (Done { made, went, of: Some((end, outcome)) }, Vec::new())
        }
    }
}
