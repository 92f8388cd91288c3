//! Waiting for a condition that reports its last state.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// Asks again until `condition` gives a value, for at most ten seconds.
///
/// # Panics
/// When the time is over, with what the condition said last.
pub async fn eventually<T, E: Display>(what: &str, condition: impl AsyncFnMut() -> Result<T, E>) -> T {
    eventually_within(Duration::from_secs(10), what, condition).await
}

/// [`eventually`], with a bound of its own.
///
/// # Panics
/// When the time is over, with what the condition said last.
pub async fn eventually_within<T, E: Display>(
    bound: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    loop {
        pause.tick().await;
        match condition().await {
            Ok(value) => return value,
            Err(state) if started.elapsed() > bound => {
                panic!("{what}: not within {bound:?}; last seen: {state}")
            }
            Err(_) => {} // Not yet: the bound above ends this.
        }
    }
}
