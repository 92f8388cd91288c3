//! The layer under a real HTTP/1.1 server: who drops what, and when, is its doing.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use telemetry::{ServerLayer, testing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tower::{Layer as _, Service as _};

use crate::fixture::{Step, script};

/// A connection to the layer around a handler that answers by the path.
fn connect() -> DuplexStream {
    testing::capture();
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(crate::fixture::peer("127.0.0.1:40000"));
            let mut layered =
                ServerLayer::new("cache", "loopback".parse().unwrap()).layer(tower::service_fn(answer));
            layered.call(request)
        });
        // A client that leaves is an error to this connection and no news to the test.
        let _ =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service).await;
    });
    client
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<http_body_util::Either<Full<Bytes>, crate::fixture::Scripted>>, Infallible> {
    let body = match request.uri().path() {
        "/stalls" => http_body_util::Either::Right(script([Step::Data("ab"), Step::Stall])),
        _ => http_body_util::Either::Left(Full::new(Bytes::from_static(b"whole"))),
    };
    Ok(Response::new(body))
}

/// Asks and reads until the answer holds `until`; returns it.
async fn ask(connection: &mut DuplexStream, method: &str, path: &str, until: &str) -> (String, String) {
    let (traceparent, trace) = testing::traceparent();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: a\r\ntraceparent: {traceparent}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.contains(until) {
        let mut bytes = [0; 4096];
        let count = connection.read(&mut bytes).await.unwrap();
        assert!(count > 0, "the connection ended: {answer}");
        answer.push_str(str::from_utf8(&bytes[..count]).unwrap());
    }
    (answer, trace)
}

fn ended(trace: &str) -> (u64, Option<String>) {
    let line = testing::wait_for_line(trace, "request");
    (line["status"].as_u64().unwrap(), line.get("error.type").map(|kind| kind.as_str().unwrap().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_connection_end_whole_and_a_head_keeps_its_length() {
    let mut connection = connect();
    let (answer, trace) = ask(&mut connection, "HEAD", "/", "\r\n\r\n").await;
    assert!(answer.contains("content-length: 5\r\n"), "{answer}");
    assert_eq!(ended(&trace), (200, None));
    let (answer, trace) = ask(&mut connection, "GET", "/", "whole").await;
    assert!(answer.contains("content-length: 5\r\n"), "{answer}");
    assert_eq!(ended(&trace), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_during_the_body_is_a_client_that_left() {
    let mut connection = connect();
    let (_, trace) = ask(&mut connection, "GET", "/stalls", "2\r\nab\r\n").await;
    assert!(testing::spans(&trace).is_empty());
    drop(connection);
    assert_eq!(ended(&trace), (200, Some("client_closed".to_owned())));
}
