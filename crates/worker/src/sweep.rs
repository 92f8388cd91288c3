//! Removing tasks that ended long ago, in the background and in batches.
//!
//! Nothing depends on it but the size of the table. Every worker does it; two at once remove what the other has left.

use std::time::Duration;

use service::Draining;
use store::{Kept, Store, Timestamp};
use tokio::time::sleep;

const EVERY: Duration = Duration::from_secs(10 * 60);
const BATCH: u16 = 1_000;

/// Runs until the process drains.
pub(crate) async fn finished_tasks(store: Store, done: Duration, dead: Duration, draining: Draining) {
    loop {
        if let Err(error) = sweep(&store, done, dead, &draining).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "finished tasks not removed");
        }
        tokio::select! {
            () = draining.begun() => return,
            () = sleep(EVERY) => {}
        }
    }
}

async fn sweep(
    store: &Store,
    done: Duration,
    dead: Duration,
    draining: &Draining,
) -> Result<(), store::Error> {
    while !draining.is_draining() {
        let now = Timestamp::now();
        let kept = Kept { done_since: now.minus(done), dead_since: now.minus(dead) };
        if store.remove_finished_tasks(kept, BATCH).await? < u64::from(BATCH) {
            break;
        }
    }
    Ok(())
}
