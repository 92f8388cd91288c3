//! Removing idempotency keys that have expired, in the background and in batches.
//!
//! Nothing depends on it but the size of the table: an expired key counts as absent wherever it is read.

use std::time::Duration;

use service::Draining;
use store::{Store, Timestamp};
use tokio::time::sleep;

const EVERY: Duration = Duration::from_secs(10 * 60);
const BATCH: u16 = 1_000;

/// Runs until the process drains.
pub(crate) async fn expired_keys(store: Store, draining: Draining) {
    loop {
        tokio::select! {
            () = draining.begun() => return,
            () = sleep(EVERY) => {}
        }
        if let Err(error) = sweep(&store, &draining).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "expired idempotency keys not removed");
        }
    }
}

async fn sweep(store: &Store, draining: &Draining) -> Result<(), store::Error> {
    while !draining.is_draining() {
        if store.remove_expired_keys(Timestamp::now(), BATCH).await? < u64::from(BATCH) {
            break;
        }
    }
    Ok(())
}
