//! What is answered when there is no answer.

use std::time::Instant;

use upstream::{BodyError, RequestFault, testing::Act};

use super::*;

/// `status error retry-after` of what is answered.
fn told(failure: &Failure) -> String {
    let response = failure.response("proxy");
    let field = |name: &str| response.headers().get(name).map_or("-", |value| value.to_str().unwrap());
    let proxy_status = field("proxy-status").split(';').nth(1).unwrap_or("-").trim();
    assert_eq!(field("content-type"), "application/problem+json");
    format!("{} {proxy_status} {}", response.status().as_u16(), field("retry-after"))
}

async fn failure(replicas: &[&Replica], method: Method, flags: &[&str]) -> Failure {
    let client = client(replicas, flags).await;
    match within(ask(&client, method, "")).await {
        Ok(answer) => panic!("answered {answer}"),
        Err(failure) => failure,
    }
}

#[tokio::test]
async fn replicas_that_refuse_connections_are_said_within_50_ms() {
    let (one, other) = (Replica::saying("").await, Replica::saying("").await);
    let client = client(&[&one, &other], &[]).await;
    drop((one, other));
    tokio::task::yield_now().await;
    for method in [Method::GET, Method::POST] {
        let mut quickest = Duration::MAX;
        // More than enough to have every replica ejected on the way.
        for _ in 0..10 {
            let asked = Instant::now();
            let failure = ask(&client, method.clone(), "").await.unwrap_err();
            quickest = quickest.min(asked.elapsed());
            assert_eq!(told(&failure), "503 error=connection_refused 1");
            assert!(failure.is_unreachable());
        }
        assert!(quickest < Duration::from_millis(50), "{quickest:?}");
    }
}

#[tokio::test]
async fn a_name_without_addresses_is_no_replica() {
    let flags = Flags::parse_from(["test", "--upstream", "http://nowhere.invalid:1"]);
    let upstream = Upstream::start(flags.settings).await.unwrap();
    assert!(!upstream.is_usable());
    let failure = ask(&upstream.client(), Method::GET, "").await.unwrap_err();
    assert_eq!(told(&failure), "503 error=destination_unavailable 1");
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let replica = Replica::saying("hello").await;
    let url = format!("http://localhost:{}", replica.address().port());
    let flags = Flags::parse_from(["test", "--upstream", &url]);
    let client = Upstream::start(flags.settings).await.unwrap().client();
    assert_eq!(ask(&client, Method::POST, "").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_frozen_replica_is_a_time_out() {
    let replica = Replica::start(|_| Act::Freeze).await;
    let failure = failure(&[&replica], Method::POST, &["--try-timeout", "50ms"]).await;
    assert_eq!(told(&failure), "504 error=http_response_timeout -");
    assert!(!failure.is_unreachable());
    replica.until(|seen| seen.closed == 1).await;
}

#[tokio::test]
async fn all_attempts_together_keep_the_deadline() {
    let replica = Replica::start(|_| Act::Freeze).await;
    let asked = Instant::now();
    // One attempt alone may take ten seconds.
    let failure = failure(&[&replica], Method::GET, &["--request-timeout", "150ms"]).await;
    assert_eq!(told(&failure), "504 error=http_response_timeout -");
    let took = asked.elapsed();
    assert!((150..5000).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn what_is_no_answer_is_a_bad_gateway() {
    let check = async |answer: &'static str, expected: &str| {
        let replica = Replica::start(move |_| Act::Last(answer.into())).await;
        let failure = failure(&[&replica], Method::POST, &[]).await;
        assert_eq!(told(&failure), format!("502 {expected} -"), "{answer:?}");
    };
    check("", "error=connection_terminated").await;
    check("HTTP/1.1 200 OK\r\nContent-", "error=connection_terminated").await;
    check("SSH-2.0-OpenSSH\r\n\r\n", "error=http_protocol_error").await;
    check("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "error=http_protocol_error").await;
    check("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "error=http_protocol_error")
        .await;
    check(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "error=http_upgrade_failed",
    )
    .await;
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "error=http_response_transfer_coding").await;
}

#[tokio::test]
async fn a_head_without_end_is_a_bad_gateway() {
    let replica =
        Replica::start(|_| Act::Answer(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20)))).await;
    let failure = failure(&[&replica], Method::POST, &[]).await;
    assert_eq!(told(&failure), "502 error=http_protocol_error -");
}

#[tokio::test]
async fn an_answer_cut_short_is_an_error_of_its_body() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ] {
        let replica = Replica::start(move |_| Act::Last(answer.into())).await;
        let client = client(&[&replica], &[]).await;
        let mut response = client.send(request(Method::GET, ""), None).await.unwrap();
        let first = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "half");
        let second = within(response.body_mut().frame()).await.unwrap();
        assert!(matches!(second, Err(BodyError::BrokeOff(_))), "{second:?}");
    }
}

#[tokio::test]
async fn an_answer_that_stands_still_is_an_error_of_its_body() {
    let replica =
        Replica::start(|_| Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".into())).await;
    let client = client(&[&replica], &["--answer-idle-timeout", "50ms"]).await;
    let mut response = client.send(request(Method::GET, ""), None).await.unwrap();
    response.body_mut().frame().await.unwrap().unwrap();
    let second = within(response.body_mut().frame()).await.unwrap();
    assert!(matches!(second, Err(BodyError::StoodStill(_))), "{second:?}");
    replica.until(|seen| seen.closed == 1).await;
}

#[tokio::test]
async fn faults_of_the_requests_own_body_are_not_the_replicas() {
    type Fault = fn(Box<dyn std::error::Error + Send + Sync>) -> RequestFault;
    let replica = Replica::start(|_| Act::Freeze).await;
    let client = client(&[&replica], &[]).await;
    let check = async |length: Option<&'static str>, fault: Fault, expected: &str| {
        // One frame and then none for so long that the first is on its way, then the fault.
        let frames = futures_util::stream::unfold(0, move |step| async move {
            tokio::task::yield_now().await;
            let data = http_body::Frame::data(Bytes::from_static(b"part"));
            let frame = if step < 3 { Ok(data) } else { Err(fault("as told".into())) };
            Some((frame, step + 1))
        });
        let mut request = Request::post("/").header("host", "a");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let request = request.body(http_body_util::StreamBody::new(Box::pin(frames))).unwrap();
        let failure = within(client.send(request, None)).await.unwrap_err();
        assert_eq!(told(&failure), expected);
    };
    check(None, RequestFault::TooLarge, "413 error=http_request_error -").await;
    check(None, RequestFault::TooSlow, "408 error=http_request_error -").await;
    check(Some("100"), RequestFault::Broken, "400 error=http_request_error -").await;
    replica.until(|seen| seen.closed == 2).await;
}
