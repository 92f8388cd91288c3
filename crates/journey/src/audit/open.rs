//! Spans and lines in any order → those of each trace together, in bounded memory.
//!
//! As [`crate::window`] has it: a trace stays open until everything is read, or until more than [`MOST_BYTES`] are held;
//! then the one goes out that nothing has been added to for longest.

use super::hop::{Hop, Told};
use crate::id::TraceId;
use crate::lru::Lru;

/// Bytes that are held, roughly.
pub(crate) const MOST_BYTES: usize = 64 << 20;
/// What an open trace takes beside what is in it, roughly.
const OF_TRACE: usize = 192;

/// The traces that are still open.
#[derive(Debug)]
pub(crate) struct OpenTraces {
    open: Lru<Open>,
    has_overflowed: bool,
}

/// What is known of one trace.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) hops: Vec<Hop>,
    /// One for each span and service that lines name, the latest.
    pub(crate) told: Vec<Told>,
}

impl OpenTraces {
    pub(crate) fn new(most: usize) -> Self {
        Self { open: Lru::new(most, OF_TRACE), has_overflowed: false }
    }

    pub(crate) fn take_hop(&mut self, hop: Hop, done: &mut dyn FnMut(Open)) {
        self.change(hop.trace, done, |open| {
            open.hops.push(hop);
            size_of::<Hop>()
        });
    }

    pub(crate) fn take_told(&mut self, trace: TraceId, told: Told, done: &mut dyn FnMut(Open)) {
        self.change(trace, done, |open| {
            let is_same = |known: &&mut Told| known.span == told.span && known.service == told.service;
            match open.told.iter_mut().rev().take(8).find(is_same) {
                Some(known) => {
                    known.time = known.time.max(told.time);
                    known.sums_up |= told.sums_up;
                    if told.says != super::hop::Says::Nothing {
                        known.says = told.says;
                    }
                    0
                }
                None => {
                    open.told.push(told);
                    size_of::<Told>()
                }
            }
        });
    }

    /// Whether one had to go before everything was read.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.has_overflowed
    }

    /// Gives out all that are still open.
    pub(crate) fn finish(&mut self, done: &mut dyn FnMut(Open)) {
        while let Some(open) = self.open.pop() {
            done(open);
        }
    }

    fn change(&mut self, trace: TraceId, done: &mut dyn FnMut(Open), add: impl FnOnce(&mut Open) -> usize) {
        self.open.change(trace, add);
        while let Some(open) = self.open.overflow() {
            self.has_overflowed = true;
            done(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hop::Seen;
    use super::*;

    #[test]
    fn a_trace_that_has_just_begun_stays_and_the_oldest_whole_one_goes() {
        let mut seen = Seen::default();
        for (trace, span) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)] {
            let line = format!(r#"{{"trace_id":"{trace:032x}","span_id":"{span:016x}"}}"#);
            seen.take(line.as_bytes());
        }
        let mut open = OpenTraces::new(2 * (OF_TRACE + 2 * size_of::<Told>()));
        let mut gone = Vec::new();
        for told in seen.told {
            let trace = told.trace.unwrap();
            open.take_told(trace, told, &mut |open| {
                gone.push((open.told[0].trace.unwrap(), open.told.len()))
            });
        }
        assert_eq!(gone, [(TraceId::read(&format!("{:032x}", 1)).unwrap(), 2)]);
    }
}
