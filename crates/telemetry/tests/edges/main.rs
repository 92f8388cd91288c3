//! The layers at both edges, around services in memory: what the response says, and what was recorded of it.

#![allow(
    clippy::unwrap_used,
    reason = "the fixture and its helpers are tests too: a panic fails the test that called"
)]

/// The layer around requests sent.
mod client;
/// How a request ends.
mod ends;
/// Requests, scripted bodies and services, and what was recorded.
mod fixture;
/// What a response says of its trace and its time.
mod heads;
/// What the scope's callers tell, and where it is written.
mod told;
/// Which trace a request belongs to.
mod trace;
/// The layer under a real HTTP/1.1 server.
mod wire;
