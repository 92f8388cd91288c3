//! One request through the edge: let in or refused, stamped, sent on, its answer handed back, interim ones (1xx) before
//! it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use service::{Interim, LimitedBody, RequestBodyError};
use telemetry::{Peer, Problem, Scope, TrustedPeers};
use upstream::{Client, PROXY_STATUS, RequestFault, proxy_status};

use crate::{
    NAME,
    admit::{self, Refusal},
    cache_status, forwarded,
    target::{self, BadTarget},
    via::Pseudonym,
};

/// What all requests of a process share.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) trusted: TrustedPeers,
    pub(crate) pseudonym: Pseudonym,
}

/// What all requests of a thread share: nothing here is counted by two threads at once.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) edge: Edge,
    pub(crate) client: Client,
}

/// The body of an answer: a replica's, streamed, or our own.
pub(crate) type Answer = Either<upstream::Body, Full<Bytes>>;

/// Brings a request's target into its normal form, before anything is written down about it. What cannot be is left as
/// it came and refused later, within the request's trace.
pub(crate) fn normalise<B>(mut request: Request<B>) -> Request<B> {
    match target::normalise(request.uri()) {
        Ok(None) => {}
        Ok(Some(uri)) => *request.uri_mut() = uri,
        Err(bad) => drop(request.extensions_mut().insert(bad)),
    }
    request
}

/// Passes a request on, or answers it.
pub(crate) async fn pass(proxy: Arc<Proxy>, mut request: Request<LimitedBody<Incoming>>) -> Response<Answer> {
    let Proxy { edge, client } = &*proxy;
    let bad_target = request.extensions().get::<BadTarget>().copied();
    if let Some(refusal) = admit::refusal(&request, bad_target, &edge.pseudonym) {
        return refuse(refusal).map(Either::Right);
    }
    stamp(edge, &mut request);
    if let Some(interim) = request.extensions_mut().remove::<Interim>() {
        upstream::on_interim(&mut request, move |status, fields| interim.send(status, fields));
    }
    let key = key(&request);
    match client.send(request.map(|body| body.map_err(fault)), Some(key)).await {
        Ok(mut response) => {
            proxy_status::note_received(NAME, response.status(), response.headers_mut());
            if let Some(scope) = Scope::current() {
                scope.cache_hit(cache_status::is_hit(response.headers()));
            }
            response.map(Either::Left)
        }
        Err(failure) => failure.response(NAME).map(Either::Right),
    }
}

/// Writes into a request what the next hop is to know of its way here.
fn stamp<B>(edge: &Edge, request: &mut Request<B>) {
    let peer = request.extensions().get::<Peer>().copied();
    let (method, version) = (request.method().clone(), request.version());
    let headers = request.headers_mut();
    admit::drop_ambiguous(headers);
    admit::count_down(&method, headers);
    edge.pseudonym.stamp(headers, version);
    if let Some(Peer(peer)) = peer {
        forwarded::stamp(headers, peer.ip(), edge.trusted.trusts(peer.ip()));
    }
}

fn refuse(refusal: Refusal) -> Response<Full<Bytes>> {
    if refusal == Refusal::Final {
        let mut response = Response::new(Full::default());
        *response.status_mut() = refusal.status();
        response.headers_mut().insert(header::ALLOW, admit::METHODS);
        return response;
    }
    if let Some(scope) = Scope::current()
        && refusal.status().is_server_error()
    {
        scope.error_type(refusal.proxy_error());
    }
    let said = proxy_status::own_answer(NAME, refusal.proxy_error(), None);
    let mut problem = Problem::new(refusal.status()).detail(refusal.detail()).header(PROXY_STATUS, said);
    if refusal == Refusal::Method {
        problem = problem.header(header::ALLOW, admit::METHODS);
    }
    // Whoever sends such a head may mean something else by what follows it.
    problem.header(header::CONNECTION, HeaderValue::from_static("close")).response()
}

/// What consistent hashing goes by: the host and the target, so that a resource stays at one cache (FNV-1a: the same in
/// every process).
fn key<B>(request: &Request<B>) -> u64 {
    let host = request.headers().get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let bytes = host.iter().map(u8::to_ascii_lowercase).chain(target.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn fault(error: RequestBodyError) -> RequestFault {
    match error {
        RequestBodyError::TooLarge { .. } => RequestFault::TooLarge(error.into()),
        RequestBodyError::Idle { .. } => RequestFault::TooSlow(error.into()),
        RequestBodyError::Broken(_) => RequestFault::Broken(error.into()),
    }
}
