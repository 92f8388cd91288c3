//! Files and streams → the belt: files go on it in pieces, a stream is read here and goes on it block by block.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::belt::{self, Belt, Done, End, Load};
use super::cut::{Cutter, Piece, Went};
use super::{Block, Key};

/// What one core reads of a file at a time.
const PIECE: u64 = 4 << 20;
/// The same where many inputs are read side by side.
const SMALL_PIECE: u64 = 256 << 10;
/// So little is read by this thread: it takes less time than to start another.
const LITTLE: u64 = 128 << 10;
/// A block of a stream that is larger (one very long line) is looked at where it is read, so that no second one is held.
const LARGEST_ON_ITS_WAY: usize = 8 << 20;

/// Takes files and streams, whatever is made of them.
pub(super) trait Lines {
    /// Has the lines of a file looked at, from `from` on, which is the beginning of one.
    fn pieces(&mut self, file: File, end: End, from: u64);

    /// Reads lines here, to the end of a stream, and has them looked at.
    fn lines(&mut self, read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Went>;

    /// Waits for all that is on its way, and tells what went by in pieces of files, file by file.
    fn settle(&mut self) -> Vec<(Key, Went, io::Result<()>)>;
}

/// Where lines go, and what becomes of what is made of them.
pub(super) struct Reading<'r, 's, 'e, T, W> {
    belt: Belt<'s, 'e, T, W>,
    work: &'e W,
    cutter: Cutter<'r>,
    fold: &'r mut dyn FnMut(T, u64),
    went: Vec<(Key, Went, io::Result<()>)>,
    /// Whether pieces are small.
    pub(super) is_sparing: bool,
}

impl<'r, 's, 'e: 's, T: Send + 's, W: Fn(Block<'_>) -> (T, bool) + Sync> Reading<'r, 's, 'e, T, W> {
    /// What `belt` takes off and what `work` makes here goes to `fold`; `cutter` is for what is read here.
    pub(super) fn new(
        belt: Belt<'s, 'e, T, W>,
        work: &'e W,
        cutter: Cutter<'r>,
        fold: &'r mut dyn FnMut(T, u64),
    ) -> Self {
        Self { belt, work, cutter, fold, went: Vec::new(), is_sparing: false }
    }
}

impl<'s, 'e: 's, T: Send + 's, W: Fn(Block<'_>) -> (T, bool) + Sync> Lines for Reading<'_, 's, 'e, T, W> {
    fn pieces(&mut self, file: File, end: End, from: u64) {
        let Self { belt, work, cutter, fold, went, is_sparing } = self;
        let most = if *is_sparing { SMALL_PIECE } else { PIECE };
        let mut fold = |done| take(done, *fold, went);
        let file = Arc::new(file);
        let mut piece = Piece { from, to: end.length.min(from.saturating_add(most)), begins: true };
        if end.length - from <= LITTLE && belt.is_empty() {
            return fold(belt::carry(Load::Piece(file, piece, end), cutter, *work).0);
        }
        while piece.from < end.length {
            belt.put(Load::Piece(file.clone(), piece, end), &mut fold);
            piece =
                Piece { from: piece.to, to: end.length.min(piece.to.saturating_add(most)), begins: false };
        }
    }

    fn lines(&mut self, read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Went> {
        let Self { belt, work, cutter, fold, went, .. } = self;
        cutter.cut(Piece::WHOLE, read, &mut |offset, text, is_ended| {
            if is_ended && text.len() <= LARGEST_ON_ITS_WAY {
                let mut block = belt.empty();
                block.clear();
                block.extend_from_slice(text);
                belt.put(Load::Block(block), &mut |done| take(done, *fold, went));
                return true;
            }
            belt.drain(&mut |done| take(done, *fold, went));
            let (made, is_understood) = work(Block { text, is_ended, file: None, offset });
            fold(made, text.len() as u64);
            is_understood
        })
    }

    fn settle(&mut self) -> Vec<(Key, Went, io::Result<()>)> {
        let Self { belt, fold, went, .. } = self;
        belt.drain(&mut |done| take(done, *fold, went));
        std::mem::take(went)
    }
}

/// Gives what was made to `fold`, and notes what went by.
fn take<T>(done: Done<T>, fold: &mut dyn FnMut(T, u64), went: &mut Vec<(Key, Went, io::Result<()>)>) {
    done.made.into_iter().for_each(|(made, bytes)| fold(made, bytes));
    let counted = |end: End| match end.is_counted {
        true => done.went,
        false => Went::default(),
    };
    went.extend(done.of.map(|(end, outcome)| (end.file, counted(end), outcome)));
}
