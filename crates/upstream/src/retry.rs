//! Whether a request may be sent a second time, and whether there is budget for it.
//!
//! It may where nothing was written, or where it is idempotent (RFC 9110 §9.2.2) and can be written again whole. An
//! answer is tried again only when its replica speaks for itself (no `Proxy-Status`: another proxy has done what can be
//! done) and has not asked to be left alone (no `Retry-After`).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use http::{HeaderMap, Method, StatusCode, header};

use crate::proxy_status::PROXY_STATUS;

/// How an attempt ended that might be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Not a byte was written.
    Unsent,
    /// The replica is gone, or the connection was stale: the connection ended before an answer began.
    Lost,
    /// No answer in time.
    TimedOut,
    /// What came was no answer.
    Broken,
    /// A gateway's kind of error, as an answer of the replica itself.
    Refused(StatusCode),
}

impl Ended {
    /// `throughline.retry_reason`.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Ended::Unsent => "connect",
            Ended::Lost => "connection_lost",
            Ended::TimedOut => "timeout",
            Ended::Broken => "bad_response",
            Ended::Refused(StatusCode::BAD_GATEWAY) => "502",
            Ended::Refused(StatusCode::GATEWAY_TIMEOUT) => "504",
            Ended::Refused(_) => "503",
        }
    }

    /// Whether a further attempt adds work to a next hop that may have too much of it already. A lost connection or an
    /// unsent request does not: that work is not being done anywhere.
    fn adds_load(self) -> bool {
        !matches!(self, Ended::Unsent | Ended::Lost)
    }
}

/// What decides beside how the attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Attempts made so far, and the most that are.
    pub(crate) made: u32,
    pub(crate) most: u32,
    pub(crate) idempotent: bool,
    /// Whether the request's body, if it has one, can be written again.
    pub(crate) repeatable: bool,
    /// No replica is in good standing: fail soon.
    pub(crate) panic: bool,
}

pub(crate) fn may_repeat(ended: Ended, facts: Facts) -> bool {
    let safe = ended == Ended::Unsent || facts.idempotent;
    let hopeless = facts.panic && ended.adds_load();
    facts.made < facts.most && facts.repeatable && safe && !hopeless
}

/// RFC 9110 §9.2.2.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// Whether an answer is its replica's own way to say that it cannot serve now.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap) -> Option<Ended> {
    let gateway = matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    let own = !headers.contains_key(PROXY_STATUS) && !headers.contains_key(header::RETRY_AFTER);
    (gateway && own).then_some(Ended::Refused(status))
}

/// Keeps attempts that add load within a fifth of the requests, so that a next hop in trouble is not made worse. What
/// was not used is saved, so that all that were at a replica which freezes can go elsewhere at once; when nothing is
/// left, a repetition is allowed still while fewer than three others are under way.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// Fifths of a repetition.
    saved: AtomicU32,
    /// Requests being repeated.
    repeating: AtomicU32,
}

/// What a repetition costs; every request adds one.
const PRICE: u32 = 5;
/// As many repetitions as there are requests in flight at one replica by default.
const MOST_SAVED: u32 = 256 * PRICE;
const ALWAYS: u32 = 3;

impl Budget {
    /// One more request.
    pub(crate) fn serve(&self) {
        // Two threads at once may save one fifth too much: it is spent like any other.
        if self.saved.load(Relaxed) < MOST_SAVED {
            self.saved.fetch_add(1, Relaxed);
        }
    }

    /// Leave to repeat, until the guard is dropped. `Some(None)`: without using up the budget.
    pub(crate) fn repeat(&self, ended: Ended) -> Option<Option<Counted<'_>>> {
        if !ended.adds_load() {
            return Some(None);
        }
        let repeating = self.repeating.fetch_add(1, Relaxed);
        let counted = Counted(&self.repeating);
        let spend = |saved: u32| saved.checked_sub(PRICE);
        let saved = self.saved.fetch_update(Relaxed, Relaxed, spend).is_ok();
        (saved || repeating < ALWAYS).then_some(Some(counted))
    }
}

/// Takes itself off its count when dropped.
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a AtomicU32);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Facts = Facts { made: 1, most: 3, idempotent: true, repeatable: true, panic: false };
    const POST: Facts = Facts { idempotent: false, ..GET };
    const REFUSED: Ended = Ended::Refused(StatusCode::SERVICE_UNAVAILABLE);

    #[test]
    fn only_what_is_safe_is_repeated() {
        let check =
            |ended, facts, expected| assert_eq!(may_repeat(ended, facts), expected, "{ended:?} {facts:?}");
        for ended in [Ended::Unsent, Ended::Lost, Ended::TimedOut, Ended::Broken, REFUSED] {
            check(ended, GET, true);
            check(ended, Facts { made: 3, ..GET }, false);
            check(ended, Facts { repeatable: false, ..GET }, false);
            check(ended, POST, ended == Ended::Unsent);
        }
        check(Ended::Unsent, Facts { panic: true, ..GET }, true);
        check(Ended::Lost, Facts { panic: true, ..GET }, true);
        check(Ended::TimedOut, Facts { panic: true, ..GET }, false);
        check(REFUSED, Facts { panic: true, ..GET }, false);
    }

    #[test]
    fn an_answer_is_repeated_only_when_its_replica_speaks_for_itself() {
        let check = |status: u16, fields: &[&'static str], expected: bool| {
            let status = StatusCode::from_u16(status).expect("a status");
            let value = http::HeaderValue::from_static("1");
            let headers: HeaderMap =
                fields.iter().map(|name| (http::HeaderName::from_static(name), value.clone())).collect();
            assert_eq!(refusal(status, &headers).is_some(), expected, "{status} {fields:?}");
        };
        for status in [502, 503, 504] {
            check(status, &[], true);
            check(status, &["proxy-status"], false);
            check(status, &["retry-after"], false);
        }
        for status in [200, 404, 429, 500, 501] {
            check(status, &[], false);
        }
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_repeated_and_always_three_at_a_time() {
        let check = |served: u32, expected: usize| {
            let budget = Budget::default();
            (0..served).for_each(|_| budget.serve());
            let mut held = Vec::new();
            while let Some(leave) = budget.repeat(REFUSED) {
                held.push(leave);
            }
            assert_eq!(held.len(), expected, "after {served} requests");
            assert!(budget.repeat(Ended::Unsent).is_some(), "what adds no load is free");
            drop(held);
            assert!(budget.repeat(REFUSED).is_some(), "the three are given back");
        };
        check(0, 3);
        check(4, 3);
        check(5, 3);
        check(20, 4);
        check(100, 20);
        check(1_000_000, 256);
    }
}
