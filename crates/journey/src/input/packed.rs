//! Packed files → the lines in them: gzip, zstd, and what the Collector's file exporter makes of `compression: zstd`.
//!
//! The exporter (contrib, `exporter/fileexporter`) writes in two forms. For long: before each export request its packed
//! length, 4 bytes with the highest first, then the request as a zstd frame of its own, without line ends. With the
//! feature gate of native compression: a stream of zstd frames with a line for each request, which goes on in a new frame
//! now and then. Both grow while they are written: what was read up to the end of a frame, and of a line, need not be read
//! again ([`Zstd::safe`]). With `format: proto` requests are protobuf, with their length before them; those are not read.

use std::io::{self, BufRead, BufReader, Read};

use zstd::stream::read::Decoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The first byte of a packed request is preceded by so many that tell its length.
const LENGTH: usize = 4;
/// So many bytes of a file tell its form.
pub(super) const HEAD: usize = LENGTH + ZSTD.len();
/// The largest window that is made room for, as a power of two: as `zstd -d` does, 128 MiB.
const LARGEST_WINDOW: u32 = 27;
/// The first byte of an export request in protobuf: its first member, of any length.
const FIRST_MEMBER: u8 = 0x0a;

/// How a file's bytes are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines.
    Plain,
    Gzip,
    Zstd,
    /// zstd frames, each with its length before it.
    Framed,
    /// No JSON.
    Protobuf,
}

impl Form {
    /// Told by the first [`HEAD`] bytes, or all there are.
    pub(super) fn of(head: &[u8]) -> Self {
        let length = head.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        match (head, head.get(LENGTH..)) {
            _ if head.starts_with(&GZIP) => Self::Gzip,
            _ if head.starts_with(&ZSTD) || is_skippable(head) => Self::Zstd,
            (_, Some(after)) if length > 0 && after.starts_with(&ZSTD) => Self::Framed,
            // No text begins with a zero, and zeros that a crash has left are no length.
            ([0, ..], Some([FIRST_MEMBER, ..])) if length > 0 => Self::Protobuf,
            _ => Self::Plain,
        }
    }
}

/// A frame that holds nothing for us (RFC 8878 §3.1.2).
fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// A reader that counts.
struct Counted<R> {
    inner: BufReader<R>,
    used: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.used += count as u64;
        Ok(count)
    }
}

impl<R: Read> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.used += count as u64;
        self.inner.consume(count);
    }
}

/// zstd frames as lines; one frame after the other, so that it is known where each ends.
pub(super) struct Zstd<R: Read> {
    state: State<R>,
    is_framed: bool,
    /// The last byte that was given.
    last: u8,
    /// How many packed bytes need not be read again.
    pub(super) safe: u64,
    /// Something in it is no text: it was said to be JSON, or nothing was said.
    pub(super) is_protobuf: bool,
}

enum State<R: Read> {
    Between(Counted<R>),
    Within(Box<Decoder<'static, Counted<R>>>),
    /// At the end, or after an error.
    Over,
}

impl<R: Read> Zstd<R> {
    /// Reads frames from `reader`; `is_framed`: each has its length before it.
    pub(super) fn new(reader: R, is_framed: bool) -> Self {
        let counted = Counted { inner: BufReader::with_capacity(128 << 10, reader), used: 0 };
        Self { state: State::Between(counted), is_framed, last: b'\n', safe: 0, is_protobuf: false }
    }

    /// The next frame, from its length on; at the end there is none.
    fn open(&mut self, mut reader: Counted<R>) -> io::Result<State<R>> {
        if reader.fill_buf()?.is_empty() {
            return Ok(State::Over);
        }
        if self.is_framed {
            reader.read_exact(&mut [0; LENGTH])?;
        }
        let mut decoder = Decoder::with_buffer(reader)?.single_frame();
        decoder.window_log_max(LARGEST_WINDOW)?;
        Ok(State::Within(Box::new(decoder)))
    }

    /// Whether this, the first of a request or of the whole, is protobuf.
    fn looks_like_protobuf(&self, text: &[u8]) -> bool {
        match self.is_framed {
            true => text.first() == Some(&FIRST_MEMBER),
            false => self.safe == 0 && Form::of(text) == Form::Protobuf,
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => break,
                State::Between(reader) => self.state = self.open(reader)?,
                State::Within(mut decoder) => {
                    let count = decoder.read(buffer)?;
                    if count > 0 {
                        if self.last == b'\n' && self.looks_like_protobuf(&buffer[..count]) {
                            self.is_protobuf = true;
                            break;
                        }
                        self.last = buffer[count - 1];
                        self.state = State::Within(decoder);
                        return Ok(count);
                    }
                    let reader = decoder.finish();
                    let needs_end = self.is_framed && self.last != b'\n';
                    if needs_end {
                        self.last = b'\n';
                        buffer[0] = b'\n';
                    }
                    if self.last == b'\n' {
                        self.safe = reader.used;
                    }
                    self.state = State::Between(reader);
                    if needs_end {
                        return Ok(1);
                    }
                }
            }
        }
        Ok(0)
    }
}

