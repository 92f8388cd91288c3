//! A cache between a client and an origin that does as it is told, all over sockets, in one process.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cache::{Cache, Clock, Memory, Store};
use clap::Parser;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use telemetry::{Peer, ServerLayer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tower::{Layer, Service};

/// A door that is shut until it is opened, for good.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub fn shut() -> Gate {
        Gate(Arc::new(watch::Sender::new(false)))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub async fn passed(&self) {
        let mut open = self.0.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }
}

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub fields: HeaderMap,
    /// 0 for the first.
    pub nth: usize,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// What the origin answers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<Step>,
    /// The head waits for it.
    pub after: Option<Gate>,
    /// Without it the body's length is said.
    pub chunked: bool,
}

/// A part of an origin's body.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Bytes),
    Wait(Gate),
    /// The connection is closed here.
    Break,
}

pub fn reply(status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let body = body.into();
    let body = if body.is_empty() { vec![] } else { vec![Step::Send(body)] };
    Reply { status, fields: fields.iter().map(own).collect(), body, after: None, chunked: false }
}

impl Reply {
    pub fn after(mut self, gate: &Gate) -> Reply {
        self.after = Some(gate.clone());
        self
    }

    pub fn chunked(mut self) -> Reply {
        self.chunked = true;
        self
    }

    pub fn then(mut self, step: Step) -> Reply {
        self.body.push(step);
        self
    }
}

type Answer = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// An origin over real sockets.
#[derive(Clone)]
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let origin = Origin { address, seen: Arc::default() };
        let (answer, seen): (Answer, _) = (Arc::new(answer), origin.seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (answer.clone(), seen.clone());
                let service = service_fn(move |request| serve_origin(request, answer.clone(), seen.clone()));
                let served = hyper::server::conn::http1::Builder::new();
                tokio::spawn(served.serve_connection(TokioIo::new(stream), service));
            }
        });
        origin
    }

    /// Every request so far, in the order they arrived.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }
}

type OriginBody = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

