//! A receiver of webhooks: a real HTTP server on loopback that keeps what it was sent and answers as the test says.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Either, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::Authority;

/// A running receiver; its port is closed when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    secure: bool,
    received: Arc<Mutex<Vec<Received>>>,
    serving: JoinSet<()>,
}

/// One request, whole.
#[derive(Clone, Debug)]
pub struct Received {
    /// The protocol that it came by.
    pub version: Version,
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers.
    Answer(Response<Full<Bytes>>),
    /// Answers with this status, and with a body that begins and never ends.
    Endless(u16),
    /// Answers with this status once it is told to.
    Held(Arc<Notify>, u16),
    /// Closes the connection without an answer.
    Break,
    /// Never answers.
    Hang,
}

type Body = Either<Full<Bytes>, BoxBody<Bytes, Infallible>>;
type Answering = dyn Fn(usize, &Received) -> Reply + Send + Sync;

impl Receiver {
    /// Starts one that answers each request as `answering` says, which is told how many came before it.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(answering: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static) -> Receiver {
        Receiver::listen(None, Arc::new(answering)).await
    }

    /// Starts one that answers 204 to everything, over TLS alone, as `localhost` with a certificate of this authority.
    ///
    /// # Panics
    /// Like [`Receiver::start`].
    pub async fn secure(authority: &Authority) -> Receiver {
        let acceptor = TlsAcceptor::from(authority.server("localhost"));
        Receiver::listen(Some(acceptor), Arc::new(|_, _| Reply::status(204))).await
    }

    async fn listen(tls: Option<TlsAcceptor>, answering: Arc<Answering>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let (secure, kept) = (tls.is_some(), Arc::clone(&received));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answering, kept) = (Arc::clone(&answering), Arc::clone(&kept));
                let service = service_fn(move |request| answer(request, answering.clone(), kept.clone()));
                let tls = tls.clone();
                connections.spawn(async move {
                    let serve = auto::Builder::new(TokioExecutor::new());
                    // A client that leaves or that trusts nobody, or one that is left, is what some tests are about.
                    match tls {
                        None => drop(serve.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            drop(serve.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                });
            }
        });
        Receiver { address, secure, received, serving }
    }

    /// Starts one that answers 204 to everything.
    ///
    /// # Panics
    /// Like [`Receiver::start`].
    pub async fn accepting() -> Receiver {
        Receiver::start(|_, _| Reply::status(204)).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:…/events`, or `https://localhost:…/events`.
    pub fn url(&self) -> String {
        if self.secure {
            return format!("https://localhost:{}/events", self.address.port());
        }
        format!("http://{}/events", self.address)
    }

    /// Closes its port and every connection.
    pub async fn close(&mut self) {
        self.serving.shutdown().await;
    }

    /// What it was sent until now, in the order in which it came.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Received {
    /// A header as text; empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Reply {
    /// An answer with this status and nothing else.
    pub fn status(status: u16) -> Reply {
        Reply::with(status, &[])
    }

    /// An answer with this status and these headers.
    ///
    /// # Panics
    /// When they are none.
    pub fn with(status: u16, headers: &[(&str, &str)]) -> Reply {
        let start = Response::builder().status(status);
        let response = headers.iter().fold(start, |response, (name, value)| response.header(*name, *value));
        Reply::Answer(response.body(Full::default()).expect("a test's answer is valid"))
    }
}

async fn answer(
    request: Request<Incoming>,
    answering: Arc<Answering>,
    kept: Arc<Mutex<Vec<Received>>>,
) -> Result<Response<Body>, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let target = head.uri.to_string();
    let received =
        Received { version: head.version, method: head.method, target, headers: head.headers, body };
    let before = {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(received.clone());
        kept.len() - 1
    };
    match answering(before, &received) {
        Reply::Answer(response) => Ok(response.map(Either::Left)),
        Reply::Endless(status) => {
            let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"and")))]);
            let body = StreamBody::new(first.chain(futures_util::stream::pending()));
            Ok(Response::builder()
                .status(status)
                .body(Either::Right(BodyExt::boxed(body)))
                .expect("it is valid"))
        }
        Reply::Held(go, status) => {
            go.notified().await;
            let body = Either::Left(Full::default());
            Ok(Response::builder().status(status).body(body).expect("it is valid"))
        }
        Reply::Break => Err(Broken),
        Reply::Hang => std::future::pending().await,
    }
}

/// What makes hyper close the connection.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed, as the test wants it")
    }
}

impl std::error::Error for Broken {}
