//! One reading of everything: every span of the input, trace by trace, once.
//!
//! This thread reads and folds, one thread per core parses; blocks are folded in the order in which they were read, so
//! that the same input gives the same answer. Memory is bounded by the [`Window`], two blocks per core on their way,
//! and the longest line.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use memchr::memchr_iter;

use crate::brief::{self, Brief, Picks};
use crate::input::{Input, Tally, Unreadable};
use crate::window::Window;

/// More cores than this wait for the one thread that reads.
const MOST_CORES: usize = 16;
/// A block that is larger (one very long line) is parsed where it is read, so that no second one is held beside it.
const LARGEST_ON_ITS_WAY: usize = 8 << 20;

/// One reading of an input.
#[derive(Debug)]
pub struct Pass {
    input: Input,
    picks: Picks,
    counts: Counts,
}

/// What went by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Spans, each once.
    pub spans: u64,
    /// Repeats of a span that were left out.
    pub repeats: u64,
    /// Lines that were understood only in part or not at all.
    pub damaged: u64,
    /// Last lines of files that are not whole.
    pub half: u64,
}

impl Pass {
    /// Nothing is read yet.
    pub fn new(input: Input, picks: Picks) -> Self {
        Self { input, picks, counts: Counts::default() }
    }

    /// Reads everything and gives the spans of each trace to `take`, each id once, sorted; says now and then to `tell`
    /// how many bytes have been read. A trace is given more than once only where the [`Window`] was too small for it.
    ///
    /// # Errors
    /// As [`Input::read`].
    pub fn run(
        &mut self,
        take: &mut dyn FnMut(&[Brief]),
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), Unreadable> {
        let Self { input, picks, counts } = self;
        let picks = &*picks;
        let cores = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_CORES);
        *counts = Counts::default();
        let mut given = 0;
        let mut take = |spans: &[Brief]| {
            given += spans.len() as u64;
            take(spans);
        };
        let mut window = Window::default();
        let outcome = thread::scope(|scope| {
            let mut belt = Belt::new(scope, cores, picks);
            let mut bytes = 0;
            let mut fold = |parsed: Parsed| {
                counts.damaged += parsed.damaged;
                counts.half += parsed.half;
                parsed.spans.into_iter().for_each(|span| window.take(span, &mut take));
            };
            let outcome = input.read(&mut |block, is_ended| {
                bytes += block.len() as u64;
                tell(bytes);
                if is_ended && block.len() <= LARGEST_ON_ITS_WAY {
                    belt.put(block, &mut fold);
                    return true;
                }
                belt.drain(&mut fold);
                let parsed = Parsed::of(block, is_ended, picks);
                let is_understood = parsed.half == 0;
                fold(parsed);
                is_understood
            });
            belt.drain(&mut fold);
            outcome
        });
        counts.repeats = window.finish(&mut take);
        counts.spans = given;
        outcome
    }

    /// What went by.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How much was read.
    pub fn tally(&self) -> &Tally {
        self.input.tally()
    }
}

/// What is in one block.
struct Parsed {
    spans: Vec<Brief>,
    damaged: u64,
    half: u64,
}

impl Parsed {
    fn of(block: &[u8], is_ended: bool, picks: &Picks) -> Self {
        let (mut spans, mut odd, mut from) = (Vec::new(), 0, 0);
        for end in memchr_iter(b'\n', block).chain([block.len()]) {
            odd += u64::from(!brief::each(&block[from..end], picks, &mut spans));
            from = end + 1;
            if from >= block.len() {
                break;
            }
        }
        let (damaged, half) = if is_ended { (odd, 0) } else { (0, odd) };
        Self { spans, damaged, half }
    }
}

/// Blocks on their way through the parsing threads, two for each, taken off in the order in which they were put on.
struct Belt {
    blocks: SyncSender<(u64, Vec<u8>)>,
    parsed: Receiver<(u64, Parsed, Vec<u8>)>,
    most: u64,
    put: u64,
    folded: u64,
    /// What was parsed before its turn.
    early: BTreeMap<u64, Parsed>,
    /// Blocks that have been parsed, to be filled again.
    empty: Vec<Vec<u8>>,
}

impl Belt {
    fn new<'s>(scope: &'s thread::Scope<'s, '_>, cores: usize, picks: &'s Picks) -> Self {
        let (blocks, waiting) = sync_channel::<(u64, Vec<u8>)>(2 * cores);
        let (done, parsed) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..cores {
            let (waiting, done) = (waiting.clone(), done.clone());
            scope.spawn(move || {
                // The lock is held while waiting: whoever has it gets the next block, the others wait for the lock.
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((number, block)) = next() {
                    let parsed = Parsed::of(&block, true, picks);
                    if done.send((number, parsed, block)).is_err() {
                        break;
                    }
                }
            });
        }
        let most = 2 * cores as u64;
        Self { blocks, parsed, most, put: 0, folded: 0, early: BTreeMap::new(), empty: Vec::new() }
    }

    /// Puts a copy of `block` on; takes parsed ones off first where it is full.
    fn put(&mut self, block: &[u8], fold: &mut impl FnMut(Parsed)) {
        self.take_off(self.most - 1, fold);
        let mut copy = self.empty.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(block);
        let sent = self.blocks.send((self.put, copy));
        sent.expect("the parsing threads live as long as the belt");
        self.put += 1;
    }

    fn drain(&mut self, fold: &mut impl FnMut(Parsed)) {
        self.take_off(0, fold);
        self.empty.clear();
    }

    /// Folds until no more than `left` are on it.
    fn take_off(&mut self, left: u64, fold: &mut impl FnMut(Parsed)) {
        while self.put - self.folded > left {
            match self.early.remove(&self.folded) {
                Some(parsed) => {
                    self.folded += 1;
                    fold(parsed);
                }
                None => {
                    let got = self.parsed.recv();
                    let (number, parsed, block) = got.expect("a parsing thread ends after its last block");
                    self.early.insert(number, parsed);
                    self.empty.push(block);
                }
            }
        }
    }
}
