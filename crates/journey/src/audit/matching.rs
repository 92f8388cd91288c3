//! Calls of which nobody tells × traces that nobody has called for → contexts that were lost on the way.
//!
//! A request that begins a trace belongs to the call that it is linked to, or else to one that asked for the same at the
//! same time. That alone could be chance: a hop is named only where such requests go elsewhere too, or where most of
//! what was called for began a trace of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Cause;
use super::hop::Says;
use super::ledger::{Begun, Call, Ledger, Suspect};
use crate::span::Kind;

/// The clocks of caller and called may disagree by so much, in nanoseconds.
const SLACK: u64 = 50_000_000;
/// A message that nobody took up for so long is not looked for any more: an hour.
const LONGEST_WAIT: u64 = 3_600_000_000_000;
/// So many are looked at for one that is called for: beyond that, which one it was is chance anyway.
const MOST_LOOKS: usize = 256;

type Pair = (Arc<str>, Arc<str>);

/// Matches what is there and forgets it: all of it at the end, else the older half.
pub(super) fn run(ledger: &mut Ledger, is_end: bool) {
    let (mut calls, later_calls) = older(std::mem::take(&mut ledger.calls), is_end, |call| call.start);
    let (messages, later_messages) =
        older(std::mem::take(&mut ledger.messages), is_end, |message| message.start);
    let (begun, later_begun) = older(std::mem::take(&mut ledger.begun), is_end, |begun| begun.start);
    ledger.calls = later_calls;
    ledger.messages = later_messages;
    ledger.begun = later_begun;

    calls.retain(|call| ledger.holds(&call.condition));
    let mut is_taken = vec![false; begun.len()];
    let mut is_silent = vec![true; calls.len()];
    parents(&calls, &messages, &begun, &mut is_taken, &mut is_silent);
    linked(&calls, &begun, &mut is_taken, &mut is_silent, ledger);
    at_the_same_time(&calls, &begun, &mut is_taken, &mut is_silent, ledger);
    of_messages(&messages, &begun, &mut is_taken, ledger);
    silent(calls.iter().zip(&is_silent).filter(|(_, is_silent)| **is_silent).map(|(call, _)| call), ledger);
    for begun in begun.iter().zip(&is_taken).filter(|(_, is_taken)| !**is_taken).map(|(begun, _)| begun) {
        if begun.parent.is_some() {
            orphan(begun, ledger);
        } else if let Some(entries) = ledger.entries.get_mut(&begun.service) {
            let is_refused = begun.says != Says::Nothing || begun.link.is_some();
            entries.refused += u64::from(is_refused && begun.kind == Kind::Server && begun.is_counted);
        }
    }
}

/// Sorted by time; the older half apart from the newer one, or all of it.
fn older<T>(mut list: Vec<T>, is_all: bool, time: impl Fn(&T) -> u64) -> (Vec<T>, Vec<T>) {
    list.sort_by_key(&time);
    let at = if is_all { list.len() } else { list.len() / 2 };
    let newer = list.split_off(at);
    (list, newer)
}

/// Requests of calls in an earlier or later part of the same trace: it came in parts.
fn parents(
    calls: &[Call],
    messages: &[Call],
    begun: &[Begun],
    is_taken: &mut [bool],
    is_silent: &mut [bool],
) {
    if begun.iter().all(|begun| begun.parent.is_none()) {
        return;
    }
    let ids = |list: &[Call]| -> HashMap<_, usize> {
        list.iter().enumerate().map(|(at, call)| ((call.trace, call.id), at)).collect()
    };
    let (calls, messages) = (ids(calls), ids(messages));
    for (at, begun) in begun.iter().enumerate() {
        let Some(id) = begun.parent.map(|parent| (begun.trace, parent)) else { continue };
        is_taken[at] = messages.contains_key(&id);
        if let Some(call) = calls.get(&id) {
            (is_taken[at], is_silent[*call]) = (true, false);
        }
    }
}

