//! Bodies, both ways.

use std::io::ErrorKind;

use upstream::testing::{Act, status};

use super::*;

const MIB: usize = 1 << 20;
/// What two hops of loopback sockets and our own buffers may hold; far below what is sent.
const IN_BETWEEN: usize = 48 * MIB;
const ENDLESS: usize = 256 * MIB;

#[tokio::test]
async fn an_answer_that_breaks_off_cuts_the_clients_connection() {
    for (framing, part) in [("Content-Length: 10", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")] {
        let replica =
            Replica::start(move |_| Act::Last(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{part}"))).await;
        let lb = Lb::before(&[&replica], &[]).await;
        let answer = lb.ask("GET", "/", &[]).await;
        assert!(answer.cut, "{answer:?}");
        assert_eq!(answer.body, part, "no end where there was none");
        let line = answer.line().await;
        assert_eq!(line["error.type"], "upstream_body", "{line}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_declared_or_not() {
    let replica = Replica::start(|_| Act::Freeze).await;
    let lb = Lb::before(&[&replica], &["--max-body-bytes", "1000"]).await;
    let answer = lb.ask("POST", "/", &["Content-Length: 1001"]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.line().await["error.type"], "body_too_large");
    let chunk = format!("400\r\n{}\r\n0\r\n\r\n", "x".repeat(1024));
    let answer = lb.say(&(head("POST", "/", &["Transfer-Encoding: chunked"]) + &chunk)).await;
    assert_eq!(answer.status, 413);
    assert!(answer.head.contains("error=http_request_error"), "{}", answer.head);
    let line = answer.line().await;
    assert_eq!((&line["level"], &line["error.type"]), (&"WARN".into(), &"body_too_large".into()));
}

#[tokio::test]
async fn a_body_with_broken_chunks_is_malformed_and_nobody_has_left() {
    let replica = Replica::start(|_| Act::Freeze).await;
    let lb = Lb::before(&[&replica], &[]).await;
    for chunks in ["xyz\r\nabc\r\n0\r\n\r\n", "3\r\nabcX0\r\n\r\n", "10000000000000003\r\nabc\r\n0\r\n\r\n"] {
        let answer = lb.say(&(head("POST", "/", &["Transfer-Encoding: chunked"]) + chunks)).await;
        assert_eq!(answer.status, 400, "{chunks:?}");
        let line = answer.line().await;
        assert_eq!(line["error.type"], "malformed_body", "{chunks:?}: {line}");
    }
}

/// Writes until nobody takes any more, whatever is done meanwhile; returns how much was taken.
async fn fill(stream: &TcpStream) -> usize {
    let block = vec![b'x'; 64 * 1024];
    let (mut taken, mut refused) = (0, 0);
    while taken < ENDLESS && refused < 200 {
        match stream.try_write(&block) {
            Ok(wrote) => (taken, refused) = (taken + wrote, 0),
            // Everybody else gets their turn: after so many turns without room nothing moves any more.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("broken after {taken} bytes: {error}"),
        }
    }
    taken
}

#[tokio::test]
async fn an_answer_waits_for_its_reader_and_then_arrives_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lb = Lb::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), &url, &[]).await;
    let mut client = TcpStream::connect(lb.address).await.unwrap();
    client.write_all(head("GET", "/", &[]).as_bytes()).await.unwrap();
    let (mut replica, _) = listener.accept().await.unwrap();
    let _ = replica.read(&mut [0; 4096]).await.unwrap();
    let start = format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n");
    replica.write_all(start.as_bytes()).await.unwrap();
    let taken = fill(&replica).await;
    assert!(taken < IN_BETWEEN, "{} MiB taken and nobody reads", taken / MIB);
    let sending = async {
        let block = vec![b'x'; MIB];
        let mut left = ENDLESS - taken;
        while left > 0 {
            let next = left.min(MIB);
            replica.write_all(&block[..next]).await.unwrap();
            left -= next;
        }
    };
    let ((), read) = tokio::join!(sending, read_exactly(&mut client, ENDLESS));
    assert_eq!(read, ENDLESS);
}

#[tokio::test]
async fn a_request_waits_for_its_replica_and_then_arrives_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let flags = ["--max-body-bytes", &ENDLESS.to_string()];
    let lb = Lb::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), &url, &flags).await;
    let mut client = TcpStream::connect(lb.address).await.unwrap();
    let length = format!("Content-Length: {ENDLESS}");
    client.write_all(head("PUT", "/", &[&length]).as_bytes()).await.unwrap();
    let taken = fill(&client).await;
    assert!(taken < IN_BETWEEN, "{} MiB taken and nobody reads", taken / MIB);
    let (mut replica, _) = listener.accept().await.unwrap();
    let sending = async {
        let block = vec![b'x'; MIB];
        let mut left = ENDLESS - taken;
        while left > 0 {
            let next = left.min(MIB);
            client.write_all(&block[..next]).await.unwrap();
            left -= next;
        }
    };
    let ((), read) = tokio::join!(sending, read_exactly(&mut replica, ENDLESS));
    assert_eq!(read, ENDLESS);
    replica.write_all(status(201, "").as_bytes()).await.unwrap();
    assert_eq!(Answer::read(&mut client).await.status, 201);
}

/// Reads a head and then as much of a body as there is, up to `expected`.
async fn read_exactly(stream: &mut TcpStream, expected: usize) -> usize {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let mut block = vec![0; 256 * 1024];
    let mut read = 0;
    while read < expected {
        match stream.read(&mut block).await.unwrap() {
            0 => break,
            more => read += more,
        }
    }
    read
}
