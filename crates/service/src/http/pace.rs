//! Where a connection stands, until when it may stay there, and what is to be done then.
//!
//! hyper's own `header_read_timeout` runs from the end of the last answer, so that an idle connection would be
//! closed as if its client were slow. Here the two are apart: an idle connection may wait for `keep_alive_timeout`,
//! a head must be complete within `header_timeout` of its first byte.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{Limits, interim::Outlet};

/// How long a connection that was just accepted may take for its first byte when draining begins: its client believes
/// to be connected and is about to send.
const FIRST_BYTE: Duration = Duration::from_millis(250);

/// How long a connection whose idle time is over may take to end in good order (HTTP/2 says goodbye and listens).
const GOODBYE: Duration = Duration::from_secs(1);

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
    /// What is to go to the client past hyper; it has no part in the pace.
    pub(super) interim: Arc<Outlet>,
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
        let known = [Farewell::Gentle, Farewell::None, Farewell::TooSlow, Farewell::Reset];
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
    /// Resets: an answer that only the end of the connection delimits broke off, and must not look whole.
    Reset,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, until then.
    Wait(Option<Instant>),
    /// hyper shall end it when what is in flight has ended.
    AskToEnd,
    /// It is over.
    Cut(Cut),
}

/// Why a connection is not left to end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    HeadTooSlow,
    Overdue,
}

/// Since when a connection stands where it stands, and whether it has been asked to end.
#[derive(Debug)]
pub(super) struct Pace {
    phase: Phase,
    served: u32,
    since: Instant,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// The process drains, but nothing has come on this connection yet.
    UnlessFirstByteBy(Instant),
    /// It ends with what is in flight.
    Asked,
    AskedToEndBy(Instant),
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { phase: Phase::Fresh, served: 0, since: now, ending: Ending::No }
    }

    /// What is to be done, given what has been seen. `fired`: the time of the last [`Step::Wait`] has come. Reads the
    /// clock only where it matters.
    pub(super) fn step(
        &mut self,
        seen: &Seen,
        draining: bool,
        fired: bool,
        limits: &Limits,
        now: impl Fn() -> Instant,
    ) -> Step {
        self.observe(seen, &now);
        match (self.ending, self.phase) {
            (Ending::No, Phase::Fresh) if draining => {
                self.ending = Ending::UnlessFirstByteBy(now() + FIRST_BYTE);
            }
            (Ending::No | Ending::UnlessFirstByteBy(_), phase) if draining && phase != Phase::Fresh => {
                return self.ask_to_end(seen, Ending::Asked);
            }
            _ => {}
        }
        let deadline = self.deadline(limits);
        if !fired || deadline.is_none_or(|deadline| now() < deadline) {
            return Step::Wait(deadline);
        }
        match (self.phase, self.ending) {
            (Phase::Head, _) => {
                seen.take_leave(Farewell::TooSlow);
                Step::Cut(Cut::HeadTooSlow)
            }
            (_, Ending::No | Ending::UnlessFirstByteBy(_)) => {
                self.ask_to_end(seen, Ending::AskedToEndBy(now() + GOODBYE))
            }
            (_, Ending::Asked | Ending::AskedToEndBy(_)) => Step::Cut(Cut::Overdue),
        }
    }

    fn observe(&mut self, seen: &Seen, now: impl Fn() -> Instant) {
        let (phase, served) = (seen.phase(), seen.served.load(Relaxed));
        if (phase, served) != (self.phase, self.served) {
            (self.phase, self.served, self.since) = (phase, served, now());
        }
    }

    /// When the connection must be elsewhere; `None` while it serves.
    fn deadline(&self, limits: &Limits) -> Option<Instant> {
        match (self.ending, self.phase) {
            (Ending::AskedToEndBy(by), _) | (Ending::UnlessFirstByteBy(by), Phase::Fresh) => Some(by),
            (_, Phase::Fresh | Phase::Idle) => Some(self.since + limits.keep_alive_timeout),
            (_, Phase::Head) => Some(self.since + limits.header_timeout),
            (_, Phase::Serving) => None,
        }
    }

    fn ask_to_end(&mut self, seen: &Seen, ending: Ending) -> Step {
        if matches!(self.phase, Phase::Fresh | Phase::Idle) {
            seen.take_leave(Farewell::None);
        }
        self.ending = ending;
        Step::AskToEnd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of a connection's life, one a second, and what is to be done after each: the second until which to wait
    /// (`-`: no bound), `end`, `408` or `cut`.
    fn check(steps: &str, expected: &str) {
        let (seen, start) = (Seen::default(), Instant::now());
        let mut pace = Pace::new(start);
        let limits = Limits {
            keep_alive_timeout: Duration::from_secs(6),
            header_timeout: Duration::from_secs(3),
            ..Limits::default()
        };
        let (mut draining, mut last, mut got) = (false, None, Vec::new());
        for (second, step) in steps.chars().enumerate() {
            match step {
                'b' => seen.bytes(),
                'r' => seen.request_begins(http::Version::HTTP_11),
                '2' => seen.request_begins(http::Version::HTTP_2),
                'e' => seen.request_ends(),
                'w' => seen.writing(true),
                'W' => seen.writing(false),
                'd' => draining = true,
                '.' => {}
                other => panic!("no such step: {other}"),
            }
            let now = start + Duration::from_secs(second as u64);
            let fired = last.is_some_and(|deadline| now >= deadline);
            let step = pace.step(&seen, draining, fired, &limits, || now);
            last = None;
            got.push(match step {
                Step::Wait(None) => "-".to_owned(),
                Step::Wait(Some(deadline)) => {
                    last = Some(deadline);
                    format!("{}", (deadline - start).as_secs_f32())
                }
                Step::AskToEnd => "end".to_owned(),
                Step::Cut(Cut::HeadTooSlow) => "408".to_owned(),
                Step::Cut(Cut::Overdue) => "cut".to_owned(),
            });
        }
        assert_eq!(got.join(" "), expected, "{steps}");
    }

    #[test]
    fn a_head_is_timed_from_its_first_byte_and_idleness_from_the_last_answer() {
        check("..", "6 6");
        check(".b.b.", "6 4 4 4 408");
        check("br.e.", "3 - - 9 9");
        check("bre.b..", "3 - 8 8 7 7 7");
        check("bre....", "3 - 8 8 8 8 8");
        check("bre......", "3 - 8 8 8 8 8 8 end");
    }

    #[test]
    fn bytes_of_a_body_or_of_the_next_request_start_no_head_while_serving() {
        check("brb.e", "3 - - - 10");
    }

    #[test]
    fn an_answer_that_is_not_taken_in_is_still_being_served() {
        check("brwe.Wd", "3 - - - - 11 end");
    }

    #[test]
    fn frames_between_requests_of_http2_are_no_head() {
        check("b2e.b.", "3 - 8 8 8 8");
        check("b22ee", "3 - - - 10");
    }

    #[test]
    fn an_idle_connection_that_does_not_end_when_asked_is_cut() {
        check(".......", "6 6 6 6 6 6 end");
        check("........", "6 6 6 6 6 6 end 7");
        check(".........", "6 6 6 6 6 6 end 7 cut");
    }

    #[test]
    fn draining_ends_what_was_used_and_waits_for_the_first_byte_of_what_was_not() {
        check("bred", "3 - 8 end");
        check("brd.e", "3 - end - 10");
        check("d", "0.25");
        check("db", "0.25 end");
        check("d..", "0.25 end 2");
        check("bd..", "3 end 3 408");
    }
}
