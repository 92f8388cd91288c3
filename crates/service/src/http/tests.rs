//! Connections on real sockets: their times, their number, what is refused, and how they end.

use std::{
    convert::Infallible,
    io::{self, Write},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::{Request, Response, StatusCode, body::Incoming};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tower_layer::Layer;

use super::{Listener, Serving};
use crate::{Draining, LimitedBody, Limits, LimitsLayer, RequestBodyError};

/// Interim responses.
mod interim;

/// No wait of these tests is longer.
const BOUND: Duration = Duration::from_secs(10);

/// A listener that is served by two threads. `/` answers at once, `/held` when a permit of `gate` is there, `/read`
/// when the body is read; the body of `/broken` breaks off.
struct Server {
    address: SocketAddr,
    draining: Draining,
    serving: Serving,
    // Given in when a request may end.
    gate: Arc<Semaphore>,
    counts: Arc<Counts>,
}

/// How many requests have begun, and how many of them have ended or were given up.
#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

struct InHand(Arc<Counts>);

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

async fn server(limits: Limits) -> Server {
    let (gate, counts) = (Arc::new(Semaphore::new(0)), Arc::new(Counts::default()));
    let draining = Draining::default();
    let make = {
        let (gate, counts, kept) = (gate.clone(), counts.clone(), limits.clone());
        move |_thread| {
            let (gate, counts) = (gate.clone(), counts.clone());
            let answers = tower::service_fn(move |request| answer(request, gate.clone(), counts.clone()));
            LimitsLayer::new(kept.clone()).layer(answers)
        }
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(listen, limits, false, draining.clone(), make).unwrap();
    let address = listener.address();
    let serving = Serving::start(vec![listener], 2, &draining).await.unwrap();
    Server { address, draining, serving, gate, counts }
}

async fn answer(
    request: Request<LimitedBody<Incoming>>,
    gate: Arc<Semaphore>,
    counts: Arc<Counts>,
) -> Result<Response<Either<Full<Bytes>, BreaksOff>>, Infallible> {
    counts.begun.fetch_add(1, Ordering::SeqCst);
    let _in_hand = InHand(counts);
    let peer = request.extensions().get::<telemetry::Peer>().copied();
    match request.uri().path() {
        "/held" => gate.acquire().await.unwrap().forget(),
        "/read" => {
            let status = match request.into_body().collect().await {
                Ok(_) => StatusCode::OK,
                Err(RequestBodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
                Err(RequestBodyError::Idle { .. }) => StatusCode::REQUEST_TIMEOUT,
                Err(RequestBodyError::Broken(_)) => StatusCode::BAD_REQUEST,
            };
            return Ok(Response::builder().status(status).body(Either::Left(Full::default())).unwrap());
        }
        "/broken" => {
            return Ok(Response::new(Either::Right(BreaksOff {
                part: Some(Bytes::from_static(b"half")),
                waited: false,
            })));
        }
        _ => {}
    }
    Ok(Response::new(Either::Left(Full::from(format!("to {}", peer.unwrap().0)))))
}

/// The body of an answer that comes in part, and breaks off when that part is on its way.
struct BreaksOff {
    part: Option<Bytes>,
    waited: bool,
}

impl Body for BreaksOff {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(part) = self.part.take() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        if !std::mem::replace(&mut self.waited, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::other("gone"))))
    }
}

impl Server {
    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    async fn ask(&self, text: &str) -> String {
        let mut client = self.connect().await;
        client.send(text).await;
        client.rest().await
    }

    async fn until_begun(&self, requests: usize) {
        let seen = || self.counts.begun.load(Ordering::SeqCst);
        until(&format!("{requests} requests have begun"), || {
            (seen() >= requests).then_some(()).ok_or(seen())
        })
        .await;
    }

