//! One address of a next hop and what is known of it, shared by all threads.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use crate::{
    health::{Change, Health},
    latency::Latency,
    pick::{Standing, View},
    rendezvous::mix,
};

/// One address of a next hop.
#[derive(Debug)]
pub(crate) struct Replica {
    /// As written down: `127.0.0.1:9000`.
    pub(crate) name: Arc<str>,
    /// The host as it was configured: a DNS name stays one.
    pub(crate) host: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) id: u64,
    /// Free places; whoever waits for one is counted in `waiting`.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) waiting: AtomicU32,
    pub(crate) attempts: AtomicU64,
    pub(crate) retries: AtomicU64,
    max_in_flight: u32,
    latency: Latency,
    health: Mutex<Health>,
    /// Set while `health` has anything to say: as long as all is well nobody takes its lock.
    doubtful: AtomicBool,
}

impl Replica {
    pub(crate) fn new(host: Arc<str>, address: SocketAddr, max_in_flight: u32, now: Instant) -> Replica {
        let name: Arc<str> = address.to_string().into();
        Replica {
            id: name.bytes().fold(0, |id, byte| mix(id ^ u64::from(byte))),
            name,
            host,
            address,
            places: Arc::new(Semaphore::new(max_in_flight as usize)),
            waiting: AtomicU32::new(0),
            attempts: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            max_in_flight,
            latency: Latency::new(now),
            health: Mutex::new(Health::default()),
            doubtful: AtomicBool::new(false),
        }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        self.max_in_flight.saturating_sub(free)
    }

    pub(crate) fn view(&self, now: Instant, tried: bool) -> View {
        let in_flight = self.in_flight();
        View {
            id: self.id,
            standing: self.standing(now),
            load: in_flight.saturating_add(self.waiting.load(Relaxed)),
            full: in_flight >= self.max_in_flight,
            latency: self.latency.expected(now),
            tried,
        }
    }

    pub(crate) fn standing(&self, now: Instant) -> Standing {
        match self.doubtful.load(Relaxed) {
            true => self.health().standing(now),
            false => Standing::In,
        }
    }

    /// Claims the probe; false when somebody else has it.
    pub(crate) fn begin_probe(&self, now: Instant, at_most: Duration) -> bool {
        self.health().begin_probe(now, at_most)
    }

    pub(crate) fn abandon_probe(&self, now: Instant) {
        self.health().abandon_probe(now);
    }

    /// The head of an answer came; a bad one (a 500) counts as slow.
    pub(crate) fn heard(&self, now: Instant, took: Duration, bad: bool) {
        match bad {
            true => self.latency.failed(now, took),
            false => self.latency.answered(now, took),
        }
    }

    /// No answer, or one that says the replica cannot serve.
    pub(crate) fn failed(&self, now: Instant, took: Duration) {
        self.latency.failed(now, took);
        let mut health = self.health();
        let change = health.failed(now, fastrand::f64());
        self.doubtful.store(true, Relaxed);
        drop(health);
        self.tell(change);
    }

    /// An answer is as good as whole: the replica takes requests.
    pub(crate) fn well(&self, now: Instant) {
        if self.doubtful.load(Relaxed) {
            let mut health = self.health();
            let change = health.succeeded(now);
            self.doubtful.store(!health.is_clean(), Relaxed);
            drop(health);
            self.tell(change);
        }
    }

    fn tell(&self, change: Option<Change>) {
        let replica = &*self.name;
        match change {
            Some(Change::Ejected { pause, ejections }) => {
                let seconds = pause.as_secs_f64();
                tracing::warn!(target: "upstream::health", replica, seconds, ejections, "replica ejected");
            }
            Some(Change::Back) => {
                // The time-outs that ejected it say nothing of it now: it is compared by load until it is known again.
                self.latency.forget();
                tracing::info!(target: "upstream::health", replica, "replica back");
            }
            None => {}
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // Every state that `Health` can be left in is a whole one: a panic elsewhere spoils nothing.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{health::TOLERATED, latency::Expected};

    #[test]
    fn a_replica_that_is_back_is_compared_by_load_again() {
        let now = Instant::now();
        let address = "127.0.0.1:80".parse().expect("an address");
        let replica = Replica::new("127.0.0.1".into(), address, 1, now);
        for _ in 0..TOLERATED {
            replica.failed(now, Duration::from_secs(1));
        }
        let later = now + Duration::from_secs(2);
        assert_eq!(replica.view(later, false).standing, Standing::ProbeDue);
        assert_ne!(replica.view(later, false).latency, Expected::UNKNOWN);
        replica.heard(later, Duration::from_millis(1), false);
        replica.well(later);
        let view = replica.view(later, false);
        assert_eq!((view.standing, view.latency), (Standing::In, Expected::UNKNOWN));
    }
}
