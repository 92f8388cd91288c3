//! A cache between a client and an origin that does as it is told, all over sockets, in one process.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cache::{Cache, Clock, Memory, Policy, Second, SecondSettings, Store};
use clap::Parser;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use telemetry::{Peer, ServerLayer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tower::{Layer, Service};

/// What a client got.
mod got;

pub(crate) use got::{Got, Opened};

/// How long is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A door that is shut until it is opened, for good.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub(crate) fn shut() -> Gate {
        Gate(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open; fails in the end, naming `what` was waited for.
    pub(crate) async fn opened(&self, what: &str) {
        until(|| what.to_owned(), || *self.0.borrow()).await;
    }

    async fn passed(&self) {
        let mut open = self.0.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }
}

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
    /// 0 for the first.
    pub(crate) nth: usize,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// What the origin answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<Step>,
    /// The head waits for it.
    pub(crate) after: Option<Gate>,
    /// Without it the body's length is said.
    pub(crate) chunked: bool,
    /// The connection is closed in place of an answer.
    pub(crate) cut: bool,
    /// Opened when the body is dropped, sent or not.
    pub(crate) dropped: Option<Gate>,
}

/// A part of an origin's body.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Bytes),
    Wait(Gate),
    /// The connection is closed here.
    Break,
}

pub(crate) fn reply(status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let body = body.into();
    let body = if body.is_empty() { vec![] } else { vec![Step::Send(body)] };
    Reply {
        status,
        fields: fields.iter().map(own).collect(),
        body,
        after: None,
        chunked: false,
        cut: false,
        dropped: None,
    }
}

impl Reply {
    pub(crate) fn after(mut self, gate: &Gate) -> Reply {
        self.after = Some(gate.clone());
        self
    }

    pub(crate) fn chunked(mut self) -> Reply {
        self.chunked = true;
        self
    }

    pub(crate) fn cut(mut self) -> Reply {
        self.cut = true;
        self
    }

    pub(crate) fn told_when_dropped(mut self, gate: &Gate) -> Reply {
        self.dropped = Some(gate.clone());
        self
    }

    pub(crate) fn then(mut self, step: Step) -> Reply {
        self.body.push(step);
        self
    }
}

type Answer = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// An origin over real sockets.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let origin = Origin { address, seen: Arc::default() };
        let (answer, seen): (Answer, _) = (Arc::new(answer), origin.seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (answer.clone(), seen.clone());
                let service = service_fn(move |request| serve_origin(request, answer.clone(), seen.clone()));
                // Its `Date` would be that of the system, not of the clock that the cache is given.
                let mut served = hyper::server::conn::http1::Builder::new();
                served.auto_date_header(false);
                tokio::spawn(served.serve_connection(TokioIo::new(stream), service));
            }
        });
        origin
    }

    /// Every request so far, in the order they arrived.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }
}

type OriginBody = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

async fn serve_origin(
    request: Request<Incoming>,
    answer: Answer,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<OriginBody>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("the request's body is whole").to_bytes();
    let now = {
        let mut seen = seen.lock().expect("not poisoned");
        let nth = seen.len();
        let target = head.uri.to_string();
        seen.push(Seen { method: head.method, target, fields: head.headers, body, nth });
        seen.last().expect("just pushed").clone()
    };
    let reply = answer(&now);
    if let Some(gate) = &reply.after {
        gate.passed().await;
    }
    if reply.cut {
        return Err(std::io::Error::other("told to close without an answer"));
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
    let dropped = OpensOnDrop(reply.dropped);
    let steps =
        futures_util::stream::unfold((reply.body.into_iter(), dropped), |(mut steps, dropped)| async move {
            loop {
                match steps.next()? {
                    Step::Send(bytes) => return Some((Ok(Frame::data(bytes)), (steps, dropped))),
                    Step::Wait(gate) => gate.passed().await,
                    Step::Break => {
                        return Some((Err(std::io::Error::other("told to break")), (steps, dropped)));
                    }
                }
            }
        });
    let head = now.method == Method::HEAD;
    let body = if head || bodiless || length == 0 && !reply.chunked {
        Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync()
    } else {
        BodyExt::boxed_unsync(StreamBody::new(steps))
    };
    Ok(response.body(body).expect("a response"))
}

struct OpensOnDrop(Option<Gate>);

impl Drop for OpensOnDrop {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.open();
        }
    }
}

/// An origin that answers every connection's first request with these bytes and closes it; and how often it has.
pub(crate) async fn raw_origin(answer: &'static str) -> (SocketAddr, impl Fn() -> usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
            {
            }
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, move || count.load(Ordering::SeqCst))
}

/// A running cache.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<Store>,
    pub(crate) second: Option<Arc<Second>>,
    asked: Arc<AtomicUsize>,
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    upstream: upstream::Settings,
    #[command(flatten)]
    limits: service::Limits,
}

