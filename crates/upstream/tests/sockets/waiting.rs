//! The wait queue.

use std::time::Instant;

use upstream::testing::{Act, ok};

use super::*;

fn refused(failure: &Failure) -> bool {
    let response = failure.response("proxy");
    let text = response.headers()["proxy-status"].to_str().unwrap().to_owned();
    response.status() == 503
        && response.headers()["retry-after"] == "1"
        && text.contains("error=connection_limit_reached")
}

/// A client whose only place at `replica` is taken.
async fn busy(replica: &Replica, flags: &[&str]) -> (Client, Response<upstream::Body>) {
    let flags = [&["--max-in-flight", "1"], flags].concat();
    let client = client(&[replica], &flags).await;
    // An answer whose body has not been read to its end holds its place.
    let response = client.send(request(Method::GET, ""), None).await.unwrap();
    (client, response)
}

async fn replica() -> Replica {
    Replica::start(|asked| match asked.nth {
        0 => Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".into()),
        _ => Act::Answer(ok("next")),
    })
    .await
}

#[tokio::test]
async fn a_full_queue_refuses_without_waiting() {
    let replica = replica().await;
    let (client, _held) = busy(&replica, &["--queue-length", "0", "--queue-timeout", "1h"]).await;
    assert!(refused(&within(ask(&client, Method::GET, "")).await.unwrap_err()));
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_refused() {
    let replica = replica().await;
    let (client, _held) = busy(&replica, &["--queue-timeout", "50ms"]).await;
    let asked = Instant::now();
    assert!(refused(&within(ask(&client, Method::GET, "")).await.unwrap_err()));
    assert!(asked.elapsed() >= Duration::from_millis(50), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn whoever_waits_gets_the_place_that_comes_free() {
    let replica = replica().await;
    let (client, held) = busy(&replica, &["--queue-timeout", "10s"]).await;
    let waiting = tokio::spawn(async move { ask(&client, Method::GET, "").await });
    tokio::task::yield_now().await;
    assert_eq!(replica.seen().asked.len(), 1);
    drop(held);
    assert_eq!(within(waiting).await.unwrap().unwrap(), "next");
}

#[tokio::test]
async fn whoever_gives_up_waiting_leaves_the_queue() {
    let replica = replica().await;
    let (client, held) = busy(&replica, &["--queue-length", "1", "--queue-timeout", "10s"]).await;
    for _ in 0..3 {
        let client = client.clone();
        let waiting = tokio::spawn(async move { ask(&client, Method::GET, "").await });
        tokio::task::yield_now().await;
        waiting.abort();
        let _ = waiting.await;
    }
    let waiting = tokio::spawn(async move { ask(&client, Method::GET, "").await });
    tokio::task::yield_now().await;
    drop(held);
    assert_eq!(within(waiting).await.unwrap().unwrap(), "next");
}
