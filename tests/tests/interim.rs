//! Interim responses (1xx) through both proxies, byte by byte: an origin that sends some, the cache, the load balancer,
//! a client that reads what comes.

use std::{net::SocketAddr, time::Duration};

use tests::Service;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// As the origin sends it, and as everybody passes it on.
const HINT: &str =
    "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nlink: </app.js>; rel=preload\r\n\r\n";

/// Nobody listens there: no telemetry.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A load balancer in front of a cache in front of the origin.
struct Path {
    load_balancer: Service,
    _cache: Service,
}

impl Path {
    async fn start() -> Path {
        let origin = origin().await;
        let cache =
            Service::start_alone("cache", &["--upstream", &format!("http://{origin}")], NOWHERE).await;
        let next = format!("http://{}", cache.address());
        let load_balancer = Service::start_alone("load-balancer", &["--upstream", &next], NOWHERE).await;
        Path { load_balancer, _cache: cache }
    }

    /// What comes for these bytes until the connection ends.
    async fn ask(&self, requests: &str) -> String {
        let everything = async {
            let mut stream = TcpStream::connect(self.load_balancer.address()).await?;
            stream.write_all(requests.as_bytes()).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            std::io::Result::Ok(text)
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), everything).await;
        ended.expect("an end within twenty seconds").expect("an end in good order")
    }
}

fn request(method: &str, target: &str, version: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/{version}\r\nhost: e\r\n{fields}\r\n")
}

fn last(method: &str, target: &str) -> String {
    request(method, target, "1.1", "connection: close\r\n")
}

/// Answers by target. `/plain`: 200; `/many`: a thousand interim responses before that; `/cut`: one, and then the end;
/// any other: one before 200, which may be stored.
async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let text = String::from_utf8_lossy(&head);
        let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = if text.starts_with("HEAD") { "" } else { &target };
        let before = match target.as_str() {
            "/plain" => String::new(),
            "/many" => HINT.repeat(1000),
            _ => HINT.to_owned(),
        };
        stream.write_all(before.as_bytes()).await?;
        if target == "/cut" {
            return Ok(());
        }
        let length = target.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// The answer of this text, without the hints that it begins with, and how many they were.
fn after_hints(text: &str) -> (usize, &str) {
    let answer = text.trim_start_matches(HINT);
    ((text.len() - answer.len()) / HINT.len(), answer)
}

#[tokio::test]
async fn early_hints_reach_the_client_and_are_no_part_of_what_is_stored() {
    let path = Path::start().await;
    let first = path.ask(&last("GET", "/hinted")).await;
    let (hints, answer) = after_hints(&first);
    assert_eq!(hints, 1, "{first}");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n/hinted"), "{first}");
    assert!(answer.contains("fwd=uri-miss; fwd-status=200; stored"), "{first}");
    assert!(!answer.contains("link:"), "they are none of the answer's: {first}");

    let hit = path.ask(&last("GET", "/hinted")).await;
    assert!(hit.starts_with("HTTP/1.1 200 OK\r\n") && hit.contains("cache; hit"), "{hit}");
    assert!(!hit.contains("link:") && hit.ends_with("\r\n\r\n/hinted"), "{hit}");

    // What is passed through has them as well.
    for method in ["HEAD", "DELETE"] {
        let text = path.ask(&last(method, "/other")).await;
        let (hints, answer) = after_hints(&text);
        assert!(hints == 1 && answer.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    }
}

#[tokio::test]
async fn early_hints_come_right_before_their_own_answer_among_pipelined_ones() {
    let path = Path::start().await;
    let get = |target| request("GET", target, "1.1", "");
    let requests = [get("/a"), get("/plain"), get("/b"), get("/a"), last("GET", "/c")].concat();
    let text = path.ask(&requests).await;
    let mut rest = text.as_str();
    for (target, expected) in [("/a", 1), ("/plain", 0), ("/b", 1), ("/a", 0), ("/c", 1)] {
        let (hints, answer) = after_hints(rest);
        assert_eq!(hints, expected, "{target}: {text}");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {text}");
        let end = format!("\r\n\r\n{target}");
        let (_, next) = answer.split_once(&end).unwrap_or_else(|| panic!("{target}: {text}"));
        rest = next;
    }
    assert_eq!(rest, "");
}

#[tokio::test]
async fn a_client_of_http_1_0_has_its_answer_alone() {
    let path = Path::start().await;
    let text = path.ask(&request("GET", "/hinted", "1.0", "")).await;
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && text.ends_with("\r\n\r\n/hinted"), "{text}");
    assert!(!text.contains("103"), "{text}");
}

#[tokio::test]
async fn of_a_thousand_interim_responses_sixteen_come_and_the_answer_after_them() {
    let path = Path::start().await;
    let text = path.ask(&last("GET", "/many")).await;
    let (hints, answer) = after_hints(&text);
    assert_eq!(hints, 16, "{text}");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n/many"), "{text}");
}

#[tokio::test]
async fn an_origin_that_ends_after_an_interim_response_is_a_bad_gateway() {
    let path = Path::start().await;
    for (method, attempts) in [("DELETE", 3), ("POST", 1)] {
        let text =
            path.ask(&request(method, "/cut", "1.1", "connection: close\r\ncontent-length: 0\r\n")).await;
        let (hints, answer) = after_hints(&text);
        assert_eq!(hints, attempts, "{text}");
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{text}");
    }
}
