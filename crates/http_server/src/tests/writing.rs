//! Writes: what becomes of a booking.

use serde_json::{Value, json};

use super::{Answer, Api, JSON, PATCH, wanted};

async fn of_fifty_one_is_booked(api: &Api) {
    let outcomes = futures_util::future::join_all((0..50).map(|_| async {
        let answer = api.post(&wanted("room", 10, 11)).await;
        assert!(answer.status == 201 || answer.status == 409, "{answer:?}");
        answer.status.as_u16()
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|status| **status == 201).count(), 1, "{outcomes:?}");
    assert_eq!(api.get("/api/bookings").await.json()["bookings"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn of_fifty_overlapping_posts_one_is_booked_on_sqlite() {
    of_fifty_one_is_booked(&Api::sqlite().await).await;
}

#[tokio::test]
async fn of_fifty_overlapping_posts_one_is_booked_on_postgresql() {
    of_fifty_one_is_booked(&Api::postgres().await).await;
}

#[track_caller]
fn is_changed(answer: &Answer, path: &str, version: u32) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("etag"), format!("\"{version}\""));
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(answer.header("content-location"), path);
}

#[tokio::test]
async fn a_booking_is_replaced_by_what_was_read_and_edited() {
    let api = Api::sqlite().await;
    let (path, mut body) = api.booked(&wanted("room", 10, 11)).await;
    body["guest"] = "Grace".into();
    let answer = api.send("PUT", &path, &[JSON, ("if-match", "\"1\"")], body.to_string()).await;
    is_changed(&answer, &path, 2);
    let replaced = answer.json();
    assert_eq!(replaced["guest"], "Grace");
    assert_eq!(replaced["created_at"], body["created_at"]);
    assert!(replaced["updated_at"].as_str() > body["updated_at"].as_str(), "{replaced}");
    assert_eq!(api.get(&path).await.body, answer.body);

    let stale = api.send("PUT", &path, &[JSON, ("if-match", "\"1\"")], body.to_string()).await;
    assert_eq!(stale.status, 412, "an old state is said to be old, not to be invalid: {stale:?}");
    let stale = api.send("PUT", &path, &[JSON], body.to_string()).await;
    assert_eq!((stale.status.as_u16(), &stale.json()["field"]), (422, &json!("updated_at")));
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_says() {
    let api = Api::sqlite().await;
    let (path, mut body) = api.booked(&wanted("room", 10, 11)).await;
    let answer = api.send("PATCH", &path, &[PATCH], r#"{"notes":"by the window"}"#).await;
    is_changed(&answer, &path, 2);
    body["notes"] = "by the window".into();
    body["updated_at"] = answer.json()["updated_at"].clone();
    assert_eq!(answer.json(), body);
    let answer = api.send("PATCH", &path, &[PATCH, ("if-match", "*")], r#"{"notes":null}"#).await;
    is_changed(&answer, &path, 3);
    assert_eq!(answer.json()["notes"], Value::Null);
}

#[tokio::test]
async fn a_cancelled_booking_gives_its_time_free() {
    let api = Api::sqlite().await;
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    assert_eq!(api.post(&wanted("room", 10, 11)).await.status, 409);
    let cancel = format!("{path}/cancel");
    assert_eq!(api.send("POST", &cancel, &[("if-match", "\"2\"")], "").await.status, 412);
    let answer = api.send("POST", &cancel, &[("if-match", "\"1\"")], "").await;
    is_changed(&answer, &path, 2);
    assert_eq!(answer.json()["status"], "cancelled");
    let again = api.send("POST", &cancel, &[], "").await;
    is_changed(&again, &path, 2);
    assert_eq!(again.body, answer.body, "cancelling again changes nothing");
    assert_eq!(api.post(&wanted("room", 10, 11)).await.status, 201);
}

#[tokio::test]
async fn a_write_names_the_groups_that_it_has_changed() {
    let api = Api::sqlite().await;
    let named = |answer: &Answer| {
        assert!(answer.status.is_success(), "{answer:?}");
        answer.header("cache-group-invalidation").to_owned()
    };
    let created = api.post(&wanted("room", 10, 11)).await;
    let path = created.header("location").to_owned();
    assert_eq!(named(&created), r#""list", "list:room""#);
    let patched = api.send("PATCH", &path, &[PATCH], r#"{"notes":"by the window"}"#).await;
    assert_eq!(named(&patched), r#""list", "list:room""#);
    let moved = api.send("PATCH", &path, &[PATCH], r#"{"resource":"hall"}"#).await;
    assert_eq!(named(&moved), r#""list", "list:hall", "list:room""#);
    let mut body = moved.json();
    body["resource"] = "attic".into();
    let replaced = api.send("PUT", &path, &[JSON], body.to_string()).await;
    assert_eq!(named(&replaced), r#""list", "list:attic", "list:hall""#);
    for _ in 0..2 {
        let cancelled = api.send("POST", &format!("{path}/cancel"), &[], "").await;
        assert_eq!(named(&cancelled), r#""list", "list:attic""#);
    }
    assert_eq!(named(&api.send("DELETE", &path, &[], "").await), r#""list", "list:attic""#);
    assert!(!api.send("DELETE", &path, &[], "").await.headers.contains_key("cache-group-invalidation"));
}

#[tokio::test]
async fn a_removed_booking_is_gone() {
    let api = Api::sqlite().await;
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    assert_eq!(api.send("DELETE", &path, &[("if-match", "\"7\"")], "").await.status, 412);
    let answer = api.send("DELETE", &path, &[("if-match", "\"1\"")], "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    for (method, path) in
        [("GET", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/cancel"))]
    {
        assert_eq!(
            api.send(method, &path, &[("if-match", "\"1\"")], "").await.status,
            404,
            "{method} {path}"
        );
    }
}

async fn a_key_is_honoured(api: &Api) {
    let body = wanted("room", 10, 11).to_string();
    let key = [JSON, ("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324")];
    let first = api.send("POST", "/api/bookings", &key, body.clone()).await;
    assert_eq!(first.status, 201, "{first:?}");
    let path = first.header("location");
    // What has become of the booking since does not change the answer.
    assert_eq!(api.send("PATCH", path, &[PATCH], r#"{"guest":"Grace"}"#).await.status, 200);
    let again = api.send("POST", "/api/bookings", &key, body.clone()).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for name in ["location", "etag", "content-type", "cache-control", "cache-group-invalidation"] {
        assert_eq!(again.header(name), first.header(name));
    }
    let other = api.send("POST", "/api/bookings", &key, wanted("room", 11, 12).to_string()).await;
    assert_eq!((other.status.as_u16(), &other.json()["field"]), (422, &json!("Idempotency-Key")));

    let key = [JSON, ("idempotency-key", "another")];
    for _ in 0..2 {
        let taken = api.send("POST", "/api/bookings", &key, body.clone()).await;
        assert_eq!(taken.status, 409);
        assert_eq!(taken.json()["trace_id"], taken.trace, "a refusal names the request that was refused");
    }
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_answer_on_sqlite() {
    a_key_is_honoured(&Api::sqlite().await).await;
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_answer_on_postgresql() {
    a_key_is_honoured(&Api::postgres().await).await;
}
