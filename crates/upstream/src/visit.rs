//! One request's stay at a replica: from the attempt's start until the last byte of its answer, or until it is given up.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, StatusCode};
use telemetry::Scope;

use crate::{pick::Spirit, queue::Place, replica::Replica, retry};

/// Holds a place at a replica and tells, once, what the stay says of it. Dropped: the place is free, the time told.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) replica: Arc<Replica>,
    pub(crate) spirit: Spirit,
    _place: Place,
    started: Instant,
    scope: Option<Scope>,
    verdict: Verdict,
}

/// What the stay says of the replica so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing yet.
    Open,
    /// The head of a good answer came; its body may still break off.
    GoodSoFar,
    Told,
}

impl Visit {
    pub(crate) fn begin(replica: Arc<Replica>, place: Place, spirit: Spirit, scope: Option<Scope>) -> Visit {
        let (started, verdict) = (Instant::now(), Verdict::Open);
        if let Some(scope) = &scope {
            scope.upstream_begins();
        }
        Visit { replica, spirit, _place: place, started, scope, verdict }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The head of an answer came.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.started);
        if retry::refusal(status, headers).is_some() {
            self.replica.failed(now, took);
            self.verdict = Verdict::Told;
            return;
        }
        self.replica.heard(now, took, status.is_server_error());
        self.verdict = Verdict::GoodSoFar;
        if self.spirit != Spirit::Trust {
            // Others wait to hear whether the replica is back; the body may take for ever.
            self.replica.well(now);
        }
    }

    /// No answer came, or it broke off.
    pub(crate) fn failed(&mut self) {
        self.verdict = Verdict::Told;
        let now = Instant::now();
        self.replica.failed(now, now.saturating_duration_since(self.started));
    }

    /// What the current request is to be told.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let now = Instant::now();
        if let Some(scope) = &self.scope {
            scope.add_upstream(now.saturating_duration_since(self.started));
        }
        match self.verdict {
            Verdict::Open if self.spirit == Spirit::Probe => self.replica.abandon_probe(now),
            Verdict::GoodSoFar => self.replica.well(now),
            Verdict::Open | Verdict::Told => {}
        }
    }
}
