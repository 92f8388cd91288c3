//! Where `now` comes from: the system, or a test that moves time by values.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// A source of the current time. Cheap to clone; clones tell the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The system's.
    pub fn system() -> Clock {
        Clock(None)
    }

    /// One that stands still at the system's present second until it is [advanced](Clock::advance).
    pub fn standing() -> Clock {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Clock(Some(Arc::new(AtomicU64::new(now.as_secs() * 1000))))
    }

    /// Moves a standing clock on, by whole milliseconds; the system's is left alone.
    pub fn advance(&self, by: Duration) {
        if let Some(millis) = &self.0 {
            millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// What it shows.
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            None => SystemTime::now(),
            Some(millis) => SystemTime::UNIX_EPOCH + Duration::from_millis(millis.load(Ordering::SeqCst)),
        }
    }
}
