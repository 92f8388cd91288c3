//! Where a connection stands, and until when it may stay there.
//!
//! hyper's own `header_read_timeout` runs from the end of the last answer, so that an idle connection would be
//! closed as if its client were slow. Here the two are apart: an idle connection may wait for `keep_alive_timeout`,
//! a head must be complete within `header_timeout` of its first byte.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

use tokio::time::Instant;

use crate::Limits;

/// What happens on a connection, told by its socket and its service. All on one thread: atomic only because a
/// connection's future must be `Send`.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Bytes have come since the last request began.
    bytes: AtomicBool,
    in_flight: AtomicU32,
    served: AtomicU32,
    http2: AtomicBool,
    /// The client does not take in what is being sent.
    writing: AtomicBool,
    farewell: AtomicU8,
}

impl Seen {
    pub(super) fn bytes(&self) {
        self.bytes.store(true, Relaxed);
    }

    pub(super) fn request_begins(&self, version: http::Version) {
        self.bytes.store(false, Relaxed);
        self.in_flight.store(self.in_flight.load(Relaxed) + 1, Relaxed);
        self.served.store(self.served.load(Relaxed).wrapping_add(1), Relaxed);
        if version == http::Version::HTTP_2 {
            self.http2.store(true, Relaxed);
        }
    }

    pub(super) fn request_ends(&self) {
        self.bytes.store(false, Relaxed);
        self.in_flight.store(self.in_flight.load(Relaxed) - 1, Relaxed);
    }

    pub(super) fn writing(&self, waits: bool) {
        self.writing.store(waits, Relaxed);
    }

    pub(super) fn take_leave(&self, farewell: Farewell) {
        self.farewell.store(farewell as u8, Relaxed);
    }

    pub(super) fn farewell(&self) -> Farewell {
        let known = [Farewell::Gentle, Farewell::None, Farewell::TooSlow];
        known[usize::from(self.farewell.load(Relaxed))]
    }

    pub(super) fn phase(&self) -> Phase {
        if self.in_flight.load(Relaxed) > 0 || self.writing.load(Relaxed) {
            Phase::Serving
        } else if self.bytes.load(Relaxed) && !self.http2.load(Relaxed) {
            Phase::Head
        } else if self.served.load(Relaxed) == 0 {
            Phase::Fresh
        } else {
            // HTTP/2 sends frames of its own (settings, pings) between requests: they are no head.
            Phase::Idle
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has come yet.
    Fresh,
    /// Between two requests.
    Idle,
    /// Part of a head has come.
    Head,
    /// At least one request is being served, or its answer not yet taken in.
    Serving,
}

/// What a connection that we end still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Reads on for a moment.
    Gentle,
    /// Nothing: it was idle.
    None,
    /// Answers 408 and reads on for a moment.
    TooSlow,
}

/// Since when a connection stands where it stands.
#[derive(Debug)]
pub(super) struct Pace {
    phase: Phase,
    served: u32,
    since: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { phase: Phase::Fresh, served: 0, since: now }
    }

    /// Takes in what has been seen; reads the clock only when something has changed.
    pub(super) fn observe(&mut self, seen: &Seen, now: impl FnOnce() -> Instant) -> Phase {
        let (phase, served) = (seen.phase(), seen.served.load(Relaxed));
        if (phase, served) != (self.phase, self.served) {
            *self = Self { phase, served, since: now() };
        }
        phase
    }

    /// When the connection must be elsewhere; `None` while it serves.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        match self.phase {
            Phase::Fresh | Phase::Idle => Some(self.since + limits.keep_alive_timeout),
            Phase::Head => Some(self.since + limits.header_timeout),
            Phase::Serving => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Steps of a connection's life, one a second, and where it stands after each.
    fn check(steps: &str, expected: &str) {
        let (seen, start) = (Seen::default(), Instant::now());
        let mut pace = Pace::new(start);
        let limits = Limits::default();
        let mut got = String::new();
        for (second, step) in steps.chars().enumerate() {
            match step {
                'b' => seen.bytes(),
                'r' => seen.request_begins(http::Version::HTTP_11),
                '2' => seen.request_begins(http::Version::HTTP_2),
                'e' => seen.request_ends(),
                '.' => {}
                other => panic!("no such step: {other}"),
            }
            let phase = pace.observe(&seen, || start + Duration::from_secs(second as u64));
            let until = pace.deadline(&limits).map_or(0, |deadline| (deadline - start).as_secs());
            got += &format!("{phase:?}:{until} ");
        }
        assert_eq!(got.trim_end(), expected, "{steps}");
    }

    #[test]
    fn a_head_is_timed_from_its_first_byte_and_idleness_from_the_last_answer() {
        check("..", "Fresh:60 Fresh:60");
        check(".b.b", "Fresh:60 Head:11 Head:11 Head:11");
        check("br.e.", "Head:10 Serving:0 Serving:0 Idle:63 Idle:63");
        check("bre.b.", "Head:10 Serving:0 Idle:62 Idle:62 Head:14 Head:14");
    }

    #[test]
    fn bytes_of_a_body_or_of_the_next_request_do_not_start_a_head_while_serving() {
        check("brb.e", "Head:10 Serving:0 Serving:0 Serving:0 Idle:64");
    }

    #[test]
    fn frames_between_requests_of_http2_are_no_head() {
        check("b2e.b.", "Head:10 Serving:0 Idle:62 Idle:62 Idle:62 Idle:62");
        check("b22ee", "Head:10 Serving:0 Serving:0 Serving:0 Idle:64");
    }
}