/// A request whose parent is nowhere.
fn orphan(begun: &Begun, ledger: &mut Ledger) {
    let suspect = Suspect::new(
        Cause::NotExported,
        begun.trace,
        begun.service.clone(),
        begun.start,
        begun.instance.clone(),
    );
    let condition = begun.condition.clone();
    ledger.accuse(Suspect { is_at_entry: true, condition, ..suspect }.called(), begun.is_counted);
}

/// Requests that are linked to the call that they come from: whoever got them did not believe it.
fn linked(
    calls: &[Call],
    begun: &[Begun],
    is_taken: &mut [bool],
    is_silent: &mut [bool],
    ledger: &mut Ledger,
) {
    let by_id: HashMap<_, usize> =
        calls.iter().enumerate().map(|(at, call)| ((call.trace, call.id), at)).collect();
    for (at, begun) in begun.iter().enumerate().filter(|(_, begun)| begun.kind == Kind::Server) {
        let Some(call) = begun.link.and_then(|link| by_id.get(&link)) else { continue };
        if calls[*call].service != begun.service {
            (is_taken[at], is_silent[*call]) = (true, false);
            accuse(&calls[*call], begun, Cause::NotTrusted, ledger);
        }
    }
}

/// Requests that asked for the same while the call went on.
fn at_the_same_time(
    calls: &[Call],
    begun: &[Begun],
    is_taken: &mut [bool],
    is_silent: &mut [bool],
    ledger: &mut Ledger,
) {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let mut is_used = is_taken.to_vec();
    for (number, call) in calls.iter().enumerate().filter(|(number, _)| is_silent[*number]) {
        let first = begun.partition_point(|begun| begun.start.saturating_add(SLACK) < call.start);
        let within = begun[first..].iter().take_while(|begun| begun.start <= call.end).take(MOST_LOOKS);
        let fits = |(at, begun): &(usize, &Begun)| {
            !is_used[first + at]
                && begun.parent.is_none()
                && begun.kind == Kind::Server
                && begun.service != call.service
                && begun.end <= call.end.saturating_add(SLACK)
                && begun.asked.may_be(call.asked)
                && !call.came_by.contains(&begun.service)
        };
        // The one that begins nearest to the call's beginning.
        let nearest =
            within.enumerate().filter(fits).min_by_key(|(_, begun)| begun.start.abs_diff(call.start));
        if let Some((at, _)) = nearest {
            is_used[first + at] = true;
            pairs.push((number, first + at));
        }
    }
    let is_likely = likely(&pairs, calls, begun, is_silent, ledger);
    for (number, at) in pairs {
        if is_likely.contains(&(calls[number].service.clone(), begun[at].service.clone())) {
            (is_taken[at], is_silent[number]) = (true, false);
            let cause = match begun[at].says {
                Says::Malformed => Cause::Malformed,
                Says::NotTrusted => Cause::NotTrusted,
                Says::Nothing => Cause::NotForwarded,
            };
            accuse(&calls[number], &begun[at], cause, ledger);
        }
    }
}

/// The hops that matches cannot have made up: known ones, and those that account for most of the calls of one side, or of
/// the requests of the other.
fn likely(
    pairs: &[(usize, usize)],
    calls: &[Call],
    begun: &[Begun],
    is_silent: &[bool],
    ledger: &Ledger,
) -> HashSet<Pair> {
    let mut matched: HashMap<Pair, usize> = HashMap::new();
    for (number, at) in pairs {
        *matched.entry((calls[*number].service.clone(), begun[*at].service.clone())).or_default() += 1;
    }
    let (mut made, mut got): (HashMap<_, usize>, HashMap<_, usize>) = Default::default();
    for (call, _) in calls.iter().zip(is_silent).filter(|(_, is_silent)| **is_silent) {
        *made.entry(&call.service).or_default() += 1;
    }
    for begun in begun.iter().filter(|begun| begun.parent.is_none()) {
        *got.entry(&begun.service).or_default() += 1;
    }
    let is_likely = |pair: &Pair, count: usize| {
        let is_most_of = |all: Option<&usize>| count * 2 >= all.copied().unwrap_or(0);
        ledger.hops.contains_key(pair) || is_most_of(made.get(&pair.0)) || is_most_of(got.get(&pair.1))
    };
    matched.into_iter().filter(|(pair, count)| is_likely(pair, *count)).map(|(pair, _)| pair).collect()
}

