//! What an audit remembers across traces: who calls whom, and what may be broken.
//!
//! Every list is bounded by [`MOST_KEPT`]: when one is full, what is in it is settled with what is known by then.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use super::Cause;
use super::findings::Findings;
use super::hop::{Asked, Hop, Says};
use super::{matching, settle};
use crate::id::{SpanId, TraceId};
use crate::span::Kind;

/// Entries that a list may have: about 20 MB.
pub(super) const MOST_KEPT: usize = 100_000;
/// Different services, processes and peers that are remembered.
const MOST_NAMES: usize = 10_000;

/// Something that may be a break.
#[derive(Debug, Clone)]
pub(super) struct Suspect {
    pub(super) cause: Cause,
    pub(super) trace: TraceId,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    /// Who called; `None` where it is not known.
    pub(super) from: Option<Arc<str>>,
    /// Who was called; empty where it is not known.
    pub(super) at: Arc<str>,
    /// Where it lies in one of several services: all of them.
    pub(super) among: Vec<Arc<str>>,
    /// The process that wrote, or did not write.
    pub(super) instance: Arc<str>,
    /// Where the request was sent to.
    pub(super) peer: u64,
    /// Whether whoever is missing had finished: it was not killed in the middle.
    pub(super) is_whole: bool,
    /// Whether the caller is another service, the usual one.
    pub(super) is_from_elsewhere: bool,
    /// Whether a caller outside would do the same.
    pub(super) is_at_entry: bool,
    pub(super) condition: Option<Condition>,
}

/// What must be so of a service: many writers never set the flag `sampled`, and then its absence says nothing.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) service: Arc<str>,
    pub(super) sets_flags: bool,
}

/// A call or a message of which no other span tells.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) id: SpanId,
    pub(super) trace: TraceId,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) service: Arc<str>,
    pub(super) asked: Asked,
    pub(super) peer: u64,
    pub(super) is_fine: bool,
    pub(super) is_counted: bool,
    /// Services through which the trace came here.
    pub(super) came_by: Vec<Arc<str>>,
    pub(super) condition: Option<Condition>,
}

/// A request or a message with which a trace begins, or whose parent was not found in what was read of the trace.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) trace: TraceId,
    pub(super) parent: Option<SpanId>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) kind: Kind,
    pub(super) service: Arc<str>,
    pub(super) instance: Arc<str>,
    pub(super) asked: Asked,
    pub(super) link: Option<(TraceId, SpanId)>,
    pub(super) says: Says,
    pub(super) is_counted: bool,
    pub(super) condition: Option<Condition>,
}

/// How requests come into a service.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Entries {
    /// All of them.
    pub(super) requests: u64,
    /// From a span that was written.
    pub(super) from_inside: u64,
    /// With a `traceparent` that nobody here has sent: unreadable or not believed.
    pub(super) refused: u64,
}

/// How two processes' clocks agree.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    pub(super) from: Arc<str>,
    pub(super) at: Arc<str>,
    pub(super) pairs: u64,
    pub(super) outside: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) example: Option<(u64, TraceId)>,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Requests and messages that were looked at.
    pub(super) requests: u64,
    /// Traces that were not looked at because they may go on.
    pub(super) in_flight: u64,
    /// Calls whose other end was killed, as far as can be told.
    pub(super) ended_early: u64,
    /// Whether the trace that is being judged is looked at, or only learned from.
    pub(super) is_counting: bool,
    /// Requests from one service to another: all, and those that are looked at.
    pub(super) hops: HashMap<(Arc<str>, Arc<str>), (u64, u64)>,
    /// Who answers there.
    pub(super) peers: HashMap<(Arc<str>, u64), HashMap<Arc<str>, u64>>,
    pub(super) entries: HashMap<Arc<str>, Entries>,
    /// The last sign of life of each process, and its service.
    pub(super) alive: HashMap<Arc<str>, (u64, Arc<str>)>,
    pub(super) clocks: HashMap<(Arc<str>, Arc<str>), Clock>,
    /// Services that set the flag `sampled`.
    flags: HashSet<Arc<str>>,
    /// What is suspected now is so only under this condition.
    pub(super) condition: Option<Condition>,
    pub(super) calls: Vec<Call>,
    pub(super) messages: Vec<Call>,
    pub(super) begun: Vec<Begun>,
    pub(super) suspects: Vec<Suspect>,
    pub(super) findings: Findings,
}

impl Suspect {
    pub(super) fn new(cause: Cause, trace: TraceId, at: Arc<str>, time: u64, instance: Arc<str>) -> Self {
        Self {
            cause,
            trace,
            time,
            from: None,
            at,
            among: Vec::new(),
            instance,
            peer: 0,
            is_whole: false,
            is_from_elsewhere: false,
            is_at_entry: false,
            condition: None,
        }
    }

    pub(super) fn at(hop: &Hop, cause: Cause) -> Self {
        Self::new(cause, hop.trace, hop.service.clone(), hop.start, hop.instance.clone())
    }

    /// The same, and it was another service that called.
    pub(super) fn called(self) -> Self {
        Self { is_from_elsewhere: true, ..self }
    }
}