    async fn end(mut self) -> Duration {
        let started = Instant::now();
        self.draining.begin();
        timeout(BOUND, self.serving.drained()).await.expect("drains within its bound");
        self.serving.stop().await;
        started.elapsed()
    }
}

/// Waits for a condition; says its last state when it does not come.
async fn until<S: std::fmt::Debug>(what: &str, mut condition: impl FnMut() -> Result<(), S>) {
    let started = Instant::now();
    while let Err(state) = condition() {
        assert!(started.elapsed() < BOUND, "{what}: {state:?}");
        tokio::task::yield_now().await;
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// One answer whose length is declared.
    async fn answer(&mut self) -> String {
        timeout(BOUND, async {
            let mut text = String::new();
            let mut byte = [0];
            while !text.ends_with("\r\n\r\n") {
                assert_eq!(self.0.read(&mut byte).await.unwrap(), 1, "ended after {text:?}");
                text.push(char::from(byte[0]));
            }
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            self.0.read_exact(&mut body).await.unwrap();
            text + std::str::from_utf8(&body).unwrap()
        })
        .await
        .expect("an answer within the bound")
    }

    async fn hears_nothing_for(&mut self, time: Duration) {
        let heard = timeout(time, self.0.peek(&mut [0])).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// What comes until the server ends the connection.
    async fn rest(&mut self) -> String {
        let mut text = String::new();
        timeout(BOUND, self.0.read_to_string(&mut text)).await.expect("an end within the bound").unwrap();
        text
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_and_know_their_peer() {
    let server = server(Limits::default()).await;
    let mut client = server.connect().await;
    let me = client.0.local_addr().unwrap();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(client.answer().await.ends_with(&format!("to {me}")));
    }
    server.end().await;
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let server = server(Limits::default()).await;
    let mut idle = server.connect().await;
    idle.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    idle.answer().await;
    let mut busy = server.connect().await;
    busy.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.until_begun(2).await;

    server.draining.begin();
    assert_eq!(idle.rest().await, "");
    let address = server.address;
    server.gate.add_permits(1);
    let answer = busy.rest().await;
    assert_eq!(status(&answer), "200");
    assert!(answer.contains("connection: close"), "{answer}");
    drop((idle, busy));
    server.end().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_connection_made_just_before_draining_gets_its_answer() {
    let server = server(Limits::default()).await;
    let mut client = server.connect().await;
    server.draining.begin();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(status(&client.rest().await), "200");
    drop(client);
    server.end().await;
}

#[tokio::test]
async fn what_the_kernel_has_taken_in_is_accepted_before_the_door_closes() {
    let server = server(Limits::default()).await;
    let address = server.address;
    // Blocking calls on the runtime of the acceptor, which therefore sees none of them before draining begins.
    let mut clients: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    }
    server.draining.begin();
    for client in clients {
        client.set_nonblocking(true).unwrap();
        let mut client = Client(TcpStream::from_std(client).unwrap());
        assert_eq!(status(&client.rest().await), "200");
    }
    server.end().await;
}

#[tokio::test]
async fn no_request_fails_when_draining_begins_under_load() {
    let server = server(Limits::default()).await;
    let (address, draining) = (server.address, server.draining.clone());
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let draining = draining.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                // One connection a request: none may be accepted and then left without its answer.
                while let Ok(stream) = TcpStream::connect(address).await {
                    let was_draining = draining.is_draining();
                    let mut client = Client(stream);
                    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
                    let answer = client.rest().await;
                    assert_eq!(status(&answer), "200", "draining: {was_draining}");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    server.until_begun(200).await;
    server.end().await;
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_slow_head_is_answered_408_though_the_connection_may_idle_for_longer() {
    let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = server(limits).await;
    assert_eq!(status(&server.ask("GET / HTTP/1.1\r\nhost:").await), "408");

    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.answer().await;
    // Longer than a head may take: idleness is no slow head.
    client.hears_nothing_for(Duration::from_millis(200)).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.answer().await;
    client.send("GET ").await;
    assert_eq!(status(&client.rest().await), "408");
    drop(client);
    server.end().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word_though_its_head_may_take_longer() {
    let limits = Limits { keep_alive_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = server(limits).await;
    let mut silent = server.connect().await;
    assert_eq!(silent.rest().await, "");

    let mut client = server.connect().await;
    client.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.until_begun(1).await;
    // Being served is not being idle, however long it takes.
    client.hears_nothing_for(Duration::from_millis(200)).await;
    server.gate.add_permits(1);
    assert_eq!(status(&client.answer().await), "200");
    assert_eq!(client.rest().await, "");
    drop((silent, client));
    server.end().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_in_its_own_words() {
    let limits = Limits {
        max_body_bytes: 100,
        max_uri_bytes: 50,
        max_header_bytes: 2048,
        body_idle_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = server(limits).await;
    let post = |rest: &str| format!("POST /read HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{rest}");
    let chunk = "3c\r\n".to_owned() + &"x".repeat(60) + "\r\n";
    let long = "x".repeat(60);
    let table = [
        ("100", format!("GET /{long} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"), "414"),
        ("a long header", format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(4096)), "431"),
        ("declared", post("content-length: 101\r\n\r\n"), "413"),
        ("declared, the body sent", post("content-length: 8000000\r\n\r\n") + &"x".repeat(8_000_000), "413"),
        ("just fits", post("content-length: 100\r\n\r\n") + &"x".repeat(100), "200"),
        (
            "chunked, too much",
            post("transfer-encoding: chunked\r\n\r\n") + &chunk + &chunk + "0\r\n\r\n",
            "413",
        ),
        ("chunked, fits", post("transfer-encoding: chunked\r\n\r\n") + &chunk + "0\r\n\r\n", "200"),
        ("stands still", post("content-length: 10\r\n\r\nxxx"), "408"),
    ];
    for (what, request, expected) in table {
        let answer = server.ask(&request).await;
        assert_eq!(status(&answer), expected, "{what}: {answer}");
    }
    server.end().await;
}

#[tokio::test]
async fn an_unreadable_head_is_answered_and_the_connection_closed() {
    let server = server(Limits::default()).await;
    let refused = ["nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\na b: c\r\n\r\n"];
    for head in refused {
        assert_eq!(status(&server.ask(head).await), "400", "{head:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    let server = server(Limits::default()).await;
    for (version, marked) in [("1.1", "4\r\nhalf\r\n"), ("1.0", "half")] {
        let mut client = server.connect().await;
        client.send(&format!("GET /broken HTTP/{version}\r\nhost: a\r\n\r\n")).await;
        let mut bytes = Vec::new();
        let end = timeout(BOUND, client.0.read_to_end(&mut bytes)).await.expect("an end within the bound");
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.ends_with(marked), "{text:?}");
        // Chunks say that the end is missing; without them the end of the connection must not be one in good order.
        let reset = end.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        assert_eq!(reset, version == "1.0", "{text:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let server = server(Limits { max_connections: 1, ..Limits::default() }).await;
    let mut first = server.connect().await;
    first.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    first.answer().await;
    let mut second = server.connect().await;
    second.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    second.hears_nothing_for(Duration::from_millis(100)).await;
    assert_eq!(server.serving.open_connections(), 1);
    drop(first);
    second.answer().await;
    drop(second);
    server.end().await;
}

#[tokio::test]
async fn an_address_is_bound_exclusively() {
    let server = server(Limits::default()).await;
    let error = super::bind(server.address).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    server.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let server = server(Limits::default()).await;
    let mut client = server.connect().await;
    client.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.until_begun(1).await;
    drop(client);
    let ended = || server.counts.ended.load(Ordering::SeqCst);
    until("the request is given up", || if ended() == 1 { Ok(()) } else { Err(ended()) }).await;
    server.end().await;
}