/// Reads on; where packed data is damaged or ends too early it ends, and `is_cut_short` says so: still being written, or its
/// writer was killed, and what came out of it counts.
pub(super) fn read(reader: &mut dyn Read, buffer: &mut [u8], is_cut_short: &mut bool) -> io::Result<usize> {
    reader.read(buffer).or_else(|error| {
        *is_cut_short = says_cut_short(&error);
        if *is_cut_short { Ok(0) } else { Err(error) }
    })
}

/// Whether an error says that packed data is damaged or ends too early; others are of the system, or ask for too much.
fn says_cut_short(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        UnexpectedEof | InvalidData | InvalidInput => true,
        // zstd's own errors have no kind; the one that is no damage is a window that is too large.
        Other => !error.to_string().contains("too much memory"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 1).unwrap()
    }

    fn framed(text: &[u8]) -> Vec<u8> {
        let frame = zstd::encode_all(text, 1).unwrap();
        [&(frame.len() as u32).to_be_bytes()[..], &frame].concat()
    }

    /// What is read of `packed`, how it ends, and how many bytes need not be read again.
    fn read(packed: &[u8], is_framed: bool) -> (String, Result<(), bool>, u64) {
        let mut zstd = Zstd::new(packed, is_framed);
        let (mut text, mut buffer) = (Vec::new(), [0; 7]);
        let outcome = loop {
            match zstd.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => text.extend_from_slice(&buffer[..count]),
                Err(error) => break Err(says_cut_short(&error)),
            }
        };
        (String::from_utf8(text).unwrap(), outcome, zstd.safe)
    }

    #[test]
    fn forms_are_told_by_the_first_bytes() {
        let check = |head: &[u8], expected: Form| assert_eq!(Form::of(head), expected, "{head:?}");
        check(b"", Form::Plain);
        check(b"{\"resour", Form::Plain);
        check(b"\0\0\0\0\0\0\0\0", Form::Plain);
        check(b"\0\0\0{\"reso", Form::Plain);
        check(b"\x1f\x8b\x08\0\0\0\0\0", Form::Gzip);
        check(&frame("x"), Form::Zstd);
        check(b"\x50\x2a\x4d\x18\0\0\0\0", Form::Zstd);
        check(&framed(b"x"), Form::Framed);
        check(b"\0\0\x01\x05\x0a\x80\x02\x0a", Form::Protobuf);
    }

    #[test]
    fn frames_are_read_one_after_the_other_up_to_where_they_end() {
        let (a, b) = (frame("one\ntwo\n"), frame("three\n"));
        let both = [&a[..], &b].concat();
        assert_eq!(read(&both, false), ("one\ntwo\nthree\n".to_owned(), Ok(()), both.len() as u64));
        let cut = &both[..both.len() - 3];
        let (text, outcome, safe) = read(cut, false);
        assert!(text.starts_with("one\ntwo\n"), "{text}");
        assert_eq!((outcome, safe), (Err(true), a.len() as u64));
        // The end of a frame within a line is no place to go on from.
        let within = [&frame("one\ntw")[..], &frame("o\n")].concat();
        assert_eq!(read(&within, false), ("one\ntwo\n".to_owned(), Ok(()), within.len() as u64));
        assert_eq!(read(&frame("one\ntw"), false).2, 0);
        assert_eq!(read(&[&a[..], b"no frame"].concat(), false).1, Err(true));
    }

    #[test]
    fn requests_with_their_length_before_them_become_lines() {
        let both = [framed(b"{\"a\":1}"), framed(b"{\"b\":2}")].concat();
        let whole = "{\"a\":1}\n{\"b\":2}\n";
        assert_eq!(read(&both, true), (whole.to_owned(), Ok(()), both.len() as u64));
        for left in 1..framed(b"{\"b\":2}").len() {
            let (text, outcome, safe) = read(&both[..both.len() - left], true);
            assert!(text.starts_with("{\"a\":1}\n"), "{text}");
            assert_eq!(
                (outcome, safe),
                (Err(true), framed(b"{\"a\":1}").len() as u64),
                "{left} bytes are missing"
            );
        }
    }

    #[test]
    fn protobuf_is_not_taken_for_text() {
        let request = b"\x0a\x05\x0a\x03abc";
        let with_length = [&(request.len() as u32).to_be_bytes()[..], request].concat();
        for (packed, is_framed) in
            [(framed(request), true), (zstd::encode_all(&with_length[..], 1).unwrap(), false)]
        {
            let mut zstd = Zstd::new(&packed[..], is_framed);
            assert_eq!(zstd.read(&mut [0; 64]).unwrap(), 0);
            assert!(zstd.is_protobuf);
        }
    }
}
