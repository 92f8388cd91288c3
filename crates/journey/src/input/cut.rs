//! Bytes → blocks of whole lines, of a stream or of one piece of a file.
//!
//! A line belongs to the piece in which it begins: whoever reads a piece passes over what the line before has left in it,
//! and reads on beyond its end for the last line. So pieces can be read in any order, at the same time.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::{memchr, memchr_iter, memrchr};

/// As much is read at once: it stays in a core's own cache until it has been looked at.
const BLOCK: usize = 256 << 10;
/// As much is read at once to find the end of a piece's last line.
const TAIL: usize = 64 << 10;
/// Only one buffer at a time may be larger.
const LARGE: usize = 8 << 20;

/// Where a line may begin, and how far it may be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// The first byte; the one before is looked at as well, unless a line is known to begin here.
    pub(super) from: u64,
    /// Lines that begin here or later are another piece's.
    pub(super) to: u64,
    /// Whether a line is known to begin at `from`.
    pub(super) begins: bool,
}

impl Piece {
    /// All of it.
    pub(super) const WHOLE: Self = Self { from: 0, to: u64::MAX, begins: true };

    /// Where reading begins.
    pub(super) fn first(&self) -> u64 {
        self.from - u64::from(!self.begins)
    }
}

/// What went by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Went {
    /// Lines given, the last one only if it was understood.
    pub(super) lines: u64,
    /// Lines that were longer than allowed.
    pub(super) too_long: u64,
    /// Bytes of a last line without its end that was not understood.
    pub(super) half: u64,
}

/// A buffer that is used again and again.
#[derive(Debug, Clone)]
pub(super) struct Cutter<'l> {
    buffer: Vec<u8>,
    longest_line: usize,
    large: &'l Mutex<()>,
}

impl<'l> Cutter<'l> {
    /// For lines of so many bytes at most; `large` is shared by all that work at the same time.
    pub(super) fn new(longest_line: usize, large: &'l Mutex<()>) -> Self {
        Self { buffer: Vec::new(), longest_line, large }
    }

