//! Stopping one of two while requests come in: none fails, and no span is lost.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rustix::process::Signal;
use tests::{Client, System};

const WHOLE_PATH: [&str; 3] = ["load_balancer", "cache", "http_server"];
const CLIENTS: usize = 8;
const REQUESTS_EACH: usize = 100;

/// Sends `CLIENTS × REQUESTS_EACH` requests, calls `midway` once when a quarter is answered, and returns the trace ids.
async fn under_load(client: Client, midway: impl FnOnce()) -> Vec<String> {
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (client, answered) = (client.clone(), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut ids = Vec::with_capacity(REQUESTS_EACH);
                for request in 0..REQUESTS_EACH {
                    let answer = client.get(&format!("/api/bookings?resource=r-{number}-{request}")).await;
                    assert_eq!(answer.status, 200, "request {request} of client {number}: {answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    ids.push(answer.trace_id());
                }
                ids
            })
        })
        .collect();
    tests::eventually("a quarter of the requests is answered", async || {
        let answered = answered.load(Ordering::Relaxed);
        if answered >= CLIENTS * REQUESTS_EACH / 4 { Ok(()) } else { Err(answered) }
    })
    .await;
    midway();
    let mut ids = Vec::new();
    for client in clients {
        ids.extend(client.await.expect("no request failed"));
    }
    ids
}

async fn stops_without_a_failed_request_or_a_lost_span(service: &str) {
    let system = System::builder().caches(2).servers(2).start().await;
    let stopped = system.processes(service).remove(0);
    let ids = under_load(system.client(), || system.signal(&stopped, Signal::TERM)).await;
    assert_eq!(ids.len(), CLIENTS * REQUESTS_EACH);
    system.restarted(&stopped).await;
    for story in system.stories(&ids, &WHOLE_PATH).await {
        story.assert_carried_through(&WHOLE_PATH);
    }
}

#[tokio::test]
async fn a_server_stops_under_load_without_a_failed_request_or_a_lost_span() {
    stops_without_a_failed_request_or_a_lost_span("http_server").await;
}

#[tokio::test]
async fn a_cache_stops_under_load_without_a_failed_request_or_a_lost_span() {
    stops_without_a_failed_request_or_a_lost_span("cache").await;
}
