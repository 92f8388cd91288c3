//! load_balancer: the edge. It gives a request its trace, waits for a place at a replica, picks, forwards, tries again
//! where that is safe, and answers in every case.
//!
//! Promises: what reaches a replica is one well-formed request with a normal target, honest forwarded fields and a
//! trace of ours; what it refuses, it refuses with problem+json, `Proxy-Status` and the trace. Refuses: tunnels,
//! upgrades, anything that a replica could read in another way than we do.

use std::{convert::Infallible, net::SocketAddr, process::ExitCode, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use service::{Life, Limits, LimitsLayer};
use telemetry::{ServerLayer, TrustedPeers};
use tower::{BoxError, Service, ServiceBuilder};
use upstream::{Client, LoadFactor, Upstream};

use crate::{
    proxy::{Edge, Proxy},
    via::Pseudonym,
};

/// One request through the edge.
mod proxy;

/// Which requests are let in.
mod admit;
/// A request's target in its one form.
mod target;

/// Whom a request came from.
mod forwarded;
/// Signing requests, and knowing one's own again.
mod via;

/// What the nearest cache says it did.
mod cache_status;

#[cfg(test)]
mod tests;

/// The service's name, in everything it writes down.
const NAME: &str = "load_balancer";

/// What can be told to this program, as flags or environment.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address to serve on; port 0 lets the system choose
    #[arg(long, env = "THROUGHLINE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = service::parse_address)]
    pub listen: SocketAddr,
    /// Whose trace and forwarded fields are believed: none, loopback, private, all, or CIDR blocks
    #[arg(long, env = "THROUGHLINE_TRUSTED_PEERS", value_name = "PEERS", default_value = "none")]
    pub trusted_peers: TrustedPeers,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it as a help text")]
    pub upstream: upstream::Settings,
    /// Most requests at one replica under `--balance hash`, as a ratio to the mean: one more goes to the next replica in its
    /// key's own order. `off`, or 1 to 100, such as 1.25. Leave it off unless the caches behind share a second level
    /// (`--redis-url` there): several caches then hold one key, and one may be behind a write by milliseconds, but without
    /// a second level, or while it is away, by the answer's max-age at most
    #[arg(
        long,
        env = "THROUGHLINE_HASH_LOAD_FACTOR",
        value_name = "RATIO",
        default_value = "off",
        help_heading = "Next hop"
    )]
    pub hash_load_factor: LoadFactor,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it as a help text")]
    pub limits: Limits,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it as a help text")]
    pub service: service::Settings,
}

impl Settings {
    /// The next hop, with what is told of it here and is no setting of every proxy's.
    fn next_hop(&self) -> upstream::Settings {
        upstream::Settings { hash_load_factor: self.hash_load_factor, ..self.upstream.clone() }
    }
}

/// Runs the process to its end.
pub fn run(settings: Settings) -> ExitCode {
    let identity = service::Identity { service: NAME, exports: true };
    let common = settings.service.clone();
    service::run(identity, common, async |life| open(settings, life).await)
}

async fn open(settings: Settings, life: &mut Life) -> Result<(), service::Error> {
    let upstream = Upstream::start(settings.next_hop()).await.map_err(unusable)?;
    let Settings { listen, trusted_peers: trusted, limits, .. } = settings;
    let asked = upstream.clone();
    life.ready_when("upstream", move || {
        let usable = asked.is_usable().then_some(()).ok_or_else(|| "no replica takes requests".to_owned());
        Box::pin(std::future::ready(usable))
    });

    let edge = Edge { trusted, pseudonym: Pseudonym::of(fastrand::u64(..)) };
    let bounds = limits.clone();
    life.serve(listen, limits, false, move |_thread| layers(&edge, upstream.client(), &bounds))?;
    Ok(())
}

/// What a request passes on its way in, outermost first.
fn layers(
    edge: &Edge,
    client: Client,
    limits: &Limits,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + use<>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ use<> {
    let proxy = Arc::new(Proxy { edge: edge.clone(), client });
    ServiceBuilder::new()
        // Outermost: the target is written down in the form in which it is used.
        .map_request(proxy::normalise)
        // Around all that can answer: whatever happens has a span and a line.
        .layer(ServerLayer::new(NAME, edge.trusted.clone()).of_proxy())
        // Before the proxy: it must not begin what is bound to fail.
        .layer(LimitsLayer::new(limits.clone()))
        .service(tower::service_fn(move |request| {
            let answer = proxy::pass(proxy.clone(), request);
            async { Ok::<_, Infallible>(answer.await) }
        }))
}

fn unusable(error: upstream::StartError) -> service::Error {
    service::Error::Usage { setting: error.setting, value: error.value, expected: error.expected }
}
