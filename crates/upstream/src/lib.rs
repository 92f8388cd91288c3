//! The next hop of a proxy: which replicas there are, which one a request goes to, how long it waits for a place
//! there, the attempts, and what is answered when none of them succeeds. Used by the load balancer and the cache alike.
//!
//! Promises: every request ends, within its deadline, in an answer or a [`Failure`] that says which answer to give.
//! Refuses: knowing what is proxied; reading or changing bodies.

/// What can be told: addresses, policy, bounds.
mod settings;
/// The replicas of one next hop, shared by all threads.
mod upstream;

/// Requests that are not sent, since a replica could read them in another way.
mod ambiguity;
/// One try of one request on one replica.
mod attempt;
/// A request's way to an answer: pick, wait, attempt, and once more where that is safe.
mod client;
/// What is answered when there is no answer from behind.
mod failure;
/// What comes before an answer.
mod interim;
/// Choosing a replica.
mod pick;
/// Which proxy says what of an answer.
pub mod proxy_status;
/// The bounded wait for a place at a replica.
mod queue;
/// Which replica a key belongs to.
mod rendezvous;
/// Whether a request may be sent a second time.
mod retry;

/// From configured addresses to replicas.
mod discover;
/// What answers say of a replica's health.
mod health;
/// How long a replica takes to begin an answer.
mod latency;
/// One address and what is known of it.
mod replica;
/// One request's stay at a replica.
mod visit;

/// The body of an answer, streamed.
mod answer;
/// Header fields that concern one connection only.
mod fields;
/// The metrics `throughline.upstream.*`.
mod measure;
/// The idle connections of one thread.
mod pool;
/// The body of a request, kept or streamed.
mod request_body;

/// A replica that does what a test tells it.
#[cfg(feature = "testing")]
pub mod testing;

pub use ambiguity::Ambiguity;
pub use answer::{Body, BodyError, EndsByClose};
pub use client::Client;
pub use failure::Failure;
pub use interim::on_interim;
pub use pick::Balance;
pub use proxy_status::PROXY_STATUS;
pub use rendezvous::{LoadFactor, LoadFactorError};
pub use request_body::RequestFault;
pub use settings::{Address, AddressError, Settings};
pub use upstream::{StartError, Upstream};
