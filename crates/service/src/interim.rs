//! Interim responses (1xx, RFC 9110 §15.2) on their way to the client: a request's end, [`Interim`], takes them; the
//! connection's end, [`Outlet`], writes them. hyper's server takes none from a service, so that they go past it.
//!
//! Promises: one is written only after all that the connection was given before, and before the answer to its own
//! request; what cannot be is dropped, which is nobody's loss: an interim response is never the answer. One request
//! has at most [`MOST`] of them, of [`MOST_BYTES`] together, however slowly its client reads.
//! Refuses: 100 and 101, which are between neighbours; HTTP/1.0, which knows none (no such request has an `Interim`);
//! HTTP/2, whose connections hyper writes to in frames of its own.

use std::{
    io::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// The most interim responses to one request.
const MOST: u32 = 16;

/// The most bytes of all interim responses to one request.
const MOST_BYTES: usize = 16 << 10;

/// Takes the interim responses to one request, at most 16 and 16 KiB of them; in its extensions, where its client can be
/// sent any.
#[derive(Clone, Debug)]
pub struct Interim {
    outlet: Arc<Outlet>,
    turn: u64,
}

impl Interim {
    /// Has it written with the fields given, which must be none of a single connection's (RFC 9110 §7.6.1), and none
    /// that says how long a body is. Dropped when the request has its answer, when it has had too many, or where the
    /// status is 100, 101 or none of an interim response.
    pub fn send(&self, status: StatusCode, fields: &HeaderMap) {
        if !(102..200).contains(&status.as_u16()) {
            return;
        }
        let mut queue = self.outlet.queue();
        if self.outlet.turn.load(Relaxed) != self.turn {
            return;
        }
        if queue.turn != self.turn {
            *queue = Queue { turn: self.turn, waker: queue.waker.take(), ..Queue::default() };
        }
        let head = head(status, fields);
        if queue.taken == MOST || queue.taken_bytes + head.len() > MOST_BYTES {
            return;
        }
        queue.taken += 1;
        queue.taken_bytes += head.len();
        queue.heads.extend_from_slice(&head);
        self.outlet.waits.store(true, Relaxed);
        if let Some(waker) = &queue.waker {
            waker.wake_by_ref();
        }
    }
}

/// What waits to be written on one connection. Its requests follow one another; only the current one's are written.
///
/// Atomic, and with a lock, because a request's end may be anywhere; the connection's is in one task. Without an
/// interim response nothing here takes the lock.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    /// Odd while a request is being served, and another number for each.
    turn: AtomicU64,
    waits: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whose heads these are.
    turn: u64,
    heads: Vec<u8>,
    /// Of this turn so far, written or not.
    taken: u32,
    taken_bytes: usize,
    waker: Option<Waker>,
}

impl Outlet {
    /// The connection's task, which is woken when there is something to write.
    pub(crate) fn wake_by(&self, waker: &Waker) {
        self.queue().waker = Some(waker.clone());
    }

    /// The next request's turn.
    pub(crate) fn begin(self: &Arc<Self>) -> Interim {
        let turn = (self.turn.load(Relaxed) + 1) | 1;
        self.turn.store(turn, Relaxed);
        Interim { outlet: self.clone(), turn }
    }

    /// The request has its answer: nothing may be written before that any more.
    pub(crate) fn answered(&self) {
        // From odd to even; what is even stays.
        self.turn.store((self.turn.load(Relaxed) + 1) & !1, Relaxed);
    }

    /// Whether there may be something to write.
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Relaxed)
    }

    /// What is to be written now, whole heads; empty when it has come too late.
    pub(crate) fn take(&self) -> Bytes {
        let mut queue = self.queue();
        self.waits.store(false, Relaxed);
        let heads = std::mem::take(&mut queue.heads);
        if queue.turn == self.turn.load(Relaxed) { heads.into() } else { Bytes::new() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Whole after every step: a panic elsewhere spoils nothing.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A head as it is written (RFC 9112 §4). No name and no value can hold the end of a line: their types see to that.
fn head(status: StatusCode, fields: &HeaderMap) -> Vec<u8> {
    let mut head = Vec::with_capacity(64 + 64 * fields.len());
    let reason = status.canonical_reason().unwrap_or_default();
    write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_str()).expect("memory takes every write");
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    fn hint(interim: &Interim) {
        interim.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
    }

    const HINT: &[u8] = b"HTTP/1.1 103 Early Hints\r\n\r\n";

    #[test]
    fn a_head_is_written_line_by_line_in_its_order() {
        let check = |status: u16, lines: &[(&'static str, &'static str)], expected: &str| {
            let outlet = Arc::new(Outlet::default());
            outlet.begin().send(StatusCode::from_u16(status).expect("a status"), &fields(lines));
            assert_eq!(outlet.take(), expected, "{status} {lines:?}");
        };
        let links = [("link", "</a>; rel=preload"), ("x", ""), ("link", "</b>; rel=preload")];
        let written =
            "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nlink: </b>; rel=preload\r\nx: \r\n\r\n";
        check(103, &links, written);
        check(102, &[], "HTTP/1.1 102 Processing\r\n\r\n");
        check(199, &[], "HTTP/1.1 199 \r\n\r\n");
        for status in [100, 101, 200, 304] {
            check(status, &[], "");
        }
    }

    #[test]
    fn what_comes_outside_its_requests_turn_is_dropped() {
        let outlet = Arc::new(Outlet::default());
        let first = outlet.begin();
        hint(&first);
        assert_eq!(outlet.take(), HINT);
        hint(&first);
        outlet.answered();
        assert_eq!(outlet.take(), "", "it waited when the answer was given");
        hint(&first);
        assert!(!outlet.waits(), "after the answer");
        outlet.answered();
        let second = outlet.begin();
        hint(&first);
        assert!(!outlet.waits(), "in another's turn");
        hint(&second);
        assert_eq!(outlet.take(), HINT);
        let third = outlet.begin();
        hint(&second);
        assert!(!outlet.waits(), "the one before was never answered");
        hint(&third);
        assert_eq!(outlet.take(), HINT);
    }

    #[test]
    fn one_request_has_only_so_many_and_the_next_as_many_again() {
        let outlet = Arc::new(Outlet::default());
        for _ in 0..2 {
            let interim = outlet.begin();
            let mut written = 0;
            for _ in 0..1000 {
                hint(&interim);
                written += outlet.take().len() / HINT.len();
            }
            assert_eq!(written, MOST as usize);
            outlet.answered();
        }
        let interim = outlet.begin();
        let long = HeaderMap::from_iter([(
            http::header::LINK,
            HeaderValue::from_bytes(&vec![b'x'; MOST_BYTES / 3]).expect("a value"),
        )]);
        (0..1000).for_each(|_| interim.send(StatusCode::EARLY_HINTS, &long));
        let waiting = outlet.take().len();
        assert!(waiting > MOST_BYTES / 2 && waiting <= MOST_BYTES, "{waiting}");
    }
}
