//! Connections on real sockets: their times, their number, what is refused, and how they end.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use super::{Listener, Serving};
use crate::{Draining, Limits};

/// No wait of these tests is longer.
const BOUND: Duration = Duration::from_secs(10);

/// A listener that is served by two threads. `/` answers at once, `/held` when a permit of `gate` is there.
struct Server {
    address: SocketAddr,
    draining: Draining,
    serving: Serving,
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
}

async fn server(limits: Limits) -> Server {
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let draining = Draining::default();
    let make = {
        let (gate, begun) = (gate.clone(), begun.clone());
        move |_thread| {
            let (gate, begun) = (gate.clone(), begun.clone());
            tower::service_fn(move |request| answer(request, gate.clone(), begun.clone()))
        }
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(listen, limits, false, draining.clone(), make).unwrap();
    let address = listener.address();
    let serving = Serving::start(vec![listener], 2, &draining).await.unwrap();
    Server { address, draining, serving, gate, begun }
}

async fn answer(
    request: Request<Incoming>,
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    begun.fetch_add(1, Ordering::SeqCst);
    let peer = request.extensions().get::<telemetry::Peer>().copied();
    let path = request.uri().path().to_owned();
    if path == "/read" {
        let _ = request.into_body().collect().await;
    }
    if path == "/held" {
        gate.acquire().await.unwrap().forget();
    }
    Ok(Response::new(Full::from(format!("to {}", peer.unwrap().0))))
}

impl Server {
    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    async fn until_begun(&self, requests: usize) {
        let seen = || self.begun.load(Ordering::SeqCst);
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
