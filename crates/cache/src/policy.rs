//! What a site may decide where HTTP leaves a choice. The defaults are safe for an API.

use std::time::Duration;

/// The choices of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Answers that say nothing of their lifetime are fresh for a tenth of the time since they were last modified, a day at
    /// most (RFC 9111 §4.2.2).
    pub heuristic_freshness: bool,
    /// Answers with `Set-Cookie` are stored like others (RFC 9111 §7.3).
    pub store_set_cookie: bool,
    /// `Accept-Language` is a list of preferences: order and case make no variants, and an answer in the language that is
    /// preferred answers whoever prefers it.
    pub language_aware: bool,
    /// What a POST answers about its own target, with a lifetime, is stored for later GETs (RFC 9110 §9.3.3).
    pub store_post: bool,
    /// How long after its lifetime an answer is given where the origin cannot be reached, besides what the answer itself
    /// permits (RFC 9111 §4.2.4).
    pub stale_on_disconnect: Duration,
}
