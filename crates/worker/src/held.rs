//! The leases of the runs in progress: renewed together while the work runs, and the work stopped whose lease is lost.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use store::{Lease, Store, Timestamp};
use tokio::{
    sync::oneshot,
    time::{Instant, interval},
};

/// A lease outlives this many renewals that fail, less one.
const RENEWALS: u32 = 4;

/// The leases that are held; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Mutex<HashMap<Lease, Hold>>>);

#[derive(Debug)]
struct Hold {
    /// By our own clock.
    until: Instant,
    stop: oneshot::Sender<Stop>,
}

/// One lease, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    held: Held,
    lease: Lease,
    stopped: Option<oneshot::Receiver<Stop>>,
}

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its lease is lost: another worker has the task, or will.
    Lost,
    /// The process ends: its lease is to be given back.
    Draining,
}

impl Held {
    /// Holds a lease that was made `until` then.
    pub(crate) fn hold(&self, lease: Lease, until: Instant) -> Holding {
        let (stop, stopped) = oneshot::channel();
        self.lock().insert(lease, Hold { until, stop });
        Holding { held: self.clone(), lease, stopped: Some(stopped) }
    }

    /// Renews for ever, to `length` each time.
    pub(crate) async fn renew(self, store: Store, length: Duration) {
        let mut turns = interval(length / RENEWALS);
        loop {
            turns.tick().await;
            let (now, leases) = (Instant::now(), self.leases());
            if leases.is_empty() {
                continue;
            }
            match store.renew_leases(leases.clone(), Timestamp::now().plus(length)).await {
                Ok(lost) => {
                    self.renewed(&leases, now + length);
                    lost.iter().for_each(|lease| self.stop(lease, Stop::Lost));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "leases not renewed");
                }
            }
            self.expire(Instant::now());
        }
    }

    /// Stops every run.
    pub(crate) fn stop_all(&self, why: Stop) {
        for (_, hold) in self.lock().drain() {
            // A run that has just ended need not be stopped.
            let _ = hold.stop.send(why);
        }
    }

    fn leases(&self) -> Vec<Lease> {
        self.lock().keys().copied().collect()
    }

    fn renewed(&self, leases: &[Lease], until: Instant) {
        let mut held = self.lock();
        for lease in leases {
            held.get_mut(lease).into_iter().for_each(|hold| hold.until = until);
        }
    }

    /// Stops what could not be renewed in time: the database was away, and others may have it by now.
    fn expire(&self, now: Instant) {
        let expired: Vec<_> =
            self.lock().iter().filter(|(_, hold)| hold.until <= now).map(|(lease, _)| *lease).collect();
        expired.iter().for_each(|lease| self.stop(lease, Stop::Lost));
    }

    fn stop(&self, lease: &Lease, why: Stop) {
        if let Some(hold) = self.lock().remove(lease) {
            // As in `stop_all`.
            let _ = hold.stop.send(why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lease, Hold>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding {
    /// Returns once, when the run is to stop.
    pub(crate) async fn stopped(&mut self) -> Stop {
        if let Some(stopped) = &mut self.stopped
            && let Ok(why) = stopped.await
        {
            self.stopped = None;
            return why;
        }
        std::future::pending().await
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.lock().remove(&self.lease);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    fn lease() -> Lease {
        Lease { task: Uuid::now_v7(), token: Uuid::new_v4() }
    }

    #[test]
    fn a_lease_is_held_until_it_is_let_go_or_its_time_is_over() {
        let (held, now) = (Held::default(), Instant::now());
        let mut first = held.hold(lease(), now + Duration::from_secs(1));
        let second = held.hold(lease(), now + Duration::from_secs(2));
        held.expire(now);
        assert_eq!(first.stopped().now_or_never(), None);
        held.renewed(&[second.lease], now + Duration::from_secs(3));
        held.expire(now + Duration::from_secs(2));
        assert_eq!(first.stopped().now_or_never(), Some(Stop::Lost));
        assert_eq!(first.stopped().now_or_never(), None, "it is told once");
        assert_eq!(held.leases(), [second.lease], "what is lost is not renewed");
        drop((first, second));
        assert_eq!(held.leases(), []);
    }

    #[test]
    fn everybody_can_be_stopped() {
        let held = Held::default();
        let until = Instant::now() + Duration::from_secs(9);
        let mut both = [held.hold(lease(), until), held.hold(lease(), until)];
        held.stop_all(Stop::Draining);
        for holding in &mut both {
            assert_eq!(holding.stopped().now_or_never(), Some(Stop::Draining));
        }
    }
}
