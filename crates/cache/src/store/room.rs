//! Memory for bodies that are still arriving: taken before it is used, given back when dropped.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Memory for bodies that are still arriving.
#[derive(Debug)]
pub(crate) struct Room {
    free: AtomicUsize,
}

impl Room {
    /// This many bytes.
    pub(super) fn new(bytes: u64) -> Arc<Room> {
        Arc::new(Room { free: AtomicUsize::new(usize::try_from(bytes).unwrap_or(usize::MAX)) })
    }
}

/// Some of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    room: Arc<Room>,
    bytes: usize,
}

impl Reserved {
    /// Takes none yet.
    pub(crate) fn none(room: &Arc<Room>) -> Reserved {
        Reserved { room: Arc::clone(room), bytes: 0 }
    }

    /// Takes more; false, and nothing taken, when there is none left.
    pub(crate) fn grow(&mut self, by: usize) -> bool {
        let less = |free: usize| free.checked_sub(by);
        let taken = self.room.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if taken {
            self.bytes += by;
        }
        taken
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.room.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}
