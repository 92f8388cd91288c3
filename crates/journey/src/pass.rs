//! One reading of everything: every span of the input, trace by trace, once.
//!
//! All cores read and parse, this thread folds, in the order of the files and of the lines in them, so that the same
//! input gives the same answer. Memory is bounded by the [`Window`] and by what [`Input`] needs.

use memchr::memchr_iter;

use crate::brief::{self, Brief, Picks};
use crate::input::{Block, Input, Tally, Unreadable};
use crate::window::Window;

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
        *counts = Counts::default();
        let mut given = 0;
        let mut take = |spans: &[Brief]| {
            given += spans.len() as u64;
            take(spans);
        };
        let (mut window, mut read) = (Window::default(), 0);
        let work = |block: Block<'_>| {
            let parsed = Parsed::of(block, picks);
            let is_understood = parsed.half == 0;
            (parsed, is_understood)
        };
        let outcome = input.read(&work, &mut |parsed, bytes| {
            read += bytes;
            tell(read);
            counts.damaged += parsed.damaged;
            counts.half += parsed.half;
            parsed.spans.into_iter().for_each(|span| window.take(span, &mut take));
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
    fn of(Block { text: block, is_ended, .. }: Block<'_>, picks: &Picks) -> Self {
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
