//! Passive health: what the answers to real requests say of a replica.
//!
//! Five failures in a row and the replica is ejected: left alone for a second times the number of ejections of late
//! (at most thirty, spread by chance so that proxies do not come back in step). Then one request finds out. Any
//! success, wherever it comes from, brings the replica back.

use std::time::{Duration, Instant};

use crate::pick::Standing;

/// Failures in a row after which a replica is left alone.
pub(crate) const TOLERATED: u32 = 5;
const LONGEST: u32 = 30;
/// After so long without an ejection, earlier ones are forgotten.
const MEMORY: Duration = Duration::from_secs(60);

/// What is known of one replica's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    in_a_row: u32,
    ejections: u32,
    state: State,
    /// When it last came back.
    back: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    In,
    Out {
        until: Instant,
    },
    /// A probe is out; should it never tell, the next one is due then.
    Probing {
        until: Instant,
    },
}

/// A change that is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Left alone for so long, for the so-many-th time.
    Ejected { pause: Duration, ejections: u32 },
    /// Takes requests again.
    Back,
}

impl Default for Health {
    fn default() -> Self {
        Health { in_a_row: 0, ejections: 0, state: State::In, back: None }
    }
}

impl Health {
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        match self.state {
            State::In => Standing::In,
            State::Out { until } | State::Probing { until } if now >= until => Standing::ProbeDue,
            State::Out { .. } | State::Probing { .. } => Standing::Out,
        }
    }

    /// Claims the probe; false when somebody else has it. `at_most`: how long a probe can take.
    pub(crate) fn begin_probe(&mut self, now: Instant, at_most: Duration) -> bool {
        let due = self.standing(now) == Standing::ProbeDue;
        if due {
            self.state = State::Probing { until: now + at_most };
        }
        due
    }

    /// The probe ended without telling anything (its client left): the next one is due.
    pub(crate) fn abandon_probe(&mut self, now: Instant) {
        if let State::Probing { .. } = self.state {
            self.state = State::Out { until: now };
        }
    }

    /// `chance` is from 0 to 1.
    pub(crate) fn failed(&mut self, now: Instant, chance: f64) -> Option<Change> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        match self.state {
            State::In if self.in_a_row < TOLERATED => None,
            State::In => {
                let lately = self.back.is_some_and(|back| now.saturating_duration_since(back) < MEMORY);
                self.ejections = if lately { self.ejections } else { 0 };
                Some(self.eject(now, chance))
            }
            State::Probing { .. } => Some(self.eject(now, chance)),
            // Left over from before the ejection, or tried for want of another: says nothing new.
            State::Out { .. } => None,
        }
    }

    pub(crate) fn succeeded(&mut self, now: Instant) -> Option<Change> {
        self.in_a_row = 0;
        if self.state == State::In {
            return None;
        }
        self.state = State::In;
        self.back = Some(now);
        Some(Change::Back)
    }

    /// Whether there is nothing to remember: no failure since the last success.
    pub(crate) fn is_clean(&self) -> bool {
        self.state == State::In && self.in_a_row == 0
    }

    fn eject(&mut self, now: Instant, chance: f64) -> Change {
        self.ejections = self.ejections.saturating_add(1);
        let seconds = f64::from(self.ejections.min(LONGEST));
        let pause = Duration::from_secs_f64(seconds * (0.75 + chance.clamp(0.0, 1.0) / 4.0));
        self.state = State::Out { until: now + pause };
        Change::Ejected { pause, ejections: self.ejections }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Duration = Duration::from_secs(10);

    fn ejected(now: Instant) -> Health {
        let mut health = Health::default();
        for _ in 0..TOLERATED {
            health.failed(now, 1.0);
        }
        health
    }

    #[test]
    fn five_failures_in_a_row_eject_and_a_success_between_starts_the_count_again() {
        let now = Instant::now();
        let mut health = Health::default();
        for _ in 0..4 {
            assert_eq!(health.failed(now, 1.0), None);
        }
        assert_eq!(health.succeeded(now), None);
        for _ in 0..4 {
            assert_eq!(health.failed(now, 1.0), None);
        }
        let change = Change::Ejected { pause: Duration::from_secs(1), ejections: 1 };
        assert_eq!(health.failed(now, 1.0), Some(change));
        assert_eq!(health.standing(now), Standing::Out);
    }

    #[test]
    fn exactly_one_probe_finds_out() {
        let now = Instant::now();
        let mut health = ejected(now);
        assert!(!health.begin_probe(now, PROBE));
        let later = now + Duration::from_secs(1);
        assert_eq!(health.standing(later), Standing::ProbeDue);
        assert!(health.begin_probe(later, PROBE));
        assert!(!health.begin_probe(later, PROBE));
        assert_eq!(health.standing(later), Standing::Out);
        assert_eq!(health.succeeded(later), Some(Change::Back));
        assert_eq!(health.standing(later), Standing::In);
    }

    #[test]
    fn a_probe_that_never_tells_or_is_abandoned_makes_way_for_the_next() {
        let later = Instant::now() + Duration::from_secs(1);
        let mut health = ejected(later - Duration::from_secs(1));
        assert!(health.begin_probe(later, PROBE));
        assert_eq!(health.standing(later + PROBE), Standing::ProbeDue);
        health.abandon_probe(later);
        assert_eq!(health.standing(later), Standing::ProbeDue);
    }

    #[test]
    fn each_further_ejection_lasts_a_second_longer_up_to_thirty() {
        let mut now = Instant::now();
        let mut health = ejected(now);
        for expected in 2..40 {
            now += Duration::from_secs(31);
            assert!(health.begin_probe(now, PROBE));
            let pause = Duration::from_secs(expected.min(30));
            let change = health.failed(now, 1.0);
            assert_eq!(change, Some(Change::Ejected { pause, ejections: expected as u32 }));
        }
    }

    #[test]
    fn chance_shortens_a_pause_by_up_to_a_quarter() {
        let now = Instant::now();
        let mut health = ejected(now);
        let later = now + Duration::from_secs(1);
        assert!(health.begin_probe(later, PROBE));
        let change = health.failed(later, 0.0);
        let pause = Duration::from_millis(1500);
        assert_eq!(change, Some(Change::Ejected { pause, ejections: 2 }));
    }

    #[test]
    fn ejections_are_remembered_for_a_minute_after_the_return() {
        let check = |well: u64, expected: u32| {
            let now = Instant::now();
            let mut health = ejected(now);
            health.succeeded(now);
            let later = now + Duration::from_secs(well);
            let last = (0..TOLERATED).filter_map(|_| health.failed(later, 1.0)).last();
            let pause = Duration::from_secs(expected.into());
            assert_eq!(last, Some(Change::Ejected { pause, ejections: expected }), "{well} s well");
        };
        check(1, 2);
        check(59, 2);
        check(61, 1);
    }

    #[test]
    fn failures_while_out_change_nothing() {
        let now = Instant::now();
        let mut health = ejected(now);
        let before = health.standing(now + Duration::from_secs(1));
        assert_eq!(health.failed(now, 1.0), None);
        assert_eq!(health.standing(now + Duration::from_secs(1)), before);
    }
}