pub(crate) const MEMORY: Memory = Memory { total: 64 << 20, object: 8 << 20 };

impl Running {
    /// A cache in front of `origin`.
    pub(crate) async fn start(origin: &Origin) -> Running {
        Running::with(origin.address, MEMORY).await
    }

    pub(crate) async fn with(origin: SocketAddr, memory: Memory) -> Running {
        Running::by(origin, memory, Policy::default()).await
    }

    pub(crate) async fn by(origin: SocketAddr, memory: Memory, policy: Policy) -> Running {
        Running::over(origin, memory, policy, None).await
    }

    /// One that shares what it stores with others in this Redis, and waits for it. Its clock goes.
    pub(crate) async fn sharing(origin: &Origin, redis: &tests::Redis) -> Running {
        Running::sharing_in("test", origin, redis).await
    }

    /// The same, under a namespace of its own.
    pub(crate) async fn sharing_in(namespace: &str, origin: &Origin, redis: &tests::Redis) -> Running {
        Running::sharing_as(namespace, PATIENCE, origin, redis).await
    }

    /// The same; a request may be late by so much because of Redis.
    pub(crate) async fn sharing_within(budget: Duration, origin: &Origin, redis: &tests::Redis) -> Running {
        Running::sharing_as("test", budget, origin, redis).await
    }

    async fn sharing_as(namespace: &str, budget: Duration, origin: &Origin, redis: &tests::Redis) -> Running {
        let second = SecondSettings {
            url: redis.url(),
            namespace: namespace.to_owned(),
            budget,
            object: 1 << 20,
            longest: Duration::from_secs(3600),
        };
        Running::over(origin.address, MEMORY, Policy::default(), Some(second)).await
    }

    async fn over(
        origin: SocketAddr,
        memory: Memory,
        policy: Policy,
        second: Option<SecondSettings>,
    ) -> Running {
        telemetry::testing::capture();
        let url = format!("http://{origin}");
        let flags = Flags::parse_from(["test", "--upstream", &url, "--max-in-flight", "100000"]);
        let upstream = upstream::Upstream::start(flags.upstream).await.expect("an upstream");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let clock = if second.is_some() { Clock::system() } else { Clock::standing() };
        let store = Store::new(memory);
        let start = |second| Second::start(second, &store, clock.clone()).expect("a URL");
        let running = Running {
            address: listener.local_addr().expect("an address"),
            second: second.map(start),
            clock,
            store,
            asked: Arc::default(),
        };
        let cache = Cache::new(&running.store, upstream.client(), running.clock.clone(), policy);
        let cache = cache.with_second(running.second.as_ref());
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

    /// Waits until it uses Redis.
    pub(crate) async fn uses_redis(&self) {
        let second = self.second.as_ref().expect("a second level");
        until(|| "Redis is used".to_owned(), || second.is_used()).await;
    }

    /// Waits until it has heard of every invalidation that Redis knows of.
    pub(crate) async fn hears(&self, redis: &tests::Redis, namespace: &str) {
        let second = self.second.as_ref().expect("a second level");
        let last = redis.cli(&["GET", &format!("{namespace}:1:n")]).parse().unwrap_or(0);
        until(|| format!("invalidation {last} is heard"), || second.heard() >= Some(last)).await;
    }

    /// Waits until it leaves Redis alone.
    pub(crate) async fn leaves_redis_alone(&self) {
        let second = self.second.as_ref().expect("a second level");
        until(|| "Redis is left alone".to_owned(), || !second.is_used()).await;
    }

    /// Requests that have reached the cache.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A GET of `target`, whole.
    pub(crate) async fn get(&self, target: &str) -> Got {
        self.ask("GET", target, &[]).await
    }

    /// Any request without a body. Host `e` unless told otherwise.
    pub(crate) async fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Got {
        self.open(method, target, fields).await.whole().await
    }

    /// Any request with a body.
    pub(crate) async fn send(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Got {
        self.begin(method, target, fields, body).await.whole().await
    }

    /// Any request without a body, up to the head of its answer.
    pub(crate) async fn open(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Opened {
        self.begin(method, target, fields, "").await
    }

    async fn begin(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Opened {
        let stream = TcpStream::connect(self.address).await.expect("the cache listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        let connection = tokio::spawn(connection);
        let (traceparent, trace_id) = telemetry::testing::traceparent();
        let mut request = Request::builder().method(method).uri(target).header("traceparent", traceparent);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request =
            request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request");
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("e"));
        let answer = sender.send_request(request);
        let response = timeout(PATIENCE, answer).await.expect("an answer in time").expect("an answer");
        Opened::new(response, trace_id, connection, sender)
    }
}

/// Waits until `condition` holds; fails in the end with what `state` says.
pub(crate) async fn until(state: impl Fn() -> String, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {}", state());
        tokio::task::yield_now().await;
    }
}
