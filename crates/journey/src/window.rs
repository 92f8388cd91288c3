//! Spans in any order → the spans of each trace together, in bounded memory.
//!
//! A trace stays open until everything is read, or until more than [`MOST_BYTES`] of spans are held: then the one that
//! nothing has been added to for longest is given out. So the order of spans changes nothing while they fit (about half
//! a million spans), and beyond that as long as the spans of a trace lie near each other, as a Collector writes them.
//! A trace that was given out too early is given out again with the rest of its spans.

use crate::brief::{self, Brief};
use crate::lru::Lru;

/// Bytes of spans that are held, roughly.
pub const MOST_BYTES: usize = 80 << 20;
/// What an open trace takes beside its spans, roughly.
const OF_TRACE: usize = 128;

/// The traces that are still open.
#[derive(Debug)]
pub struct Window {
    open: Lru<Vec<Brief>>,
    repeats: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self::new(MOST_BYTES)
    }
}

impl Window {
    /// Holds about `most` bytes of spans.
    pub fn new(most: usize) -> Self {
        Self { open: Lru::new(most, OF_TRACE), repeats: 0 }
    }

    /// Takes one span; gives what must go for it to `done`: the spans of one trace, each id once, sorted.
    pub fn take(&mut self, span: Brief, done: &mut dyn FnMut(&[Brief])) {
        self.open.change(span.trace, |spans| {
            let weight = span.weight();
            spans.push(span);
            weight
        });
        while let Some(spans) = self.open.overflow() {
            self.close(spans, done);
        }
    }

    /// Gives out all that are still open, and says how many repeats of a span were left out in all.
    pub fn finish(mut self, done: &mut dyn FnMut(&[Brief])) -> u64 {
        while let Some(spans) = self.open.pop() {
            self.close(spans, done);
        }
        self.repeats
    }

    fn close(&mut self, mut spans: Vec<Brief>, done: &mut dyn FnMut(&[Brief])) {
        let count = spans.len();
        brief::keep_each_once(&mut spans);
        self.repeats += (count - spans.len()) as u64;
        done(&spans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brief::{self, Picks};

    fn span(trace: u64, id: u64, end: u64) -> Brief {
        let line = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{trace:032x}","spanId":"{id:016x}","endTimeUnixNano":"{end}"}}]}}]}}]}}"#
        );
        let mut found = Vec::new();
        assert!(brief::each(line.as_bytes(), &Picks::default(), &mut found));
        found.remove(0)
    }

    /// What is given out of spans of these traces and ids, with room for about `room` traces of one span: trace and ids.
    fn given(spans: &[(u64, u64)], room: usize) -> (Vec<String>, u64) {
        let weight = OF_TRACE + span(1, 1, 0).weight();
        let mut window = Window::new(room * weight);
        let mut given = Vec::new();
        let mut done = |spans: &[Brief]| {
            let ids: Vec<_> = spans.iter().map(|span| span.id.to_string()[15..].to_owned()).collect();
            given.push(format!("{}:{}", &spans[0].trace.to_string()[31..], ids.concat()));
        };
        for (trace, id) in spans {
            window.take(span(*trace, *id, 0), &mut done);
        }
        let repeats = window.finish(&mut done);
        (given, repeats)
    }

    #[test]
    fn traces_are_whole_while_they_fit_and_the_one_untouched_for_longest_goes_first() {
        let spans = [(1, 2), (2, 1), (1, 1), (3, 1), (2, 1), (1, 3)];
        assert_eq!(given(&spans, 100), (vec!["3:1".to_owned(), "2:1".to_owned(), "1:123".to_owned()], 1));
        let many: Vec<(u64, u64)> = (2..9).flat_map(|trace| [(trace, 1), (1, trace)]).collect();
        let (parts, repeats) = given(&many, 8);
        assert_eq!(parts[..2], ["2:1", "3:1"], "trace 1 is added to all the time and stays: {parts:?}");
        assert_eq!(
            (parts.iter().filter(|part| part.starts_with("1:")).count(), repeats),
            (1, 0),
            "{parts:?}"
        );
    }

    #[test]
    fn one_that_has_just_begun_stays_and_the_oldest_whole_one_goes() {
        let (parts, _) = given(&[(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)], 4);
        assert_eq!(parts, ["1:12", "2:12", "3:12"]);
    }

    #[test]
    fn one_endless_trace_takes_no_more_than_its_room() {
        let spans: Vec<(u64, u64)> = (1..=9).map(|id| (1, id)).collect();
        let (parts, _) = given(&spans, 3);
        assert!(parts.len() > 1, "{parts:?}");
        let told: usize = parts.iter().map(|part| part.len() - 2).sum();
        assert_eq!(told, 9, "{parts:?}");
    }

    #[test]
    fn of_two_spans_with_one_id_the_one_that_ended_last_is_kept() {
        for ends in [[1, 2], [2, 1]] {
            let mut window = Window::default();
            ends.iter().for_each(|end| window.take(span(1, 1, *end), &mut |_| {}));
            let mut kept = Vec::new();
            window.finish(&mut |spans| kept.extend_from_slice(spans));
            assert_eq!(kept, [span(1, 1, 2)]);
        }
    }
}
