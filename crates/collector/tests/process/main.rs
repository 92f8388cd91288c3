//! The collector as a process of its own, told things by clients that are not ours: over gRPC, over HTTP, killed,
//! stopped, out of space.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

/// Malformed, too large, unknown: what is refused and how.
mod refused;
/// A collector that runs, and what it has written.
mod running;
/// Space runs out and comes back.
mod space;
/// Starting, stopping, being killed.
mod starting_and_stopping;
/// What arrives is in the files when the answer comes.
mod taken;
