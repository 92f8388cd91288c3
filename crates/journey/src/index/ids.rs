//! Text → the trace ids in it, without parsing: every id that some object in it may belong to or link to is a JSON
//! string, so it stands between two quotes.
//!
//! Streams: text may be given in pieces, cut anywhere, and damaged in any way. Finds too much (other strings that could be
//! ids) rather than too little. Pure.

use memchr::{memchr2_iter, memmem};

use crate::id::TraceId;

/// A longer string is no id, even with every letter of it written as `\u0034`.
const LONGEST: usize = 6 * 32;
/// Letters of an id in base64, without what fills it up.
const BASE64: usize = 22;

/// What is in a text, in order.
pub(super) enum Found {
    /// An id.
    Id(TraceId),
    /// The end of a line: how many bytes of the piece that was given lie before it, its newline included.
    LineEnd(usize),
}

/// Text that is being read in pieces.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// What was given since the last quote or line end, as far as it may be an id.
    begun: Vec<u8>,
}

impl Ids {
    /// Reads on.
    pub(super) fn read(&mut self, piece: &[u8], found: &mut dyn FnMut(Found)) {
        let mut from = 0;
        for at in memchr2_iter(b'"', b'\n', piece) {
            let text = &piece[from..at];
            let id = if self.begun.is_empty() {
                id(text)
            } else {
                self.hold(text);
                let whole = id(&self.begun);
                self.begun.clear();
                whole
            };
            if let Some(id) = id {
                found(Found::Id(id));
            }
            from = at + 1;
            if piece[at] == b'\n' {
                found(Found::LineEnd(from));
            }
        }
        self.hold(&piece[from..]);
    }

    /// Keeps `text`, or so much of it that it is seen to be too long.
    fn hold(&mut self, text: &[u8]) {
        let room = (LONGEST + 1).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&text[..text.len().min(room)]);
    }
}

/// The id that `text` is, between its quotes.
fn id(text: &[u8]) -> Option<TraceId> {
    if !(BASE64..=LONGEST).contains(&text.len()) {
        return None;
    }
    let is_filled = text.last() == Some(&b'=');
    if text.len() == 32 || text.len() == BASE64 || is_filled {
        let id = std::str::from_utf8(text).ok().and_then(TraceId::read);
        if id.is_some() {
            return id;
        }
    }
    // An escape for a letter that need not be escaped: nobody is known to write ids so, and JSON allows it.
    memmem::find(text, b"\\u00").and_then(|_| {
        let quoted = [b"\"", text, b"\""].concat();
        let text: String = serde_json::from_slice(&quoted).ok()?;
        TraceId::read(&text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    /// The ids of `text` by their first digit and the line ends as `/`, given in pieces of `size` bytes.
    fn found(text: &str, size: usize) -> String {
        let mut ids = Ids::default();
        let mut told = String::new();
        for piece in text.as_bytes().chunks(size) {
            ids.read(piece, &mut |found| match found {
                Found::Id(id) => told.push_str(&id.to_string()[..1]),
                Found::LineEnd(_) => told.push('/'),
            });
        }
        told
    }

    #[test]
    fn ids_are_found_in_every_spelling_however_the_text_is_cut() {
        let escaped: String = ID.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let cases = [
            (format!(r#"{{"traceId":"{ID}","spanId":"00f067aa0ba902b7"}}"#), "4"),
            (format!("\"{}\"\n", ID.to_uppercase()), "4/"),
            (format!("\"4BF92f{}\"", &ID[6..]), "4"),
            ("\"S/kvNXezTaajzpKdDg5HNg==\"\n\"S/kvNXezTaajzpKdDg5HNg\"".to_owned(), "4/4"),
            (format!("\"{escaped}\""), "4"),
            (format!("\"\\u0034{}\"", &ID[1..]), "4"),
            (format!("\"{ID}\n\"{}", &ID[1..]), "4/"),
            (format!("\"{ID}0\"\"{}\"\"\"", &ID[1..]), ""),
            (format!("{ID}\"x\"{ID}\n"), "44/"),
            (format!("\"{}\"\n\"{ID}\"", "x".repeat(1000)), "/4"),
            (format!("\"{}\"", "0".repeat(32)), ""),
            ("\"http.request.method_abc\" \"aaaaaaaaaaaaaaaaaaaaaa\" \"\u{e9}\u{e9}\"\n\n".to_owned(), "//"),
        ];
        for (text, expected) in cases {
            for size in [1, 2, 3, 7, 31, 10_000] {
                assert_eq!(found(&text, size), expected, "{text} in pieces of {size}");
            }
        }
    }

    #[test]
    fn line_ends_are_told_by_where_the_next_line_begins() {
        let mut ends = Vec::new();
        let mut found = |found| {
            if let Found::LineEnd(end) = found {
                ends.push(end);
            }
        };
        let mut ids = Ids::default();
        ids.read(b"ab\n\ncd", &mut found);
        ids.read(b"ef\n", &mut found);
        assert_eq!(ends, [3, 4, 3]);
    }
}
