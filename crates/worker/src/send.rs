//! Sending one request to a receiver: by reqwest, to public addresses only unless told otherwise, within a time, following
//! nothing, past every proxy of the environment.
//!
//! Refuses: judging the answer, and telling of the request: the client layer around it does.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use reqwest::{
    Body, Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use telemetry::ErrorType;
use tower_service::Service;

use crate::address;

/// Names us to receivers.
const USER_AGENT: &str = concat!("throughline-worker/", env!("CARGO_PKG_VERSION"));
/// A connection that is not made by then will not be; an answer may take longer.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection is not kept for the receiver's next event for longer.
const IDLE: Duration = Duration::from_secs(30);

/// Sends requests with an absolute URI.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: Client,
    within: Duration,
    allow_private: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The URL itself holds an address that nothing is sent to.
    #[error(
        "nothing is sent to `{address}`, which is a {what} address, unless --allow-private-addresses is set"
    )]
    Literal { address: IpAddr, what: &'static str },
    /// The URL says nothing that a request can be sent to.
    #[error("the webhook's URL cannot be used")]
    Url(#[source] reqwest::Error),
    /// The name of the URL leads to such an address.
    #[error("cannot send the request")]
    Resolved(#[source] Refused),
    /// It took too long.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] reqwest::Error),
    /// A connection, and no answer on it.
    #[error("cannot send the request")]
    Send(#[source] reqwest::Error),
}

/// A name whose addresses are all refused.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "`{name}` leads to `{address}`, which is a {what} address: nothing is sent there unless --allow-private-addresses is set"
)]
pub(crate) struct Refused {
    name: String,
    address: IpAddr,
    what: &'static str,
}

impl ErrorType for SendError {
    fn error_type(&self) -> &'static str {
        match self {
            SendError::Literal { .. } | SendError::Resolved(_) => "address",
            SendError::Url(_) => "url",
            SendError::Timeout(_) => "timeout",
            SendError::Connect(_) => "connect",
            SendError::Send(_) => "send",
        }
    }
}

impl Sender {
    /// `within` is for all of a request, from looking the name up to the last byte of the answer.
    pub(crate) fn new(within: Duration, allow_private: bool) -> Result<Sender, reqwest::Error> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls())
            .dns_resolver(Arc::new(Addresses { allow_private }))
            // A proxy would resolve names by itself, and reach what we refuse.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(USER_AGENT)
            .timeout(within)
            .connect_timeout(within.min(CONNECT))
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Sender { client, within, allow_private })
    }

    async fn send(self, request: Request<Bytes>) -> Result<Response<Body>, SendError> {
        let request = request.try_into().map_err(|error| failed(error, self.within))?;
        self.refuse_literal(&request)?;
        let response = self.client.execute(request).await.map_err(|error| failed(error, self.within))?;
        Ok(response.into())
    }

    /// An address in the URL is never looked up. Asked of the URL as the client has understood it.
    fn refuse_literal(&self, request: &reqwest::Request) -> Result<(), SendError> {
        let host = request.url().host_str().unwrap_or_default().trim_matches(['[', ']']);
        match host.parse().ok().and_then(|address| Some((address, address::refused(address)?))) {
            Some((address, what)) if !self.allow_private => Err(SendError::Literal { address, what }),
            _ => Ok(()),
        }
    }
}

impl Service<Request<Bytes>> for Sender {
    type Response = Response<Body>;
    type Error = SendError;
    type Future = BoxFuture<'static, Result<Response<Body>, SendError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        self.clone().send(request).boxed()
    }
}

/// The URL is left out of every text: its path and query may hold secrets.
fn failed(error: reqwest::Error, within: Duration) -> SendError {
    let error = error.without_url();
    let causes = std::iter::successors(Some(&error as &dyn Error), |&error| error.source());
    match causes.filter_map(|cause| cause.downcast_ref::<Refused>()).next().cloned() {
        Some(refused) => SendError::Resolved(refused),
        None if error.is_builder() => SendError::Url(error),
        // One that is not made in time is told as such.
        None if error.is_connect() => SendError::Connect(error),
        None if error.is_timeout() => SendError::Timeout(within),
        None => SendError::Send(error),
    }
}

/// Looks names up by the system, and leaves out what nothing is sent to.
#[derive(Debug)]
struct Addresses {
    allow_private: bool,
}

impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let (name, allow_private) = (name.as_str().to_owned(), self.allow_private);
        let found = async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|one| allow_private || address::refused(one.ip()).is_none())
                .collect();
            let refused = found.iter().find_map(|one| Some((one.ip(), address::refused(one.ip())?)));
            if let (true, Some((address, what))) = (allowed.is_empty(), refused) {
                return Err(Refused { name, address, what }.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        };
        found.boxed()
    }
}

/// Trusts whom the system trusts; where it says nothing of that, as in an image without certificates, whom Mozilla does.
fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    // What cannot be read of it is not trusted, and nothing else depends on it.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
