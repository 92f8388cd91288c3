//! Spans and lines.

use upstream::testing::{Act, status};

use super::*;

#[tokio::test]
async fn a_strangers_trace_is_linked_and_not_continued() {
    let replica = Replica::saying("").await;
    let lb = Lb::before(&[&replica], &[]).await;
    let (traceparent, theirs) = testing::traceparent();
    let answer = lb.ask("GET", "/", &[&format!("traceparent: {traceparent}"), "baggage: a=b"]).await;
    assert_ne!(answer.trace_id(), theirs);
    let server = span(&answer.trace_id(), "GET").await;
    let head = replica.seen().asked[0].head.clone();
    assert!(!head.contains(&theirs) && !head.contains("baggage"), "{head}");
    answer.line().await;
    let spans = testing::spans(&answer.trace_id());
    let server = spans.iter().find(|span| span.kind == "SERVER").unwrap_or(&server);
    assert_eq!(server.links.len(), 1);
    assert_eq!(server.links[0].0, theirs);
}

#[tokio::test]
async fn a_trusted_peers_trace_goes_on_through_server_and_client_span() {
    let replica = Replica::saying("").await;
    let lb = Lb::before(&[&replica], &["--trusted-peers", "loopback"]).await;
    let (traceparent, theirs) = testing::traceparent();
    let answer = lb.ask("GET", "/", &[&format!("traceparent: {traceparent}")]).await;
    assert_eq!(answer.trace_id(), theirs);
    answer.line().await;
    let spans = testing::spans(&theirs);
    let server = spans.iter().find(|span| span.kind == "SERVER").unwrap();
    let client = spans.iter().find(|span| span.kind == "CLIENT").unwrap();
    assert!(traceparent.contains(&server.parent_id));
    assert_eq!(client.parent_id, server.span_id);
    assert_eq!(client.attributes["throughline.replica"], replica.address().to_string());
    assert!(replica.seen().asked[0].head.contains(&client.span_id), "the replica's parent is the attempt");
}

#[tokio::test]
async fn attempts_are_siblings_that_say_why_there_are_more() {
    let bad = Replica::start(|_| Act::Answer(status(503, ""))).await;
    let worse = Replica::start(|_| Act::Last(String::new())).await;
    let lb = Lb::before(&[&bad, &worse], &["--balance", "round-robin"]).await;
    let answer = lb.ask("GET", "/", &[]).await;
    let line = answer.line().await;
    assert_eq!(line["attempts"], 3);
    let spans = testing::spans(&answer.trace_id());
    let server = spans.iter().find(|span| span.kind == "SERVER").unwrap();
    let attempts: Vec<_> = spans.iter().filter(|span| span.kind == "CLIENT").collect();
    assert_eq!(attempts.len(), 3, "{spans:#?}");
    let mut said: Vec<(String, bool)> = Vec::new();
    for (n, attempt) in attempts.iter().enumerate() {
        assert_eq!(attempt.parent_id, server.span_id);
        let count = attempt.attributes.get("http.request.resend_count").cloned();
        assert_eq!(count, (n > 0).then(|| n.to_string()));
        let reason = attempt.attributes.get("throughline.retry_reason").cloned();
        assert_eq!(reason.is_some(), n > 0);
        said.push((reason.unwrap_or_default(), attempt.failed));
    }
    assert!(said.iter().any(|(reason, _)| reason == "503"), "{said:?}");
    assert!(said.iter().any(|(reason, _)| reason == "connection_lost"), "{said:?}");
    let lines = testing::lines(&answer.trace_id());
    let warnings = lines.iter().filter(|line| line["level"] == "WARN").count();
    assert_eq!(warnings, 2, "{lines:#?}");
}

#[tokio::test]
async fn a_client_that_leaves_is_499_and_its_replica_is_let_go() {
    let replica = Replica::start(|_| Act::Freeze).await;
    let lb = Lb::before(&[&replica], &["--trusted-peers", "loopback"]).await;
    let (traceparent, trace_id) = testing::traceparent();
    let mut stream = TcpStream::connect(lb.address).await.unwrap();
    let head = head("GET", "/", &[&format!("traceparent: {traceparent}")]);
    stream.write_all(head.as_bytes()).await.unwrap();
    replica.until(|seen| seen.asked.len() == 1).await;
    drop(stream);
    replica.until(|seen| seen.closed == 1).await;
    let line = line(trace_id.clone(), "request").await;
    assert_eq!(line["status"], 499);
    assert_eq!(line["error.type"], "client_closed");
    assert_eq!(line["attempts"], 1);
}

#[tokio::test]
async fn a_wait_for_a_place_is_a_span_and_on_the_line() {
    let replica = Replica::start(|asked| {
        Act::Answer(if asked.nth == 0 {
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".into()
        } else {
            status(200, "")
        })
    })
    .await;
    let lb = Lb::before(&[&replica], &["--max-in-flight", "1", "--queue-timeout", "10s"]).await;
    let mut first = TcpStream::connect(lb.address).await.unwrap();
    first.write_all(head("GET", "/first", &[]).as_bytes()).await.unwrap();
    replica.until(|seen| seen.asked.len() == 1).await;
    let asking = async {
        let answer = lb.ask("GET", "/second", &[]).await;
        (answer.line().await, answer)
    };
    let leaving = async {
        // Long enough to be seen in milliseconds; the place comes free because the first client leaves.
        let waited = std::time::Instant::now();
        while waited.elapsed() < Duration::from_millis(20) {
            tokio::task::yield_now().await;
        }
        drop(first);
    };
    let ((line, answer), ()) = tokio::join!(asking, leaving);
    assert_eq!(answer.status, 200);
    assert!(line["queue_ms"].as_f64().unwrap() > 1.0, "{line}");
    let wait = span(&answer.trace_id(), "upstream.wait").await;
    assert_eq!(wait.kind, "INTERNAL");
    assert!(wait.duration > 0.001);
}

#[tokio::test]
async fn a_full_queue_is_a_warning_and_not_an_error() {
    let replica = Replica::start(|_| Act::Freeze).await;
    let lb = Lb::before(&[&replica], &["--max-in-flight", "1", "--queue-length", "0"]).await;
    let mut first = TcpStream::connect(lb.address).await.unwrap();
    first.write_all(head("GET", "/first", &[]).as_bytes()).await.unwrap();
    replica.until(|seen| seen.asked.len() == 1).await;
    let answer = lb.ask("GET", "/second", &[]).await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    let line = answer.line().await;
    assert_eq!((&line["level"], &line["error.type"]), (&"WARN".into(), &"queue_full".into()));
    assert_eq!(line["attempts"], 0);
}

#[tokio::test]
async fn the_times_of_a_request_add_up() {
    let replica = Replica::saying("hello").await;
    let lb = Lb::before(&[&replica], &[]).await;
    let line = lb.ask("GET", "/", &[]).await.line().await;
    let ms = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("{name} in {line}"));
    let parts = ms("routing_ms") + ms("queue_ms") + ms("upstream_ms");
    assert!((parts - ms("response_time_ms")).abs() < 0.01, "{line}");
    assert!(ms("upstream_ms") > 0.0 && ms("routing_ms") > 0.0, "{line}");
    assert_eq!(line["replica"], replica.address().to_string());
}
