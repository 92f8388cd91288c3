//! What becomes of requests when a process dies under them.

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, Held, Story, System, eventually, postgres};

/// The line `request` of a service in a trace, once it is in the files.
async fn line_of(system: &System, trace_id: &str, service: &str) -> (Value, Story) {
    eventually(&format!("the line of {service} in {trace_id}"), async || {
        let story = Story::read(&system.files(), trace_id);
        let lines = story.lines.iter().map(|line| &line.0);
        let mut found = lines.filter(|line| line["service"] == service && line["message"] == "request");
        match found.next() {
            Some(line) => Ok((line.clone(), story.clone())),
            None => Err(format!("{:#?}", story.lines)),
        }
    })
    .await
}

#[tokio::test]
async fn reads_in_flight_at_a_server_that_dies_succeed_at_the_other() {
    let database = postgres::database().await;
    let system = System::builder().servers(2).database(&database).start().await;
    // Its own first request would stand still as well.
    system.has_told().await;
    let held = Held::table(&database, "bookings").await;
    let reads: Vec<_> = (0..8)
        .map(|number| {
            let client = system.client();
            tokio::spawn(async move { client.get(&format!("/api/bookings?resource=r-{number}")).await })
        })
        .collect();
    held.wait_for_waiters(8).await;
    system.signal(&system.processes("http_server")[0], Signal::KILL);
    held.release().await;

    let mut tried_again = 0;
    for read in reads {
        let answer = read.await.expect("the read ends");
        assert_eq!(answer.status, 200, "{answer:?}");
        let (line, story) = line_of(&system, &answer.trace_id(), "cache").await;
        if line["attempts"] == 2 {
            tried_again += 1;
            let attempts: Vec<_> = eventually("both attempts' spans", async || {
                let story = Story::read(&system.files(), &answer.trace_id());
                let spans: Vec<_> = story
                    .clients("cache")
                    .into_iter()
                    .filter(|span| span.name != "EVALSHA")
                    .cloned()
                    .collect();
                if spans.len() == 2 { Ok(spans) } else { Err(format!("{spans:#?}")) }
            })
            .await;
            let again = attempts.iter().find(|span| span.attribute("http.request.resend_count") == "1");
            let again = again.unwrap_or_else(|| panic!("{attempts:#?}"));
            assert_ne!(again.attribute("throughline.retry_reason"), "", "{again:#?}");
            let first = attempts.iter().find(|span| span.id != again.id).expect("the first attempt");
            assert_ne!(first.attribute("error.type"), "", "{first:#?}");
            assert_eq!(first.parent, again.parent, "attempts are siblings");
            assert_ne!(first.attribute("throughline.replica"), again.attribute("throughline.replica"));
        } else {
            assert_eq!(line["attempts"], 1, "{story:#?}");
        }
    }
    assert!(tried_again > 0, "at least one of eight reads was at the server that died");
}

#[tokio::test]
async fn a_write_in_flight_at_a_server_that_dies_is_answered_502_and_not_sent_again() {
    let database = postgres::database().await;
    let system = System::builder().servers(1).database(&database).start().await;
    // Its own first request would stand still as well.
    system.has_told().await;
    let held = Held::table(&database, "bookings").await;
    let client = system.client();
    let write = tokio::spawn(async move {
        let booking = json!({"resource": "hall", "guest": "Ada",
                             "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
        client.post("/api/bookings", &booking).await
    });
    held.wait_for_waiters(1).await;
    let server = system.processes("http_server").remove(0);
    system.signal(&server, Signal::KILL);

    let answer = write.await.expect("the write ends");
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.header("proxy-status").contains("cache"), "it says which hop: {answer:?}");
    assert_eq!(answer.json()["trace_id"], answer.trace_id());
    for proxy in ["load_balancer", "cache"] {
        let (line, _) = line_of(&system, &answer.trace_id(), proxy).await;
        assert_eq!(line["status"], 502, "{line}");
        assert_eq!(line["level"], "ERROR", "{line}");
        assert_eq!(line["attempts"], 1, "{line}");
    }

    // The server comes back where it was, and serves.
    held.release().await;
    system.restarted(&server).await;
    eventually("the system serves again", async || {
        let answer = system.client().get("/api/bookings?status=confirmed").await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_dies_fails_no_request_and_loses_no_story() {
    let mut system = System::start().await;
    let ids = system
        .without_collector(async |system| {
            let mut ids = Vec::new();
            for number in 0..50 {
                let answer = system.client().get(&format!("/api/bookings?resource=r-{number}")).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                ids.push(answer.trace_id());
            }
            ids
        })
        .await;
    let path = ["load_balancer", "cache", "http_server"];
    for story in system.stories(&ids, &path).await {
        story.assert_carried_through(&path);
    }
}

#[tokio::test]
async fn with_every_server_gone_the_edge_says_so_and_when_to_come_back() {
    let system = System::start().await;
    // An edge of its own in front of an address that nobody serves: bound, and given back.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let edge =
        tests::Service::start("load-balancer", &["--upstream", &format!("http://{nobody}")], &system).await;
    let client = Client::new(edge.address());
    let answer = client.send(client.request(Method::GET, "/", &[], "")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_ne!(answer.header("retry-after"), "", "{answer:?}");
    assert!(answer.header("proxy-status").starts_with("load_balancer"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["trace_id"], answer.trace_id());
    let (line, _) = line_of(&system, &answer.trace_id(), "load_balancer").await;
    assert_eq!(line["level"], "ERROR", "{line}");
    assert_eq!(line["status"], 503, "{line}");
    assert_ne!(line["error.type"], Value::Null, "{line}");
}