impl Call {
    pub(super) fn of(hop: &Hop, came_by: Vec<Arc<str>>) -> Self {
        let Hop { id, trace, start, end, asked, peer, is_fine, .. } = *hop;
        Self {
            id,
            trace,
            start,
            end,
            service: hop.service.clone(),
            asked,
            peer,
            is_fine,
            is_counted: false,
            came_by,
            condition: None,
        }
    }
}

impl Begun {
    pub(super) fn of(hop: &Hop, says: Says) -> Self {
        let Hop { trace, parent, start, end, kind, asked, link, .. } = *hop;
        let (service, instance) = (hop.service.clone(), hop.instance.clone());
        let (is_counted, condition) = (false, None);
        Self { trace, parent, start, end, kind, service, instance, asked, link, says, is_counted, condition }
    }
}

impl Ledger {
    pub(super) fn suspect(&mut self, suspect: Suspect) {
        let condition = suspect.condition.clone().or_else(|| self.condition.clone());
        self.accuse(Suspect { condition, ..suspect }, self.is_counting);
    }

    /// The same of a trace that was judged before.
    pub(super) fn accuse(&mut self, suspect: Suspect, is_counted: bool) {
        if is_counted {
            self.suspects.push(suspect);
            if self.suspects.len() >= MOST_KEPT {
                settle::suspects(self, false);
            }
        }
    }

    pub(super) fn count_request(&mut self, service: &Arc<str>) {
        if self.is_counting {
            self.requests += 1;
            if let Some(entries) = room(&mut self.entries, service.clone()) {
                entries.requests += 1;
            }
        }
    }

    pub(super) fn connected(&mut self, parent: &Hop, hop: &Hop) {
        if parent.kind != Kind::Producer
            && let Some(callees) = room(&mut self.peers, (parent.service.clone(), parent.peer))
            && let Some(count) = room(callees, hop.service.clone())
        {
            *count += 1;
        }
        if let Some((all, counted)) = room(&mut self.hops, (parent.service.clone(), hop.service.clone())) {
            *all += 1;
            *counted += u64::from(self.is_counting);
        }
        if let Some(entries) = room(&mut self.entries, hop.service.clone()) {
            entries.from_inside += 1;
        }
    }

    pub(super) fn alive(&mut self, instance: &Arc<str>, service: &Arc<str>, time: u64) {
        if !self.alive.contains_key(instance) && self.alive.len() < MOST_NAMES {
            self.alive.insert(instance.clone(), (0, service.clone()));
        }
        if let Some((last, _)) = self.alive.get_mut(instance) {
            *last = time.max(*last);
        }
    }

    /// Remembers that `service` sets the flags of its spans.
    pub(super) fn flags(&mut self, service: &Arc<str>) {
        if self.flags.len() < MOST_NAMES {
            self.flags.insert(service.clone());
        }
    }

    /// Whether what was suspected under this condition holds, as far as is known.
    pub(super) fn holds(&self, condition: &Option<Condition>) -> bool {
        condition
            .as_ref()
            .is_none_or(|condition| self.flags.contains(&condition.service) == condition.sets_flags)
    }

    pub(super) fn clock(&mut self, parent: &Hop, child: &Hop, is_outside: bool) {
        if !self.is_counting || parent.kind == Kind::Internal {
            return;
        }
        let key = (parent.instance.clone(), child.instance.clone());
        if !self.clocks.contains_key(&key) && self.clocks.len() >= MOST_NAMES {
            return;
        }
        let clock = self.clocks.entry(key).or_insert_with(|| Clock {
            from: parent.service.clone(),
            at: child.service.clone(),
            pairs: 0,
            outside: 0,
            first: u64::MAX,
            last: 0,
            example: None,
        });
        clock.pairs += 1;
        if is_outside {
            clock.outside += 1;
            clock.first = clock.first.min(child.start);
            clock.last = clock.last.max(child.start);
            let this = (child.start, child.trace);
            clock.example = Some(clock.example.map_or(this, |known| known.min(this)));
        }
    }

    pub(super) fn call(&mut self, call: Call) {
        let (is_counted, condition) = (self.is_counting, self.condition.clone());
        self.calls.push(Call { is_counted, condition, ..call });
        self.match_if_full();
    }

    pub(super) fn message(&mut self, call: Call) {
        let is_counted = self.is_counting;
        self.messages.push(Call { is_counted, ..call });
        self.match_if_full();
    }

    pub(super) fn begun(&mut self, begun: Begun) {
        let (is_counted, condition) = (self.is_counting, self.condition.clone());
        self.begun.push(Begun { is_counted, condition, ..begun });
        self.match_if_full();
    }

    fn match_if_full(&mut self) {
        if [self.calls.len(), self.messages.len(), self.begun.len()].into_iter().any(|len| len >= MOST_KEPT) {
            matching::run(self, false);
        }
    }
}

/// The value of `key`; none where there is no room for one more.
fn room<K: Hash + Eq, V: Default>(map: &mut HashMap<K, V>, key: K) -> Option<&mut V> {
    let has_room = map.len() < MOST_NAMES || map.contains_key(&key);
    has_room.then(|| map.entry(key).or_default())
}
