//! Reads: entity tags, conditions, freshness, pages.

use serde_json::json;
use store::{Booking, Details, Status, Timestamp};
use uuid::Uuid;

use super::{Answer, Api, wanted};

#[tokio::test]
async fn a_booking_is_read_where_its_creation_said() {
    let api = Api::sqlite().await;
    let created = api.post(&wanted("room", 10, 11)).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.header("etag"), "\"1\"");
    assert_eq!(created.header("cache-control"), "no-cache");
    let body = created.json();
    let id: Uuid = body["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(created.header("location"), format!("/api/bookings/{id}"));
    assert_eq!(body["created_at"], body["updated_at"]);
    body["created_at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let mut known = wanted("room", 10, 11);
    for name in ["id", "created_at", "updated_at"] {
        known[name] = body[name].clone();
    }
    known["status"] = "pending".into();
    known["notes"] = json!(null);
    assert_eq!(body, known);

    let read = api.get(created.header("location")).await;
    assert_eq!(read.status, 200);
    assert_eq!(read.body, created.body);
    assert_eq!(read.header("etag"), "\"1\"");
    assert_eq!(read.header("content-type"), "application/json");
    assert_eq!(read.header("cache-control"), "no-cache", "the worker will change it behind the caches");
}

#[tokio::test]
async fn head_says_what_get_says_without_its_body() {
    let api = Api::sqlite().await;
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    for path in [path.as_str(), "/api/bookings", "/api/bookings?limit=1"] {
        let (get, head) = (api.get(path).await, api.send("HEAD", path, &[], "").await);
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        for name in ["etag", "content-type", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{path}");
    }
}

#[track_caller]
fn is_not_modified(answer: &Answer, etag: &str, cache_control: &str) {
    assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{answer:?}");
    assert_eq!(answer.header("etag"), etag);
    assert_eq!(answer.header("cache-control"), cache_control);
    assert!(!answer.headers.contains_key("content-type"), "{answer:?}");
}

#[tokio::test]
async fn who_has_it_already_is_told_so() {
    let api = Api::sqlite().await;
    let (path, _) = api.confirmed(&wanted("room", 10, 11)).await;
    for (method, condition) in
        [("GET", "\"2\""), ("HEAD", "\"2\""), ("GET", "W/\"2\""), ("GET", "\"0\", \"2\""), ("GET", "*")]
    {
        let answer = api.send(method, &path, &[("if-none-match", condition)], "").await;
        is_not_modified(&answer, "\"2\"", "public, max-age=5");
    }
    let answer = api.send("GET", &path, &[("if-none-match", "\"1\"")], "").await;
    assert_eq!(answer.status, 200);
    let answer = api.send("GET", &path, &[("if-match", "\"1\"")], "").await;
    assert_eq!(answer.status, 412);
    let ignored = [("if-modified-since", "Tue, 01 Jan 2030 00:00:00 GMT"), ("if-unmodified-since", "x")];
    assert_eq!(api.send("GET", &path, &ignored, "").await.status, 200, "there are no dates");

    let list = api.get("/api/bookings").await;
    let etag = list.header("etag").to_owned();
    is_not_modified(
        &api.send("GET", "/api/bookings", &[("if-none-match", &etag)], "").await,
        &etag,
        "public, max-age=5",
    );
    api.booked(&wanted("hall", 10, 11)).await;
    let list = api.send("GET", "/api/bookings", &[("if-none-match", &etag)], "").await;
    assert_eq!(list.status, 200, "another booking, another list");
    assert_ne!(list.header("etag"), etag);
}

#[tokio::test]
async fn only_what_changes_through_http_alone_may_be_kept_by_caches() {
    let api = Api::sqlite().await;
    let now = Timestamp::now();
    // Of a booking, of the list of its resource, and of the list of all that stand as it does: a pending one of those
    // that are confirmed may be among them at any time.
    for (status, [one, of_resource, of_status]) in [
        (Status::Pending, ["no-cache", "no-cache", "no-cache"]),
        (Status::Confirmed, ["public, max-age=5", "public, max-age=5", "no-cache"]),
        (Status::Cancelled, ["public, max-age=5", "public, max-age=5", "public, max-age=5"]),
    ] {
        let details = Details {
            resource: status.as_str().into(),
            guest: "Ada".into(),
            starts_at: now,
            ends_at: now.plus(std::time::Duration::from_secs(60)),
            notes: None,
        };
        let booking = Booking::new(Uuid::now_v7(), details, status, now);
        api.store.create(booking.clone(), None).await.unwrap();
        let answer = api.get(&format!("/api/bookings/{}", booking.id)).await;
        assert_eq!(answer.header("cache-control"), one, "{status:?}");
        for (query, expected) in [("resource", of_resource), ("status", of_status)] {
            let list = api.get(&format!("/api/bookings?{query}={}", status.as_str())).await;
            assert_eq!(list.header("cache-control"), expected, "{query} {status:?}");
            assert_eq!(list.json()["bookings"][0]["status"], status.as_str());
        }
    }
    let mixed = api.get("/api/bookings").await;
    assert_eq!(mixed.header("cache-control"), "no-cache", "one of them is pending");
    let beside = api.get("/api/bookings?resource=confirmed&status=pending").await;
    assert_eq!(
        (beside.header("cache-control"), &beside.json()["bookings"]),
        ("public, max-age=5", &json!([]))
    );
}

#[tokio::test]
async fn an_answer_names_the_groups_that_it_falls_with() {
    let api = Api::sqlite().await;
    let (path, _) = api.confirmed(&wanted("room", 10, 11)).await;
    let query = "from=2030-01-01T00:00:00Z&to=2030-01-02T00:00:00Z&limit=1";
    for (path, groups) in [
        (path.as_str(), r#""resource:room""#),
        ("/api/bookings", r#""list""#),
        ("/api/bookings?status=cancelled", r#""list""#),
        (&format!("/api/bookings?{query}"), r#""list""#),
        ("/api/bookings?resource=room", r#""list:room", "resource:room""#),
        (&format!("/api/bookings?resource=room&{query}"), r#""list:room", "resource:room""#),
        (&format!("/api/bookings?{query}&resource=%72oom"), r#""list:room", "resource:room""#),
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.header("cache-groups"), groups, "{path}");
        let etag = answer.header("etag");
        let known = api.send("GET", path, &[("if-none-match", etag)], "").await;
        assert_eq!((known.status.as_u16(), known.header("cache-groups")), (304, groups), "{path}");
    }
}

#[tokio::test]
async fn a_list_is_filtered_and_paged() {
    let api = Api::sqlite().await;
    for hour in 0..5 {
        api.booked(&wanted("room", hour, hour + 1)).await;
        api.booked(&wanted("hall", hour, hour + 1)).await;
    }
    let starts = |answer: &Answer| -> Vec<String> {
        let body = answer.json();
        let bookings = body["bookings"].as_array().unwrap().iter();
        bookings.map(|one| one["starts_at"].as_str().unwrap()[11..13].to_owned()).collect()
    };
    let overlapping = "/api/bookings?resource=room&from=2030-01-01T01:30:00Z&to=2030-01-01T05:00:00%2B02:00";
    assert_eq!(starts(&api.get(overlapping).await), ["01", "02"]);
    assert_eq!(starts(&api.get("/api/bookings?status=cancelled").await), [""; 0]);

    let mut path = "/api/bookings?resource=room&limit=2".to_owned();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let page = api.get(&path).await;
        seen.extend(starts(&page));
        match page.json()["next"].as_str() {
            Some(next) => path = format!("/api/bookings?resource=room&limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["00", "01", "02", "03", "04"]);
    assert_eq!(api.get("/api/bookings").await.json()["next"], json!(null));
}