async fn serve_origin(
    request: Request<Incoming>,
    answer: Answer,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<OriginBody>, Infallible> {
    let now = {
        let mut seen = seen.lock().expect("not poisoned");
        let nth = seen.len();
        seen.push(Seen {
            method: request.method().clone(),
            target: request.uri().to_string(),
            fields: request.headers().clone(),
            nth,
        });
        seen.last().expect("just pushed").clone()
    };
    let Ok(_body) = request.into_body().collect().await else { panic!("the request's body broke off") };
    let reply = answer(&now);
    if let Some(gate) = &reply.after {
        gate.passed().await;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.fields {
        response = response.header(name, value);
    }
    let length: usize =
        reply.body.iter().map(|step| if let Step::Send(bytes) = step { bytes.len() } else { 0 }).sum();
    let bodiless = matches!(reply.status, 204 | 304);
    let said = reply.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if !reply.chunked && !bodiless && !said {
        response = response.header("content-length", length);
    }
    let steps = futures_util::stream::unfold(reply.body.into_iter(), |mut steps| async move {
        loop {
            match steps.next()? {
                Step::Send(bytes) => return Some((Ok(Frame::data(bytes)), steps)),
                Step::Wait(gate) => gate.passed().await,
                Step::Break => return Some((Err(std::io::Error::other("told to break")), steps)),
            }
        }
    });
    let head = now.method == Method::HEAD;
    let body = if head || bodiless || length == 0 && !reply.chunked {
        Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
    } else {
        BodyExt::boxed(StreamBody::new(SyncStream(Mutex::new(Box::pin(steps)))))
    };
    Ok(response.body(body).expect("a response"))
}

/// `BoxBody` wants `Sync`.
struct SyncStream(
    Mutex<std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send>>>,
);

impl futures_util::Stream for SyncStream {
    type Item = Result<Frame<Bytes>, std::io::Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.lock().expect("not poisoned").as_mut().poll_next(cx)
    }
}

/// A running cache.
#[derive(Clone)]
pub struct Running {
    pub address: SocketAddr,
    pub clock: Clock,
    pub store: Arc<Store>,
    asked: Arc<AtomicUsize>,
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    upstream: upstream::Settings,
    #[command(flatten)]
    limits: service::Limits,
}

pub const MEMORY: Memory = Memory { total: 64 << 20, object: 8 << 20 };

impl Running {
    /// A cache in front of `origin`.
    pub async fn start(origin: &Origin) -> Running {
        Running::with(origin.address, MEMORY).await
    }

    pub async fn with(origin: SocketAddr, memory: Memory) -> Running {
        telemetry::testing::capture();
        let url = format!("http://{origin}");
        let flags = Flags::parse_from(["test", "--upstream", &url, "--max-in-flight", "100000"]);
        let upstream = upstream::Upstream::start(flags.upstream).await.expect("an upstream");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let running = Running {
            address: listener.local_addr().expect("an address"),
            clock: Clock::standing(),
            store: Store::new(memory),
            asked: Arc::default(),
        };
        let cache = Cache::new(&running.store, upstream.client(), running.clock.clone());
        let limited = service::LimitsLayer::new(flags.limits).layer(cache);
        let service = ServerLayer::new("cache", "all".parse().expect("trusted peers")).layer(limited);
        let asked = running.asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let (service, asked) = (service.clone(), asked.clone());
                let service = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(Peer(peer));
                    let answered = service.clone().call(request);
                    asked.fetch_add(1, Ordering::SeqCst);
                    answered
                });
                let served = hyper::server::conn::http1::Builder::new();
                tokio::spawn(served.serve_connection(TokioIo::new(stream), service));
            }
        });
        running
    }

    /// Requests that have reached the cache.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A GET of `target`, whole.
    pub async fn get(&self, target: &str) -> Got {
        self.ask("GET", target, &[]).await
    }

    /// Any request; its body is that of the field `x-body`, if there is one. Host `e` unless told otherwise.
    pub async fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Got {
        self.open(method, target, fields).await.whole().await
    }

    /// Any request, up to the head of its answer.
    pub async fn open(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Opened {
        let stream = TcpStream::connect(self.address).await.expect("the cache listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        let connection = tokio::spawn(connection);
        let (traceparent, trace_id) = telemetry::testing::traceparent();
        let mut request = Request::builder().method(method).uri(target).header("traceparent", traceparent);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Full::<Bytes>::default()).expect("a request");
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("e"));
        let response = sender.send_request(request).await.expect("an answer");
        Opened { response, trace_id, connection, _sender: sender }
    }
}

/// An answer whose body has not been read. Dropped, its connection is closed.
pub struct Opened {
    pub response: Response<Incoming>,
    pub trace_id: String,
    connection: tokio::task::JoinHandle<Result<(), hyper::Error>>,
    _sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Opened {
    /// Reads it to its end, or to where it breaks off.
    pub async fn whole(mut self) -> Got {
        let mut body = Vec::new();
        let mut broken = false;
        while let Some(frame) = self.response.body_mut().frame().await {
            match frame {
                Ok(frame) => body.extend_from_slice(frame.data_ref().expect("no trailers")),
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        Got {
            status: self.response.status(),
            fields: self.response.headers().clone(),
            body: body.into(),
            broken,
            trace_id: self.trace_id.clone(),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Got {
    pub status: StatusCode,
    pub fields: HeaderMap,
    pub body: Bytes,
    pub broken: bool,
    pub trace_id: String,
}

impl Got {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().expect("text"))
    }

    /// All lines of a field.
    pub fn lines(&self, name: &'static str) -> Vec<&str> {
        let name = HeaderName::from_static(name);
        self.fields.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    }

    /// This cache's member of `Cache-Status`.
    pub fn member(&self) -> &str {
        self.lines("cache-status").last().copied().unwrap_or("none")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn is_hit(&self) -> bool {
        self.member().starts_with("cache; hit")
    }
}

/// Waits until `condition` holds; after ten seconds fails with what `state` says.
pub async fn until(state: impl Fn() -> String, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {}", state());
        tokio::task::yield_now().await;
    }
}
