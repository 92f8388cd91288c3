//! Connections: reused, replaced, closed.

use std::{
    io::{Read as _, Write as _},
    sync::mpsc,
};

use clap::Parser as _;
use http_body::Frame;
use http_body_util::StreamBody;
use upstream::testing::{Act, ok, status};

use super::*;

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let replica = Replica::saying("hello").await;
    let client = client(&[&replica], &[]).await;
    for _ in 0..5 {
        assert_eq!(ask(&client, Method::GET, "").await.unwrap(), "hello");
        assert_eq!(ask(&client, Method::POST, "body").await.unwrap(), "hello");
    }
    let seen = replica.seen();
    assert_eq!((seen.accepted, seen.asked.len()), (1, 10));
    assert_eq!(seen.asked[1].body, "body");
}

#[tokio::test]
async fn answers_without_a_body_give_the_connection_back() {
    let replica = Replica::start(|asked| {
        Act::Answer(if asked.head.starts_with("HEAD") {
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned()
        } else {
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
        })
    })
    .await;
    let client = client(&[&replica], &[]).await;
    for method in [Method::HEAD, Method::GET, Method::HEAD, Method::DELETE] {
        assert_eq!(ask(&client, method, "").await.unwrap(), "");
    }
    assert_eq!(replica.seen().accepted, 1);
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_closes_its_connection() {
    let replica =
        Replica::start(|_| Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".into())).await;
    let client = client(&[&replica], &[]).await;
    let mut response = client.send(request(Method::GET, ""), None).await.unwrap();
    let first = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "half");
    drop(response);
    replica.until(|seen| seen.closed == 1).await;
    let _ = client.send(request(Method::GET, ""), None).await.unwrap();
    assert_eq!(replica.seen().accepted, 2);
}

#[tokio::test]
async fn an_answer_goes_on_in_our_own_version() {
    let replica =
        Replica::start(|_| Act::Last("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello".into())).await;
    let client = client(&[&replica], &[]).await;
    let response = client.send(request(Method::GET, ""), None).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_11);
}

#[tokio::test]
async fn an_answer_framed_by_the_end_of_the_connection_does_not_give_it_back() {
    let replica = Replica::start(|_| Act::Last("HTTP/1.1 200 OK\r\n\r\nto the end".into())).await;
    let client = client(&[&replica], &[]).await;
    for _ in 0..2 {
        assert_eq!(ask(&client, Method::GET, "").await.unwrap(), "to the end");
    }
    assert_eq!(replica.seen().accepted, 2);
}

#[tokio::test]
async fn a_request_given_up_closes_its_connection() {
    let replica = Replica::start(|_| Act::Freeze).await;
    let client = client(&[&replica], &[]).await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.send(request(Method::GET, ""), None).await.map(drop) }
    });
    replica.until(|seen| seen.asked.len() == 1).await;
    asking.abort();
    replica.until(|seen| seen.closed == 1).await;
}

#[tokio::test]
async fn connections_idle_for_too_long_are_closed() {
    let replica = Replica::saying("hello").await;
    let client = client(&[&replica], &["--idle-connection-timeout", "100ms"]).await;
    assert_eq!(ask(&client, Method::GET, "").await.unwrap(), "hello");
    replica.until(|seen| seen.closed == 1).await;
}

#[tokio::test]
async fn no_more_than_the_bound_stay_idle() {
    let replica = Replica::saying("hello").await;
    let client = client(&[&replica], &["--max-idle-connections", "1"]).await;
    let (one, other) = tokio::join!(
        client.send(request(Method::GET, ""), None),
        client.send(request(Method::GET, ""), None)
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(text(one).await, "hello");
    assert_eq!(text(other).await, "hello");
    let seen = replica.until(|seen| seen.closed == 1).await;
    assert_eq!(seen.accepted, 2);
}

/// The replica closes idle connections, and a request that must not be sent twice comes before the runtime has looked
/// at its sockets: it must not be written on the closed one.
#[tokio::test]
async fn a_post_is_not_lost_to_a_connection_that_was_closed_while_idle() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (close, told_to_close) = mpsc::channel::<()>();
    let (tell, closed) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut bytes = [0; 4096];
            if stream.read(&mut bytes).is_ok_and(|read| read > 0) {
                stream.write_all(ok("hello").as_bytes()).unwrap();
            }
            let _ = told_to_close.recv();
            drop(stream);
            let _ = tell.send(());
        }
    });
    let flags = Flags::parse_from(["test", "--upstream", &url]);
    let client = Upstream::start(flags.settings).await.unwrap().client();
    for _ in 0..20 {
        assert_eq!(ask(&client, Method::POST, "once").await.unwrap(), "hello");
        // Lets the connection come to rest, then blocks this runtime on purpose: it does not hear of the closing.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        close.send(()).unwrap();
        closed.recv().unwrap();
    }
}

#[tokio::test]
async fn hop_by_hop_fields_stay_on_their_hop() {
    let replica = Replica::start(|_| {
        Act::Answer(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 1\r\n\r\n"
                .into(),
        )
    })
    .await;
    let client = client(&[&replica], &[]).await;
    let mut request = request(Method::GET, "");
    for (name, value) in [
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "secret"),
        ("x-end", "1"),
    ] {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    let response = client.send(request, None).await.unwrap();
    let names: Vec<&str> = response.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["content-length", "x-end"]);
    let head = &replica.seen().asked[0].head;
    assert!(head.starts_with("GET /thing HTTP/1.1\r\n"), "{head}");
    for name in ["connection", "x-hop", "te:", "upgrade", "proxy-"] {
        assert!(!head.contains(name), "{name} in {head}");
    }
    assert!(head.contains("x-end: 1") && head.contains("host: example.com"), "{head}");
}

#[tokio::test]
async fn an_absolute_target_is_sent_in_origin_form() {
    let replica = Replica::saying("hello").await;
    let client = client(&[&replica], &[]).await;
    let mut request = request(Method::GET, "");
    *request.uri_mut() = "http://example.com/a?b".parse().unwrap();
    client.send(request, None).await.unwrap();
    assert!(replica.seen().asked[0].head.starts_with("GET /a?b HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_get_with_a_body_of_unknown_length_keeps_it() {
    let replica = Replica::start(|asked| match asked.nth {
        // The script reads declared lengths only: the chunks of the first request come as if they were a second.
        0 => Act::Answer(String::new()),
        _ => Act::Last(status(200, "")),
    })
    .await;
    let client = client(&[&replica], &[]).await;
    let chunks = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(Frame::data("xyz".into()))]);
    let request = Request::get("/").header("host", "a").body(StreamBody::new(chunks)).unwrap();
    within(client.send(request, None)).await.unwrap();
    let seen = replica.seen();
    assert!(seen.asked[0].head.contains("transfer-encoding: chunked"), "{seen:?}");
    assert_eq!(seen.asked[1].head, "3\r\nxyz\r\n0\r\n\r\n");
}
