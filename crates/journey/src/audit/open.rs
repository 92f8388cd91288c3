//! Spans and lines in any order → those of each trace together, in bounded memory.
//!
//! As [`crate::window`] has it: a trace stays open until everything is read, or until more than [`MOST_BYTES`] are held;
//! then the one goes out that nothing has been added to for longest.

use std::collections::{HashMap, VecDeque};

use super::hop::{Hop, Told};
use crate::id::TraceId;

/// Bytes that are held, roughly.
pub(crate) const MOST_BYTES: usize = 64 << 20;
/// What an open trace takes beside what is in it, roughly.
const OF_TRACE: usize = 192;

/// The traces that are still open.
#[derive(Debug)]
pub(crate) struct OpenTraces {
    open: HashMap<TraceId, Open>,
    /// Each open trace once, the next one to look at first.
    order: VecDeque<TraceId>,
    bytes: usize,
    most: usize,
}

/// What is known of one trace.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) hops: Vec<Hop>,
    /// One for each span and service that lines name, the latest.
    pub(crate) told: Vec<Told>,
    is_fresh: bool,
    bytes: usize,
}

impl OpenTraces {
    pub(crate) fn new(most: usize) -> Self {
        Self { open: HashMap::new(), order: VecDeque::new(), bytes: 0, most }
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

    /// Gives out all that are still open.
    pub(crate) fn finish(&mut self, done: &mut dyn FnMut(Open)) {
        while let Some(trace) = self.order.pop_front() {
            self.close(trace, done);
        }
    }

    fn change(&mut self, trace: TraceId, done: &mut dyn FnMut(Open), add: impl FnOnce(&mut Open) -> usize) {
        let Self { open, order, bytes, .. } = self;
        let open = open.entry(trace).or_insert_with(|| {
            order.push_back(trace);
            *bytes += OF_TRACE;
            Open { bytes: OF_TRACE, ..Open::default() }
        });
        open.is_fresh = open.bytes > OF_TRACE;
        let added = add(open);
        open.bytes += added;
        *bytes += added;
        while self.bytes > self.most {
            let Some(next) = self.order.pop_front() else { break };
            let is_fresh = |open: &mut Open| std::mem::take(&mut open.is_fresh);
            match self.open.get_mut(&next).is_some_and(is_fresh) {
                true => self.order.push_back(next),
                false => self.close(next, done),
            }
        }
    }

    fn close(&mut self, trace: TraceId, done: &mut dyn FnMut(Open)) {
        let Some(open) = self.open.remove(&trace) else { return };
        self.bytes -= open.bytes;
        done(open);
    }
}
