//! The cache between clients and an origin, over sockets, in one process.

/// An origin that does as it is told, a cache in front of it, a client.
mod harness;

/// What is answered from the store, and what never is.
mod serving;

/// What passes through untouched.
mod passing;

/// Parts of what is stored.
mod ranges;

/// Stale answers.
mod stale;

/// What writes do to what is stored.
mod writing;

/// Answers that fall together.
mod grouping;

/// What a site may choose.
mod choices;

/// Many askers, one fetch.
mod sharing;

/// Bodies, and the bound of memory.
mod bodies;

/// Spans, links and lines.
mod telling;

/// What caches share in Redis.
mod second;

/// A Redis that fails.
mod faults;

/// Generated histories against a model.
mod histories;

/// Generated histories of caches that share.
mod shared;