    /// Gives the lines that begin in `piece` to `visit`, in blocks: the offset of the block's first byte, its text, and
    /// whether its last line has its end. `visit` answers whether a last line without its end was understood.
    /// `read` gives what comes next, from [`Piece::first`] on, and nothing at the end.
    pub(super) fn cut(
        &mut self,
        piece: Piece,
        read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
        visit: &mut dyn FnMut(u64, &[u8], bool) -> bool,
    ) -> io::Result<Went> {
        let mut went = Went::default();
        let mut alone: Option<MutexGuard<'l, ()>> = None;
        self.buffer.resize(BLOCK.min(self.longest_line), 0);
        let (mut filled, mut at, mut is_dropping) = (0, piece.first(), !piece.begins);
        while at < piece.to || filled > 0 {
            if filled == self.buffer.len() {
                if filled >= self.longest_line {
                    went.too_long += 1;
                    (filled, is_dropping) = (0, true);
                    continue;
                }
                if filled >= LARGE && alone.is_none() {
                    alone = Some(self.large.lock().unwrap_or_else(PoisonError::into_inner));
                }
                self.buffer.resize((filled * 2).min(self.longest_line), 0);
            }
            let room = self.buffer.len() - filled;
            let most = if at < piece.to { piece.to - at } else { TAIL as u64 };
            let most = room.min(usize::try_from(most).unwrap_or(room));
            let count = match read(&mut self.buffer[filled..filled + most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count?,
            };
            if count == 0 {
                break;
            }
            let (from, is_tail) = (filled, at >= piece.to);
            at += count as u64;
            let new = &self.buffer[from..from + count];
            if is_dropping {
                // Nothing is filled: only the end of the line is looked for.
                let Some(end) = memchr(b'\n', new) else { continue };
                self.buffer.copy_within(end + 1..count, 0);
                (filled, is_dropping) = (count - end - 1, false);
                // The rest may hold whole lines.
                filled = self.give(at, filled, filled, &mut went, visit);
                continue;
            }
            filled += count;
            if is_tail {
                let Some(end) = memchr(b'\n', new) else { continue };
                self.give(at - (count - end - 1) as u64, from + end + 1, end + 1, &mut went, visit);
                filled = 0;
                break;
            }
            filled = self.give(at, filled, count, &mut went, visit);
        }
        if filled > 0 {
            match visit(at - filled as u64, &self.buffer[..filled], false) {
                true => went.lines += 1,
                false => went.half = filled as u64,
            }
        }
        if self.buffer.len() > LARGE {
            self.buffer = Vec::new();
        }
        Ok(went)
    }

    /// Gives the whole lines of what is `filled`, of which only the last `new` bytes may hold ends of lines; moves the rest
    /// to the front and answers how much it is. `at` is the offset of its end.
    fn give(
        &mut self,
        at: u64,
        filled: usize,
        new: usize,
        went: &mut Went,
        visit: &mut dyn FnMut(u64, &[u8], bool) -> bool,
    ) -> usize {
        let before = filled - new;
        let Some(newline) = memrchr(b'\n', &self.buffer[before..filled]) else { return filled };
        let end = before + newline + 1;
        went.lines += count_lines(&self.buffer[..end]);
        visit(at - filled as u64, &self.buffer[..end], true);
        self.buffer.copy_within(end..filled, 0);
        filled - end
    }
}

/// How many lines `block` holds, the last with or without its end.
fn count_lines(block: &[u8]) -> u64 {
    let ended = memchr_iter(b'\n', block).count() as u64;
    ended + u64::from(!block.is_empty() && !block.ends_with(b"\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is given of `text` in pieces of `size` bytes when lines may be `longest` bytes long, and how many were longer.
    fn lines(text: &str, size: u64, longest: usize) -> (String, Went) {
        let large = Mutex::new(());
        let mut cutter = Cutter::new(longest, &large);
        let (mut given, mut all) = (String::new(), Went::default());
        for from in (0..text.len() as u64).step_by(size as usize) {
            let piece = Piece { from, to: from.saturating_add(size), begins: from == 0 };
            let mut rest = &text.as_bytes()[piece.first() as usize..];
            let mut read = |buffer: &mut [u8]| {
                // Little by little: ends of lines and of pieces fall everywhere.
                let count = rest.len().min(buffer.len()).min(3);
                buffer[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                Ok(count)
            };
            let mut visit = |at: u64, block: &[u8], is_ended: bool| {
                let block = std::str::from_utf8(block).unwrap();
                assert_eq!(&text[at as usize..at as usize + block.len()], block, "at its offset");
                assert_eq!(is_ended, block.ends_with('\n'));
                given.push_str(block);
                true
            };
            let went = cutter.cut(piece, &mut read, &mut visit).unwrap();
            all.lines += went.lines;
            all.too_long += went.too_long;
        }
        (given, all)
    }

    #[test]
    fn lines_that_are_too_long_are_skipped_and_counted() {
        let check = |text: &str, expected: &str, too_long: u64| {
            for size in [1, 2, 3, 5, 100] {
                let (given, went) = lines(text, size, 8);
                assert_eq!((&*given, went.too_long), (expected, too_long), "{text} in pieces of {size}");
                assert_eq!(went.lines, count_lines(expected.as_bytes()), "{text} in pieces of {size}");
            }
        };
        check("1234567\nab\n", "1234567\nab\n", 0);
        check("a\n1234567890123456789\nbc\nd\n", "a\nbc\nd\n", 1);
        check("12345678\nb\n", "b\n", 1);
        check("123456789012\n123456789012\nb\n", "b\n", 2);
        check("a\n1234567890", "a\n", 1);
        check("a\nb", "a\nb", 0);
        check("\n\n", "\n\n", 0);
        check("", "", 0);
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_every_line_once(text in "[ab\n]{0,60}", size in 1..70_u64) {
            let (given, went) = lines(&text, size, 1000);
            prop_assert_eq!(went.lines, count_lines(text.as_bytes()));
            prop_assert_eq!(given, text);
        }
    }
}
