//! One trace → what is whole in it, and what is missing.
//!
//! What another trace or the rest of the files may explain is not decided here: it goes into the [`Ledger`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::hop::{Hop, Says, Told};
use super::ledger::{Begun, Call, Condition, Ledger, Suspect};
use super::open::Open;
use super::{Cause, Settings};
use crate::id::SpanId;
use crate::span::Kind;

/// Requests of one trace that lie further apart than this have nothing to do with each other: ten minutes.
const FAR_APART: u64 = 600_000_000_000;
/// Clocks may disagree by so many nanoseconds without anybody's fault.
const SKEW: u64 = 5_000_000;

/// A trace that is being judged.
struct Trace<'a> {
    /// Sorted by their ids, each id once.
    hops: &'a [Hop],
    /// Whether somebody else's span, or a further call, stands below the one with this index.
    is_taken_up: Vec<bool>,
    /// Spans that lines name and that were never written, by service and id.
    ghosts: BTreeMap<(Arc<str>, SpanId), &'a Told>,
    /// Spans whose parent was never written.
    orphans: Vec<&'a Hop>,
}

/// Judges one trace.
pub(super) fn judge(open: Open, settings: &Settings, ledger: &mut Ledger) {
    let Open { mut hops, told, .. } = open;
    let starts = hops.iter().map(|hop| hop.start);
    let times = told.iter().map(|told| told.time).filter(|time| *time > 0);
    let Some(start) = starts.chain(times.clone()).min() else { return };
    let end = hops.iter().map(|hop| hop.end).chain(times).max().unwrap_or(start);
    let is_counted = settings.counts(start, end);
    ledger.in_flight += u64::from(settings.is_in_flight(start, end));
    ledger.is_counting = is_counted;
    ledger.condition = None;
    told.iter().for_each(|told| ledger.alive(&told.instance, &told.service, told.time));

    hops.sort_unstable_by(|a, b| a.id.cmp(&b.id).then(b.end.cmp(&a.end)).then(a.digest.cmp(&b.digest)));
    for pair in hops.windows(2).filter(|pair| pair[0].id == pair[1].id && pair[0].digest != pair[1].digest) {
        ledger.suspect(Suspect::at(&pair[1], Cause::DuplicateId));
    }
    hops.dedup_by_key(|hop| hop.id);
    if hops.is_empty() {
        return without_spans(&told, ledger);
    }
    let mut trace = Trace::new(&hops, &told);
    trace.learn(ledger);
    trace.used_again(ledger);
    trace.unsampled(ledger);
    trace.calls(ledger);
    trace.left_over(ledger);
    trace.begun(&told, ledger);
}

/// Lines of a trace of which there is no span at all.
fn without_spans(told: &[Told], ledger: &mut Ledger) {
    let within = || told.iter().filter(|told| told.span.is_some() && !told.service.is_empty());
    let Some(first) = within().min_by_key(|told| (told.time, told.service.clone())) else { return };
    let Some(trace) = first.trace else { return };
    let mut among: Vec<Arc<str>> = within().map(|told| told.service.clone()).collect();
    among.sort_unstable();
    among.dedup();
    ledger.count_request(&first.service);
    let suspect =
        Suspect::new(Cause::Unsampled, trace, first.service.clone(), first.time, first.instance.clone());
    ledger.suspect(Suspect { among, ..suspect });
}

impl<'a> Trace<'a> {
    fn new(hops: &'a [Hop], told: &'a [Told]) -> Self {
        let find = |id: SpanId| hops.binary_search_by_key(&id, |hop| hop.id).ok();
        let mut is_taken_up = vec![false; hops.len()];
        for hop in hops {
            let Some(parent) = hop.parent.and_then(find) else { continue };
            let is_further = hop.enters() || hop.service != hops[parent].service || hop.kind == Kind::Client;
            is_taken_up[parent] |= is_further && hop.parent != Some(hop.id);
        }
        let mut ghosts = BTreeMap::new();
        for told in told {
            let Some(span) = told.span.filter(|span| find(*span).is_none()) else { continue };
            ghosts.insert((told.service.clone(), span), told);
        }
        let mut orphans: Vec<&Hop> =
            hops.iter().filter(|hop| hop.parent.is_some_and(|parent| find(parent).is_none())).collect();
        orphans.sort_unstable_by_key(|hop| (hop.start, hop.id));
        Self { hops, is_taken_up, ghosts, orphans }
    }

