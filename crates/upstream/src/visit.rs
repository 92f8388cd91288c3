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
    told: bool,
}

impl Visit {
    pub(crate) fn begin(replica: Arc<Replica>, place: Place, spirit: Spirit, scope: Option<Scope>) -> Visit {
        Visit { replica, spirit, _place: place, started: Instant::now(), scope, told: false }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The head of an answer came.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.told = true;
        let now = Instant::now();
        let took = now.saturating_duration_since(self.started);
        if retry::refusal(status, headers).is_some() {
            self.replica.failed(now, took);
        } else if status.is_server_error() {
            self.replica.answered_badly(now, took);
        } else {
            self.replica.answered(now, took);
        }
    }

    /// No answer came, or it broke off.
    pub(crate) fn failed(&mut self) {
        self.told = true;
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
        if !self.told && self.spirit == Spirit::Probe {
            self.replica.abandon_probe(now);
        }
    }
}
