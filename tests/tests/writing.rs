//! Writing through the whole path: what a write changes for later readers, and what is refused.

use http::Method;
use serde_json::json;
use tests::{Answer, Parts, Service, System};

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

/// A booking of `resource`, in its own hour of the day.
fn wanted(resource: &str, hour: u32) -> serde_json::Value {
    json!({"resource": resource, "guest": "Ada",
           "starts_at": format!("2031-05-01T{hour:02}:00:00Z"), "ends_at": format!("2031-05-01T{hour:02}:30:00Z")})
}

fn is_hit(answer: &Answer) -> bool {
    answer.header("cache-status").contains("hit")
}

#[tokio::test]
async fn a_write_drops_the_lists_that_its_booking_is_in_and_no_others() {
    let system = System::start().await;
    // `up` makes a booking of its own, and has removed it when it tells the story.
    system.has_told().await;
    let client = system.client();
    let mut paths = Vec::new();
    for resource in ["room", "hall"] {
        let created = client.post("/api/bookings", &wanted(resource, 10)).await;
        assert_eq!(created.status, 201, "{created:?}");
        paths.push(created.header("location").to_owned());
    }
    // A list that shows a pending booking may be kept by no cache.
    for path in &paths {
        client.until_confirmed(path).await;
    }
    let room =
        ["/api/bookings?resource=room", "/api/bookings?resource=room&from=2031-05-01T00:00:00Z&limit=1"];
    let all = ["/api/bookings", "/api/bookings?to=2031-06-01T00:00:00Z"];
    let hall = "/api/bookings?resource=hall";
    for list in room.iter().chain(&all).chain([&hall]) {
        assert!(!is_hit(&client.get(list).await), "{list}");
        let stored = client.get(list).await;
        assert!(is_hit(&stored), "{list} {stored:?}");
    }

    let patch = [("content-type", "application/merge-patch+json")];
    let patch = client.request(Method::PATCH, &paths[0], &patch, r#"{"guest":"Grace"}"#);
    let changed = client.send(patch).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let other = client.get(hall).await;
    assert!(is_hit(&other), "another resource's list has not changed: {other:?}");
    for list in room.iter().chain(&all) {
        let read = client.get(list).await;
        assert!(!is_hit(&read), "{list} {read:?}");
        let guests: Vec<_> =
            read.json()["bookings"].as_array().unwrap().iter().map(|one| one["guest"].clone()).collect();
        assert!(guests.contains(&json!("Grace")), "{list} {guests:?}");
    }
}

#[tokio::test]
async fn a_list_shows_at_once_what_a_worker_has_confirmed() {
    let system = System::builder().parts(Parts::Embedded).workers(0).start().await;
    system.has_told().await;
    let client = system.client();
    let lists = ["/api/bookings", "/api/bookings?resource=room", "/api/bookings?status=confirmed"];
    for list in lists {
        assert_eq!(client.get(list).await.json()["bookings"], json!([]), "{list}");
    }
    let created = client.post("/api/bookings", &wanted("room", 10)).await;
    assert_eq!(created.status, 201, "{created:?}");
    let standing = |answer: &Answer| -> Vec<serde_json::Value> {
        answer.json()["bookings"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect()
    };
    for (list, expected) in lists.iter().zip([vec!["pending"], vec!["pending"], vec![]]) {
        let read = client.get(list).await;
        assert_eq!(standing(&read), expected, "{list} {read:?}");
        assert_eq!(read.header("cache-control"), "no-cache", "{list}");
    }

    let database = format!("sqlite:{}", system.data().join("bookings.db").display());
    let _worker = Service::start("worker", &["--database-url", &database], &system).await;
    client.until_confirmed(created.header("location")).await;
    for list in lists {
        let read = client.get(list).await;
        assert_eq!(standing(&read), ["confirmed"], "{list} {read:?}");
    }
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
