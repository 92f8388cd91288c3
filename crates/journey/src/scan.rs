//! Which lines of a block of text may concern an id: a search for the id's bytes at memory speed, so that only what
//! hits is parsed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use crate::id::Wanted;

/// The byte strings of which one must occur in every line that concerns an id: its hex in either case, its base64.
///
/// Hex that mixes the cases is not found; no known program writes it.
#[derive(Debug, Clone)]
pub struct Needles(Vec<Finder<'static>>);

impl Needles {
    /// What to look for.
    pub fn of(wanted: &Wanted) -> Self {
        match wanted {
            Wanted::Trace(id) => Self::spelt(&id.to_string(), STANDARD_NO_PAD.encode(id.bytes())),
            // An id is a JSON string: a prefix follows a quote, which keeps four digits from hitting everywhere.
            Wanted::Prefix(digits) => {
                Self::spelt(&format!("\"{digits}"), format!("\"{}", base64_prefix(digits)))
            }
        }
    }

    /// What is in every line.
    pub(crate) fn of_all() -> Self {
        Self(vec![Finder::new(b"")])
    }

    /// What to look for where any of `wanted` is.
    pub fn of_any(wanted: &[Wanted]) -> Self {
        Self(wanted.iter().flat_map(|wanted| Self::of(wanted).0).collect())
    }

    /// For ids that are all of `traces`.
    pub fn of_traces<'a>(traces: impl Iterator<Item = &'a crate::id::TraceId>) -> Self {
        Self(
            traces
                .flat_map(|id| Self::spelt(&id.to_string(), STANDARD_NO_PAD.encode(id.bytes())).0)
                .collect(),
        )
    }

    /// For ids that are all of `spans`.
    pub fn of_spans<'a>(spans: impl Iterator<Item = &'a crate::id::SpanId>) -> Self {
        Self(
            spans.flat_map(|id| Self::spelt(&id.to_string(), STANDARD_NO_PAD.encode(id.bytes())).0).collect(),
        )
    }

    fn spelt(hex: &str, base64: String) -> Self {
        let mut spellings = vec![hex.to_owned(), hex.to_uppercase(), base64];
        spellings.dedup();
        Self(spellings.iter().map(|spelling| Finder::new(spelling.as_bytes()).into_owned()).collect())
    }

    /// Whether one of them occurs in `text`.
    pub fn are_in(&self, text: &[u8]) -> bool {
        self.0.iter().any(|needle| needle.find(text).is_some())
    }

    /// The lines of `block` in which one of them occurs, in order, each once, without line ends.
    pub fn lines<'b>(&self, block: &'b [u8]) -> Vec<&'b [u8]> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for needle in &self.0 {
            let mut from = 0;
            while let Some(at) = needle.find(&block[from..]).map(|at| from + at) {
                let start = memrchr(b'\n', &block[..at]).map_or(0, |newline| newline + 1);
                let end = memchr(b'\n', &block[at..]).map_or(block.len(), |newline| at + newline);
                found.push((start, end));
                from = (end + 1).min(block.len());
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|(start, end)| &block[start..end]).collect()
    }
}

/// The base64 digits that `digits` of hex decide: 4 bits each against 6.
fn base64_prefix(digits: &str) -> String {
    let bits: Vec<u8> =
        digits.chars().filter_map(|digit| digit.to_digit(16)).map(|value| value as u8).collect();
    let bytes: Vec<u8> = bits.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)).collect();
    let mut text = STANDARD_NO_PAD.encode(bytes);
    text.truncate(digits.len() * 4 / 6);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(typed: &str, block: &str) -> Vec<String> {
        let needles = Needles::of(&typed.parse().unwrap());
        needles
            .lines(block.as_bytes())
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }

    #[test]
    fn lines_that_hold_the_id_are_found_in_any_spelling_each_once() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let upper = id.to_uppercase();
        let block =
            format!("a {id} {id}\nb\n\nc {upper} {id}\nd S/kvNXezTaajzpKdDg5HNg==\ne 4bf92f35\nf {id}");
        let found = hits(id, &block);
        assert_eq!(found.iter().map(|line| &line[..1]).collect::<String>(), "acdf");
        assert_eq!(hits(id, ""), Vec::<String>::new());
    }

    #[test]
    fn a_prefix_is_found_only_at_the_beginning_of_a_string() {
        let block = "x4bf9\n\"4bf92f\"\n\"4BF92F\"\n\"S/kvNX\"\n\"Sx\"";
        assert_eq!(hits("4bf92", block), ["\"4bf92f\"", "\"4BF92F\"", "\"S/kvNX\""]);
    }
}
