//! Whether Redis is asked at all. Pure: it is told what happened and when.
//!
//! *Closed*, it is asked. The first failure *opens* it: from then on nobody waits for it any more. After a pause it is
//! *half open*: one probe, which no request waits for, finds out; the pause doubles with every probe that fails.
//!
//! Promises: at most the requests that were under way when Redis failed are late by it, each by the budget at most.

use std::time::Duration;

/// The pause before the first probe, and the longest.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaker {
    Closed,
    /// Probed after this pause, again and again.
    Open {
        pause: Duration,
    },
}

impl Breaker {
    /// Nothing is known of it yet: nobody waits for it before a probe has succeeded.
    pub(crate) const UNKNOWN: Breaker = Breaker::Open { pause: Duration::ZERO };

    /// Whether Redis is asked.
    pub(crate) fn is_closed(self) -> bool {
        self == Breaker::Closed
    }

    /// Something that was asked of it failed or took too long; says whether that opened it.
    pub(crate) fn failed(&mut self) -> bool {
        let opened = self.is_closed();
        if opened {
            *self = Breaker::Open { pause: SHORTEST };
        }
        opened
    }

    /// A probe failed.
    pub(crate) fn probe_failed(&mut self) {
        if let Breaker::Open { pause } = self {
            *pause = (*pause * 2).clamp(SHORTEST, LONGEST);
        }
    }

    /// A probe succeeded.
    pub(crate) fn probe_succeeded(&mut self) {
        *self = Breaker::Closed;
    }

    /// How long to wait before the next probe, spread by a `random` number below 1 so that caches that lost Redis
    /// together do not come back together; `None` while it is closed.
    pub(crate) fn pause(self, random: f64) -> Option<Duration> {
        match self {
            Breaker::Closed => None,
            Breaker::Open { pause } => Some(pause.mul_f64(0.75 + random / 4.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_opens_it_and_a_probe_closes_it() {
        let mut breaker = Breaker::UNKNOWN;
        assert!(!breaker.is_closed());
        assert_eq!(breaker.pause(0.9), Some(Duration::ZERO));
        breaker.probe_succeeded();
        assert!(breaker.is_closed());
        assert_eq!(breaker.pause(0.0), None);
        assert!(breaker.failed());
        assert!(!breaker.is_closed());
        assert!(!breaker.failed(), "those that were under way open nothing more");
        breaker.probe_succeeded();
        assert!(breaker.failed(), "the next outage is one again");
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let mut breaker = Breaker::UNKNOWN;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            breaker.probe_failed();
            pauses.push(breaker.pause(1.0).expect("open").as_millis());
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(breaker.pause(0.0), Some(LONGEST.mul_f64(0.75)));
    }
}