    fn find(&self, id: SpanId) -> Option<&'a Hop> {
        self.hops.binary_search_by_key(&id, |hop| hop.id).ok().map(|at| &self.hops[at])
    }

    /// Who calls whom, and whether their clocks agree.
    fn learn(&self, ledger: &mut Ledger) {
        for hop in self.hops {
            ledger.alive(&hop.instance, &hop.service, hop.end);
            if hop.is_sampled {
                ledger.flags(&hop.service);
            }
            if !hop.enters() {
                continue;
            }
            ledger.count_request(&hop.service);
            let Some(parent) = hop.parent.and_then(|parent| self.find(parent)) else { continue };
            ledger.connected(parent, hop);
            if parent.instance != hop.instance {
                ledger.clock(parent, hop, is_outside(parent, hop));
            }
        }
    }

    /// Requests that came in under this trace long after one another.
    fn used_again(&self, ledger: &mut Ledger) {
        let outermost =
            |hop: &&Hop| hop.kind != Kind::Consumer && hop.parent.is_none_or(|id| self.find(id).is_none());
        let mut first: Vec<&Hop> = self.hops.iter().filter(outermost).collect();
        first.sort_unstable_by_key(|hop| (hop.start, hop.id));
        for pair in first.windows(2).filter(|pair| pair[1].start.saturating_sub(pair[0].end) > FAR_APART) {
            ledger.suspect(Suspect::at(pair[1], Cause::DuplicateId));
        }
    }

    /// Spans that say themselves that they are not sampled, so that their parent was never written. Whatever else seems
    /// to be missing in such a trace is missing for that reason, if their service sets that flag elsewhere.
    fn unsampled(&self, ledger: &mut Ledger) {
        let is_unsampled = |hop: &&&Hop| hop.is_remote == Some(true) && !hop.is_sampled;
        let mut services = HashSet::new();
        for hop in self.orphans.iter().filter(is_unsampled).filter(|hop| services.insert(&hop.service)) {
            let condition = |sets_flags| Some(Condition { service: hop.service.clone(), sets_flags });
            ledger.suspect(Suspect {
                condition: condition(true),
                ..Suspect::at(hop, Cause::Unsampled).called()
            });
            ledger.condition = condition(false);
        }
    }

    /// Calls and messages of which nobody seems to know.
    fn calls(&mut self, ledger: &mut Ledger) {
        let hops = self.hops;
        let open = |(at, hop): (usize, &'a Hop)| {
            (!self.is_taken_up[at] && (hop.is_call || hop.kind == Kind::Producer)).then_some(hop)
        };
        let mut calls: Vec<&Hop> = hops.iter().enumerate().filter_map(open).collect();
        // The innermost first: what was not written within it is not missing in the outer one.
        calls.sort_unstable_by_key(|hop| (hop.end - hop.start, hop.id));
        for call in calls {
            if call.kind == Kind::Producer {
                ledger.message(Call::of(call, self.enters_of(call)));
                continue;
            }
            match self.missing_within(call) {
                Some((at, instance)) if call.is_answered => ledger.suspect(Suspect {
                    from: Some(call.service.clone()),
                    peer: call.peer,
                    is_whole: true,
                    ..Suspect::new(Cause::NotExported, call.trace, at, call.start, instance)
                }),
                // Nobody answered: whoever was asked may have ended in the middle of it.
                Some(_) => ledger.ended_early += u64::from(ledger.is_counting),
                None if call.is_answered => ledger.call(Call::of(call, self.enters_of(call))),
                None => {}
            }
        }
    }

    /// The service, empty if it cannot be told, and the process whose span is missing within `call`; what tells of it
    /// is taken away.
    fn missing_within(&mut self, call: &Hop) -> Option<(Arc<str>, Arc<str>)> {
        let is_within = |time: u64| time + SKEW >= call.start && time <= call.end + SKEW;
        let told = |(service, _): &(Arc<str>, SpanId), told: &&Told| {
            *service != call.service && is_within(told.time)
        };
        let is_part =
            |hop: &&Hop| hop.service != call.service && is_within(hop.start) && hop.end <= call.end + SKEW;
        let ghost =
            self.ghosts.iter().filter(|(key, line)| told(key, line)).min_by_key(|(_, line)| line.time);
        let ghost = ghost.map(|((service, _), line)| (service.clone(), line.instance.clone()));
        let orphan =
            self.orphans.iter().find(|hop| is_part(hop)).map(|hop| match hop.comes_from_elsewhere() {
                // The next but one: the one between them wrote nothing.
                true => ("".into(), "".into()),
                false => (hop.service.clone(), hop.instance.clone()),
            });
        let missing = ghost.or(orphan)?;
        self.ghosts.retain(|key, line| !told(key, line));
        self.orphans.retain(|hop| !is_part(hop));
        Some(missing)
    }

    /// The services through which the trace has come to `call`: it cannot be answered by one of them without going in
    /// a circle.
    fn enters_of(&self, call: &Hop) -> Vec<Arc<str>> {
        let mut services: Vec<Arc<str>> = Vec::new();
        let mut seen = HashSet::new();
        let mut next = Some(call);
        while let Some(hop) = next.filter(|hop| seen.insert(hop.id)) {
            if hop.enters() && hop.service != call.service && services.len() < 16 {
                services.push(hop.service.clone());
            }
            next = hop.parent.and_then(|parent| self.find(parent));
        }
        services
    }

    /// What is missing outside of any call that was written.
    fn left_over(&mut self, ledger: &mut Ledger) {
        let trace = self.hops[0].trace;
        let mut services = HashSet::new();
        let mut ghosts: Vec<_> = self.ghosts.iter().collect();
        ghosts.sort_unstable_by_key(|((service, span), told)| (told.time, service.clone(), *span));
        for ((service, _), told) in ghosts.into_iter().filter(|((service, _), _)| !service.is_empty()) {
            if services.insert(service.clone()) {
                let suspect = Suspect::new(
                    Cause::NotExported,
                    trace,
                    service.clone(),
                    told.time,
                    told.instance.clone(),
                );
                ledger.suspect(Suspect { is_whole: told.sums_up, ..suspect }.called());
            }
        }
        // Lines have told already who is missing, where there are any.
        let is_told = !services.is_empty();
        let mut parents = HashSet::new();
        for hop in self.orphans.iter().filter(|hop| parents.insert(hop.parent)) {
            match hop.comes_from_elsewhere() {
                _ if is_told => {}
                true => ledger.begun(Begun::of(hop, Says::Nothing)),
                // Where no request of its service is there, it is the request that is missing.
                false => {
                    let is_inside =
                        self.hops.iter().any(|other| other.enters() && other.service == hop.service);
                    let suspect = Suspect::at(hop, Cause::NotExported);
                    ledger.suspect(if is_inside { suspect } else { suspect.called() });
                }
            }
        }
    }

    /// Requests with which this trace begins.
    fn begun(&self, told: &[Told], ledger: &mut Ledger) {
        for hop in self.hops.iter().filter(|hop| hop.enters() && hop.parent.is_none()) {
            let of_line = told.iter().find(|told| told.span == Some(hop.id) && told.says != Says::Nothing);
            let says =
                if hop.says == Says::Nothing { of_line.map_or(hop.says, |told| told.says) } else { hop.says };
            ledger.begun(Begun::of(hop, says));
        }
    }
}

/// Whether `child` began before `parent` or after its end, which only clocks that disagree can tell.
fn is_outside(parent: &Hop, child: &Hop) -> bool {
    let is_before = child.start + SKEW < parent.start;
    let is_after = parent.kind == Kind::Client && parent.is_fine && child.start > parent.end + SKEW;
    is_before || is_after
}
