//! One trace → what is whole in it, and what is missing.
//!
//! What another trace or the rest of the files may explain is not decided here: it goes into the [`Ledger`].

use std::collections::{BTreeMap, HashMap, HashSet};
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
/// So many services, and so many spans of each, are looked at for what is missing within one call.
const MOST_LOOKS: usize = 256;
/// So far up from a call it is looked through which services the trace came.
const MOST_LEVELS: usize = 256;

/// Of each service, by time.
type ByTime<'a, T> = BTreeMap<Arc<str>, BTreeMap<(u64, SpanId), &'a T>>;

/// A trace that is being judged.
struct Trace<'a> {
    /// Sorted by their ids, each id once.
    hops: &'a [Hop],
    /// Whether somebody else's span, or a further call, stands below the one with this index.
    is_taken_up: Vec<bool>,
    /// Spans that lines name and that were never written.
    ghosts: ByTime<'a, Told>,
    /// Spans whose parent was never written, by their beginnings.
    orphans: ByTime<'a, Hop>,
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
        let mut lines = HashMap::new();
        for told in told {
            let Some(span) = told.span.filter(|span| find(*span).is_none()) else { continue };
            lines.insert((told.service.clone(), span), told);
        }
        let mut ghosts = ByTime::new();
        for ((service, span), told) in lines {
            ghosts.entry(service).or_default().insert((told.time, span), told);
        }
        let mut orphans = ByTime::new();
        for hop in hops.iter().filter(|hop| hop.parent.is_some_and(|parent| find(parent).is_none())) {
            orphans.entry(hop.service.clone()).or_default().insert((hop.start, hop.id), hop);
        }
        Self { hops, is_taken_up, ghosts, orphans }
    }

    fn find(&self, id: SpanId) -> Option<&'a Hop> {
        self.hops.binary_search_by_key(&id, |hop| hop.id).ok().map(|at| &self.hops[at])
    }

    /// Spans whose parent was never written, in the order of their beginnings.
    fn orphans(&self) -> Vec<&'a Hop> {
        let mut orphans: Vec<&Hop> = self.orphans.values().flat_map(|hops| hops.values().copied()).collect();
        orphans.sort_unstable_by_key(|hop| (hop.start, hop.id));
        orphans
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
        for hop in self.orphans().iter().filter(is_unsampled).filter(|hop| services.insert(&hop.service)) {
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
        calls.sort_unstable_by_key(|hop| (hop.end.saturating_sub(hop.start), hop.id));
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
        let (from, until) = (call.start.saturating_sub(SKEW), call.end.saturating_add(SKEW));
        let others = |service: &Arc<str>| *service != call.service;
        let ghost = self.ghosts.iter().filter(|(service, _)| others(service)).take(MOST_LOOKS);
        let ghost = ghost.filter_map(|(_, lines)| within(lines, from, until).next());
        let ghost = ghost.min_by_key(|(at, line)| (at.0, line.service.clone()));
        let ghost = ghost.map(|(_, line)| (line.service.clone(), line.instance.clone()));
        let is_over = |hop: &Hop| hop.end <= until;
        let first = |hops| within(hops, from, until).take(MOST_LOOKS).find(|(_, hop)| is_over(hop));
        let orphan = || {
            let hops = self.orphans.iter().filter(|(service, _)| others(service)).take(MOST_LOOKS);
            let (_, hop) = hops.filter_map(|(_, hops)| first(hops)).min_by_key(|(at, _)| *at)?;
            Some(match hop.comes_from_elsewhere() {
                // The next but one: the one between them wrote nothing.
                true => ("".into(), "".into()),
                false => (hop.service.clone(), hop.instance.clone()),
            })
        };
        let missing = ghost.or_else(orphan)?;
        take_away(&mut self.ghosts, call, usize::MAX, |_| true);
        take_away(&mut self.orphans, call, MOST_LOOKS, is_over);
        Some(missing)
    }

    /// The services through which the trace has come to `call`: it cannot be answered by one of them without going in
    /// a circle.
    fn enters_of(&self, call: &Hop) -> Vec<Arc<str>> {
        let mut services: Vec<Arc<str>> = Vec::new();
        let mut seen = HashSet::new();
        let mut next = Some(call);
        while let Some(hop) = next.filter(|hop| seen.len() < MOST_LEVELS && seen.insert(hop.id)) {
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
        let first = |(service, lines): (&Arc<str>, &BTreeMap<_, &'a Told>)| {
            lines.first_key_value().map(|(at, told)| (*at, service.clone(), *told))
        };
        let mut ghosts: Vec<_> = self.ghosts.iter().filter_map(first).collect();
        ghosts.sort_unstable_by_key(|((time, span), service, _)| (*time, service.clone(), *span));
        for (_, service, told) in ghosts.into_iter().filter(|(_, service, _)| !service.is_empty()) {
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
        let entered: HashSet<&Arc<str>> =
            self.hops.iter().filter(|hop| hop.enters()).map(|hop| &hop.service).collect();
        for hop in self.orphans().into_iter().filter(|hop| parents.insert(hop.parent)) {
            match hop.comes_from_elsewhere() {
                _ if is_told => {}
                true => ledger.begun(Begun::of(hop, Says::Nothing)),
                // Where no request of its service is there, it is the request that is missing.
                false => {
                    let is_inside = entered.contains(&hop.service);
                    let suspect = Suspect::at(hop, Cause::NotExported);
                    ledger.suspect(if is_inside { suspect } else { suspect.called() });
                }
            }
        }
    }

    /// Requests with which this trace begins.
    fn begun(&self, told: &[Told], ledger: &mut Ledger) {
        let mut of_lines = HashMap::new();
        for told in told.iter().filter(|told| told.says != Says::Nothing) {
            of_lines.entry(told.span).or_insert(told.says);
        }
        for hop in self.hops.iter().filter(|hop| hop.enters() && hop.parent.is_none()) {
            let of_line = of_lines.get(&Some(hop.id)).copied().unwrap_or(hop.says);
            let says = if hop.says == Says::Nothing { of_line } else { hop.says };
            ledger.begun(Begun::of(hop, says));
        }
    }
}

/// Those between two moments.
fn within<'m, 'a, T>(
    by_time: &'m BTreeMap<(u64, SpanId), &'a T>,
    from: u64,
    until: u64,
) -> impl Iterator<Item = ((u64, SpanId), &'a T)> + 'm {
    let first = by_time.range((from, SpanId::LEAST)..);
    first.take_while(move |(at, _)| at.0 <= until).map(|(at, what)| (*at, *what))
}

/// Takes away those within `call` that others than its service wrote; looks at no more than `most` of each service.
fn take_away<T>(list: &mut ByTime<'_, T>, call: &Hop, most: usize, is_part: impl Fn(&T) -> bool) {
    let (from, until) = (call.start.saturating_sub(SKEW), call.end.saturating_add(SKEW));
    for (_, by_time) in list.iter_mut().filter(|(service, _)| **service != call.service).take(MOST_LOOKS) {
        let gone = within(by_time, from, until).take(most).filter(|(_, what)| is_part(what));
        for at in gone.map(|(at, _)| at).collect::<Vec<_>>() {
            by_time.remove(&at);
        }
    }
    list.retain(|_, by_time| !by_time.is_empty());
}

/// Whether `child` began before `parent` or after its end, which only clocks that disagree can tell.
fn is_outside(parent: &Hop, child: &Hop) -> bool {
    let is_before = child.start.saturating_add(SKEW) < parent.start;
    let is_after =
        parent.kind == Kind::Client && parent.is_fine && child.start > parent.end.saturating_add(SKEW);
    is_before || is_after
}
