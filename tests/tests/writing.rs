//! Writing through the whole path: what a write changes for later readers, and what is refused.

use http::Method;
use serde_json::json;
use tests::System;

const WHOLE_PATH: [&str; 3] = ["load_balancer", "cache", "http_server"];

#[tokio::test]
async fn a_write_invalidates_what_the_cache_holds() {
    let system = System::start().await;
    let client = system.client();
    let created = client
        .post(
            "/api/bookings",
            &json!({"resource": "hall", "guest": "Ada",
                    "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"}),
        )
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.header("location").to_owned();
    // A pending booking may be kept by no cache; a cancelled one is changed through HTTP only.
    assert_eq!(client.post(&format!("{path}/cancel"), &json!({})).await.status, 200);
    client.get(&path).await;
    let stored = client.get(&path).await;
    assert!(stored.header("cache-status").contains("hit"), "{stored:?}");

    let patch = client.request(
        Method::PATCH,
        &path,
        &[("content-type", "application/merge-patch+json"), ("if-match", stored.header("etag"))],
        r#"{"guest":"Grace"}"#,
    );
    let changed = client.send(patch).await;
    assert_eq!(changed.status, 200, "{changed:?}");

    let read = client.get(&path).await;
    assert_eq!(read.json()["guest"], "Grace", "the old answer is gone at once: {read:?}");
    assert!(!read.header("cache-status").contains("hit"), "{read:?}");

    let story = system.story(&changed.trace_id(), &WHOLE_PATH).await;
    story.assert_carried_through(&WHOLE_PATH);
    assert_eq!(story.server("http_server").name, "PATCH /api/bookings/{id}");
    let story = system.story(&read.trace_id(), &WHOLE_PATH).await;
    story.assert_carried_through(&WHOLE_PATH);
}

#[tokio::test]
async fn of_two_overlapping_bookings_one_is_refused_and_says_so_in_every_line() {
    let system = System::start().await;
    let client = system.client();
    let wanted = json!({"resource": "hall", "guest": "Ada",
                        "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
    let (first, second) =
        tokio::join!(client.post("/api/bookings", &wanted), client.post("/api/bookings", &wanted));
    let (won, lost) = if first.status == 201 { (first, second) } else { (second, first) };
    assert_eq!((won.status.as_u16(), lost.status.as_u16()), (201, 409), "{won:?} {lost:?}");
    assert_eq!(lost.header("content-type"), "application/problem+json");
    assert_eq!(lost.header("cache-control"), "no-store");
    assert_eq!(lost.json()["trace_id"], lost.trace_id());

    let story = system.story(&lost.trace_id(), &WHOLE_PATH).await;
    story.assert_carried_through(&WHOLE_PATH);
    for service in WHOLE_PATH {
        assert_eq!(story.request_line(service)["status"], 409);
    }
    let refused: Vec<_> =
        story.clients("http_server").into_iter().filter(|s| s.name.starts_with("INSERT")).collect();
    assert_eq!(refused.len(), 1, "the statement that the database refused: {story:#?}");
    assert_ne!(refused[0].attribute("error.type"), "", "{refused:?}");
}
