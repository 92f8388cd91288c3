//! What may be broken → what is, with everything known that could explain it.

use std::collections::HashSet;
use std::sync::Arc;

use super::Cause;
use super::ledger::{Ledger, Suspect};
use crate::id::TraceId;

/// A process that has given no sign of life for so many nanoseconds after it left something undone has ended in the middle.
const LAST_SIGN: u64 = 2_000_000_000;
/// So many of the clocks' comparisons must say the same, and at least half of them.
const FEWEST_COMPARISONS: u64 = 3;
/// The service that is not known.
const NOBODY: &str = "(unknown)";

/// What became of the process that left something undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was heard of again, or had finished.
    Alive,
    /// It never was, and others were.
    Ended,
    /// Nobody was: what is read ends there.
    Unknown,
}

/// Settles all suspicions; where it is not the end, only the older half of them.
pub(super) fn suspects(ledger: &mut Ledger, is_end: bool) {
    let mut list = std::mem::take(&mut ledger.suspects);
    list.sort_by(|a, b| (a.time, a.trace, &a.at, a.cause).cmp(&(b.time, b.trace, &b.at, b.cause)));
    let newer = if is_end { Vec::new() } else { list.split_off(list.len() / 2) };
    let latest = ledger.alive.values().map(|(last, _)| *last).max().unwrap_or(0);
    list.retain(|suspect| ledger.holds(&suspect.condition));
    // Who is missing in a trace is missing for those too whom he called.
    let mut missing: HashSet<(TraceId, Arc<str>)> = HashSet::new();
    let mut unknown = Vec::new();
    let (at_entry, others): (Vec<Suspect>, Vec<Suspect>) =
        list.into_iter().partition(|suspect| suspect.is_at_entry);
    for suspect in others.into_iter().chain(at_entry) {
        let (from, at) = hop(ledger, &suspect);
        if suspect.is_at_entry && is_edge(ledger, &at) {
            ledger.findings.outside(&at);
            continue;
        }
        let is_known = |from: &Arc<str>| missing.contains(&(suspect.trace, from.clone()));
        if suspect.is_at_entry && from.as_ref().is_some_and(is_known) {
            continue;
        }
        if suspect.cause == Cause::NotExported {
            missing.insert((suspect.trace, at.clone()));
        }
        match fate(ledger, &suspect, latest) {
            Fate::Alive => ledger.findings.add(suspect.cause, from, at, suspect.time, Some(suspect.trace)),
            Fate::Ended => ledger.ended_early += 1,
            Fate::Unknown => unknown.push((suspect, from, at)),
        }
    }
    for (suspect, from, at) in unknown {
        match ledger.findings.has(suspect.cause, &from, &at) {
            true => ledger.findings.add(suspect.cause, from, at, suspect.time, Some(suspect.trace)),
            false => ledger.ended_early += 1,
        }
    }
    ledger.suspects = newer;
}

/// Settles what is known of clocks.
pub(super) fn clocks(ledger: &mut Ledger) {
    for clock in std::mem::take(&mut ledger.clocks).into_values() {
        if clock.outside >= FEWEST_COMPARISONS && clock.outside * 2 >= clock.pairs {
            let trace = clock.example.map(|(_, trace)| trace);
            ledger.findings.add(Cause::Clock, Some(clock.from.clone()), clock.at.clone(), clock.first, trace);
            ledger.findings.more(Cause::Clock, Some(clock.from), clock.at, clock.outside - 1, clock.last);
        }
    }
}

/// Where requests come in: hardly any of them comes from a span that was written.
fn is_edge(ledger: &Ledger, service: &str) -> bool {
    ledger.entries.get(service).is_some_and(|entries| entries.from_inside * 10 <= entries.requests)
}

/// What became of the process that left something undone; `latest` is when anybody was heard of last.
fn fate(ledger: &Ledger, suspect: &Suspect, latest: u64) -> Fate {
    if suspect.is_whole || suspect.cause != Cause::NotExported {
        return Fate::Alive;
    }
    let until = suspect.time.saturating_add(LAST_SIGN);
    let ended = if latest <= until { Fate::Unknown } else { Fate::Ended };
    let is_over = match suspect.is_at_entry {
        false => ledger.alive.get(&suspect.instance).is_some_and(|(last, _)| *last <= until),
        // The caller wrote nothing: one of its processes ended then.
        true => caller(ledger, &suspect.at).is_some_and(|caller| {
            let is_then = |last: u64| last <= until && last.saturating_add(LAST_SIGN) >= suspect.time;
            ledger.alive.values().any(|(last, service)| *service == caller && is_then(*last))
        }),
    };
    if is_over { ended } else { Fate::Alive }
}

/// Who called whom.
fn hop(ledger: &Ledger, suspect: &Suspect) -> (Option<Arc<str>>, Arc<str>) {
    if let Some(at) = outermost(ledger, &suspect.among) {
        return (None, at);
    }
    let at = match suspect.at.is_empty() {
        false => suspect.at.clone(),
        true => suspect
            .from
            .as_ref()
            .and_then(|from| callee(ledger, from, suspect.peer))
            .unwrap_or_else(|| NOBODY.into()),
    };
    let from = match suspect.is_from_elsewhere {
        true => caller(ledger, &at),
        false => suspect.from.clone(),
    };
    (from, at)
}

/// Of some services the one that is called least by others.
fn outermost(ledger: &Ledger, services: &[Arc<str>]) -> Option<Arc<str>> {
    let inside = |service: &&Arc<str>| {
        let entries = ledger.entries.get(*service).copied().unwrap_or_default();
        (entries.from_inside.saturating_mul(1000) / entries.requests.max(1), Arc::clone(service))
    };
    services.iter().min_by_key(inside).cloned()
}

/// Who mostly calls `service`.
fn caller(ledger: &Ledger, service: &str) -> Option<Arc<str>> {
    let calls = ledger.hops.iter().filter(|((from, at), _)| **at == *service && from != at);
    calls.max_by_key(|((from, _), (count, _))| (*count, from.clone())).map(|((from, _), _)| from.clone())
}

/// Who mostly answers `service` at `peer`, else anywhere.
fn callee(ledger: &Ledger, service: &Arc<str>, peer: u64) -> Option<Arc<str>> {
    let there = ledger.peers.get(&(service.clone(), peer));
    let most = there.and_then(|known| known.iter().max_by_key(|(name, count)| (**count, Arc::clone(name))));
    let anywhere = || {
        let calls = ledger.hops.iter().filter(|((from, at), _)| from == service && from != at);
        calls.max_by_key(|((_, at), (count, _))| (*count, at.clone())).map(|((_, at), _)| at.clone())
    };
    most.map(|(name, _)| name.clone()).or_else(anywhere)
}
