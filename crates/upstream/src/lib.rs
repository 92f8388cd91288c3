//! The next hop of a proxy: which replicas there are, which one a request goes to, how long it waits for a place
//! there, the attempts, and what is answered when none of them succeeds. Used by the load balancer and the cache alike.
//!
//! Promises: every request ends, within its deadline, in an answer or a [`Failure`] that says which answer to give.
//! Refuses: knowing what is proxied; reading or changing bodies.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::sync::Arc;

/// What is behind: `--upstream` (repeatable; `http://host:port`, a DNS name stands for all its addresses), `--balance`, timeouts, queue. Flattened.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address of the next hop
    #[arg(
        long = "upstream",
        env = "THROUGHLINE_UPSTREAM",
        value_name = "URL",
        value_delimiter = ',',
        required = true
    )]
    pub upstream: Vec<String>,
}

/// The replicas of one next hop and what is known of them; shared by all threads of the process.
#[derive(Debug)]
pub struct Upstream(());
impl Upstream {
    /// Looks the names up once and goes on doing so in the background (on the current Tokio runtime).
    pub async fn start(_settings: Settings) -> Result<Arc<Upstream>, StartError> {
        todo!()
    }
    /// A client with a connection pool of its own: one a thread.
    pub fn client(self: &Arc<Self>) -> Client {
        todo!()
    }
    /// For `/readyz`: at least one replica is not ejected.
    pub fn is_usable(&self) -> bool {
        todo!()
    }
}
/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an upstream")]
pub struct StartError(String);

/// Sends requests to the replicas; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(());
impl Client {
    /// Picks, waits, attempts, retries where that is safe. Strips hop-by-hop fields both ways; injects the trace; records
    /// queue, upstream, attempts and replica in the current [`telemetry::Scope`]. `key`: what consistent hashing hashes.
    pub async fn send<B>(&self, _request: Request<B>, _key: Option<u64>) -> Result<Response<Body>, Failure>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        todo!()
    }
}

/// The body of an answer, streamed; ends the attempt's span, frees the replica's place and returns the connection to the pool at its end.
#[derive(Debug)]
pub struct Body(());
impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        todo!()
    }
}
/// The replica broke off its answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer's body broke off")]
pub struct BodyError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Why there is no answer; says what to answer instead (DESIGN.md, "Answers a proxy makes itself").
#[derive(Debug, thiserror::Error)]
#[error("…")]
pub struct Failure(#[source] Box<dyn std::error::Error + Send + Sync>);
impl Failure {
    /// 503, 502, 504 (or 413, 408, when the request's own body was at fault) as problem+json, with `Proxy-Status` (RFC 9209) under this proxy's name and `Retry-After` where due;
    /// tells the current scope `error.type` and whether it was a refusal.
    pub fn response(&self, _proxy: &'static str) -> Response<Full<Bytes>> {
        todo!()
    }
    /// Whether the request never reached a replica that could have answered (stale-if-error and the like care).
    pub fn is_unreachable(&self) -> bool {
        todo!()
    }
}
