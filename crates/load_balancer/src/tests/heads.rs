//! Heads: what is passed on, stamped, refused.

use upstream::testing::{Act, ok, status};

use super::*;

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(other, _)| *other == name).map(|(_, value)| value)
}

#[tokio::test]
async fn a_request_is_stamped_and_its_answer_names_its_trace() {
    let replica = Replica::saying("hello").await;
    let lb = Lb::before(&[&replica], &[]).await;
    let answer =
        lb.ask("GET", "/a?b=c", &["X-Forwarded-For: 10.0.0.1", "x_under: 1", "Connection: close"]).await;
    assert_eq!((answer.status, &*answer.body), (200, "hello"));
    let head = replica.seen().asked[0].head.clone();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host"), Some("example.com"));
    assert_eq!(field(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(field(&head, "x-forwarded-host"), Some("example.com"));
    assert_eq!(field(&head, "forwarded"), Some("for=127.0.0.1;host=\"example.com\";proto=http"));
    assert!(field(&head, "via").unwrap().starts_with("1.1 throughline-"), "{head}");
    assert!(!head.contains("x_under") && !head.contains("connection"), "{head}");
    let traceparent = field(&head, "traceparent").unwrap();
    assert!(traceparent.contains(&answer.trace_id()), "{traceparent}");
    assert!(answer.field("server-timing").unwrap().contains("load_balancer;dur="), "{}", answer.head);
}

#[tokio::test]
async fn a_trusted_peers_forwarded_fields_are_kept() {
    let replica = Replica::saying("").await;
    let lb = Lb::before(&[&replica], &["--trusted-peers", "loopback"]).await;
    lb.ask("GET", "/", &["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"]).await;
    let head = replica.seen().asked[0].head.clone();
    assert_eq!(field(&head, "x-forwarded-for"), Some("192.0.2.7, 127.0.0.1"));
    assert_eq!(field(&head, "x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn a_target_has_one_form_for_the_replica_and_for_the_line() {
    let replica = Replica::saying("").await;
    let lb = Lb::before(&[&replica], &[]).await;
    let answer = lb.ask("GET", "/a/%2e%2e/%7eb?x=/../", &[]).await;
    assert!(replica.seen().asked[0].head.starts_with("GET /~b?x=/../ HTTP/1.1\r\n"));
    assert_eq!(answer.line().await["path"], "/~b");
}

#[tokio::test]
async fn what_a_replica_might_read_differently_never_reaches_one() {
    let replica = Replica::saying("").await;
    let lb = Lb::before(&[&replica], &[]).await;
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
    let host = "Host: example.com\r\n";
    let cases = [
        (get("/a%2fb", host), 400),
        (get("/a%5cb", host), 400),
        (get("/%00", host), 400),
        (get("/%zz", host), 400),
        (get("/", ""), 400),
        (get("/", "Host: a\r\nHost: a\r\n"), 400),
        (get("/", "Host: me@a\r\n"), 400),
        (get("http://other.com/", host), 400),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned(), 405),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(), 501),
    ];
    for (bytes, status) in cases {
        let answer = lb.say(&bytes).await;
        assert_eq!(answer.status, status, "{bytes:?}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{bytes:?}");
        assert!(
            answer.field("proxy-status").unwrap().starts_with("load_balancer; error=http_request_"),
            "{bytes:?}"
        );
        assert!(answer.body.contains(&answer.trace_id()), "{bytes:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{bytes:?}");
        assert_eq!(answer.line().await["status"], status, "{bytes:?}");
    }
    assert!(replica.seen().asked.is_empty());
}

/// RFC 9112 §6.3: chunks overrule a length, and nothing is read of what follows such a request.
#[tokio::test]
async fn a_length_beside_chunks_goes_no_further_and_ends_the_connection() {
    let replica = Replica::saying("hello").await;
    let lb = Lb::before(&[&replica], &[]).await;
    let both = [
        ["Content-Length: 40", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
    ];
    for fields in both {
        let bytes = head("POST", "/", &fields) + "0\r\n\r\n" + &head("GET", "/hidden", &[]);
        let mut stream = TcpStream::connect(lb.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answers = String::new();
        // Reset or not: what matters is that it ends.
        let _ = stream.read_to_string(&mut answers).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    }
    // The replica reads no chunks: what ends them looks to it like a head.
    let asked: String = replica.seen().asked.into_iter().map(|asked| asked.head).collect();
    assert_eq!(asked.matches("POST / HTTP/1.1").count(), 2, "{asked}");
    assert!(!asked.contains("content-length") && !asked.contains("hidden"), "{asked}");
}

#[tokio::test]
async fn an_absolute_target_of_the_same_host_is_served() {
    let replica = Replica::saying("hello").await;
    let lb = Lb::before(&[&replica], &[]).await;
    assert_eq!(lb.ask("GET", "http://example.com/a/./b", &[]).await.status, 200);
    assert!(replica.seen().asked[0].head.starts_with("GET /a/b HTTP/1.1\r\n"));
}

#[tokio::test]
async fn options_without_forwards_left_is_answered_here() {
    let replica = Replica::saying("").await;
    let lb = Lb::before(&[&replica], &[]).await;
    let answer = lb.ask("OPTIONS", "*", &["Max-Forwards: 0"]).await;
    assert_eq!(answer.status, 204);
    assert!(answer.field("allow").unwrap().contains("GET"));
    assert!(replica.seen().asked.is_empty());
    lb.ask("OPTIONS", "*", &["Max-Forwards: 3"]).await;
    assert_eq!(field(&replica.seen().asked[0].head, "max-forwards"), Some("2"));
}

#[tokio::test]
async fn a_loop_ends_at_its_second_round() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lb = Lb::on(listener, &url, &[]).await;
    let answer = lb.ask("GET", "/", &[]).await;
    assert_eq!(answer.status, 508);
    assert!(answer.head.contains("error=proxy_loop_detected"), "{}", answer.head);
}

#[tokio::test]
async fn a_replicas_own_error_is_passed_on_and_signed() {
    let replica = Replica::start(|_| Act::Answer(status(503, "Retry-After: 7\r\n"))).await;
    let lb = Lb::before(&[&replica], &[]).await;
    let answer = lb.ask("GET", "/", &[]).await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("7")));
    assert_eq!(answer.field("proxy-status"), Some("load_balancer; received-status=503"));
    assert_eq!(replica.seen().asked.len(), 1);
}

#[tokio::test]
async fn no_replica_is_503_with_retry_after_and_a_line_that_says_why() {
    let replica = Replica::saying("").await;
    let lb = Lb::before(&[&replica], &[]).await;
    drop(replica);
    tokio::task::yield_now().await;
    let answer = lb.ask("GET", "/", &[]).await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    let expected = "load_balancer; error=connection_refused; details=\"the replica refuses connections\"";
    assert_eq!(answer.field("proxy-status"), Some(expected));
    assert!(answer.body.contains(&answer.trace_id()));
    assert!(!answer.body.contains("127.0.0.1"), "no internals: {}", answer.body);
    let line = answer.line().await;
    assert_eq!(
        (&line["error.type"], &line["level"], &line["attempts"]),
        (&"connect".into(), &"ERROR".into(), &3.into())
    );
    let chain = line["exception.message"].as_str().unwrap();
    assert!(chain.contains("refuse") && chain.contains("cannot connect"), "{chain}");
}

#[tokio::test]
async fn the_nearest_caches_hit_is_on_the_line() {
    let replica = Replica::start(|asked| {
        let said = if asked.nth == 0 { "far; hit, cache; fwd=miss" } else { "far; fwd=miss, cache; hit" };
        Act::Answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Status: {said}\r\n\r\n"))
    })
    .await;
    let lb = Lb::before(&[&replica], &[]).await;
    assert_eq!(lb.ask("GET", "/", &[]).await.line().await["cache_hit"], false);
    assert_eq!(lb.ask("GET", "/", &[]).await.line().await["cache_hit"], true);
}

#[tokio::test]
async fn a_refusals_line_has_the_fields_of_a_proxy() {
    let replica = Replica::saying("never asked").await;
    let lb = Lb::before(&[&replica], &[]).await;
    // One that the proxy itself refuses, and one that is refused before it.
    for (method, path, status) in [("TRACE", "/".to_owned(), 405), ("GET", "/".repeat(9000), 414)] {
        let answer = lb.ask(method, &path, &[]).await;
        assert_eq!(answer.status, status);
        let line = answer.line().await;
        assert_eq!((&line["cache_hit"], &line["attempts"]), (&false.into(), &0.into()), "{line}");
        for name in ["routing_ms", "queue_ms", "upstream_ms"] {
            assert!(line[name].is_f64(), "{name} in {line}");
        }
    }
}

#[tokio::test]
async fn an_expectation_is_met_here() {
    let replica = Replica::start(|_| Act::Answer(ok("done"))).await;
    let lb = Lb::before(&[&replica], &[]).await;
    let mut stream = TcpStream::connect(lb.address).await.unwrap();
    let head = head("POST", "/", &["Content-Length: 4", "Expect: 100-continue"]);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.body, "done");
    let asked = replica.seen().asked[0].clone();
    assert!(asked.body == "body" && !asked.head.contains("expect"), "{asked:?}");
}

#[tokio::test]
async fn an_old_client_is_served() {
    let replica = Replica::start(|_| {
        Act::Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".into())
    })
    .await;
    let lb = Lb::before(&[&replica], &[]).await;
    let answer = lb.say("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, &*answer.body, answer.field("transfer-encoding")), (200, "hi", None));
    assert!(replica.seen().asked[0].head.contains("via: 1.0 throughline-"));
}