/// Messages that were taken up under traces of their own: a later attempt is linked to the first, this is not.
fn of_messages(messages: &[Call], begun: &[Begun], is_taken: &mut [bool], ledger: &mut Ledger) {
    let mut is_used = vec![false; messages.len()];
    let mut by_which: HashMap<u64, Vec<usize>> = HashMap::new();
    for (number, message) in messages.iter().enumerate() {
        by_which.entry(message.asked.which).or_default().push(number);
    }
    for (at, begun) in begun.iter().enumerate() {
        if begun.kind != Kind::Consumer || begun.link.is_some() || begun.parent.is_some() {
            continue;
        }
        let until = messages.partition_point(|message| message.start <= begun.start.saturating_add(SLACK));
        let fits = |number: &usize| {
            let message = &messages[*number];
            let is_same = begun.asked.which != 0 && begun.asked.which == message.asked.which;
            let is_alike = begun.asked.what != 0 && begun.asked.what == message.asked.what;
            !is_used[*number]
                && begun.start.saturating_sub(message.start) <= LONGEST_WAIT
                && (is_same || is_alike)
                && begun.asked.may_be(message.asked)
        };
        let latest = |which: u64| {
            let list = by_which.get(&which)?;
            let until = list.partition_point(|number| *number < until);
            list[..until].iter().rev().take(MOST_LOOKS).copied().find(fits)
        };
        // The message itself, where ids tell, may be far back.
        let found = match begun.asked.which {
            0 => (0..until).rev().take(MOST_LOOKS).find(fits),
            which => latest(which).max(latest(0)),
        };
        if let Some(number) = found {
            (is_used[number], is_taken[at]) = (true, true);
            let cause = if begun.says == Says::Malformed { Cause::Malformed } else { Cause::NotForwarded };
            accuse(&messages[number], begun, cause, ledger);
        }
    }
}

/// Calls that somebody has answered of whom there is no sign, although whoever answers there leaves signs elsewhere.
fn silent<'c>(calls: impl Iterator<Item = &'c Call>, ledger: &mut Ledger) {
    let fine: Vec<&Call> = calls.filter(|call| call.is_fine).collect();
    let mut counts: HashMap<(Arc<str>, u64), u64> = HashMap::new();
    for call in &fine {
        *counts.entry((call.service.clone(), call.peer)).or_default() += 1;
    }
    for call in fine {
        let key = (call.service.clone(), call.peer);
        let Some(known) = ledger.peers.get(&key) else { continue };
        if known.values().sum::<u64>() < counts[&key] {
            continue;
        }
        let Some((at, _)) = known.iter().max_by_key(|(name, count)| (**count, Arc::clone(name))) else {
            continue;
        };
        let suspect = Suspect {
            from: Some(call.service.clone()),
            is_whole: true,
            ..Suspect::new(Cause::NotExported, call.trace, at.clone(), call.start, at.clone())
        };
        ledger.accuse(suspect, call.is_counted);
    }
}

fn accuse(call: &Call, begun: &Begun, cause: Cause, ledger: &mut Ledger) {
    let suspect = Suspect {
        from: Some(call.service.clone()),
        is_whole: true,
        ..Suspect::new(cause, call.trace, begun.service.clone(), begun.start, begun.service.clone())
    };
    // Which of them is in the range, the beginning decides.
    ledger.accuse(suspect, call.is_counted);
}
