//! The task that a write leaves, as clients see it.

use serde_json::json;
use store::{Claim, Outcome, Places, Timestamp};

use super::{Answer, Api, JSON, PATCH, wanted};

/// Where the answer says that the work can be watched.
#[track_caller]
fn monitor(answer: &Answer) -> String {
    let link = answer.header("link");
    let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"monitor\""));
    path.unwrap_or_else(|| panic!("{link}")).to_owned()
}

async fn a_creation_names_its_task(api: &Api) {
    let created = api.post(&wanted("room", 10, 11)).await;
    assert_eq!((created.status.as_u16(), &created.json()["status"]), (201, &json!("pending")));
    let path = monitor(&created);
    let answer = api.get(&path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-cache");
    let task = answer.json();
    assert_eq!(path, format!("/api/tasks/{}", task["id"].as_str().unwrap()));
    let known = json!({
        "id": task["id"], "kind": "confirm_booking", "state": "queued", "runs": 0, "max_runs": 20,
        "created_at": created.json()["created_at"], "run_at": created.json()["created_at"],
        "started_at": null, "finished_at": null, "trace_id": created.trace,
    });
    assert_eq!(task, known);
    let etag = answer.header("etag").to_owned();
    let again = api.send("GET", &path, &[("if-none-match", &etag)], "").await;
    assert_eq!(again.status, 304);

    let now = Timestamp::now();
    let claim = Claim { places: Places::of_every_kind(1), holder: "worker 1".into(), now, expires_at: now };
    let run = api.store.claim_tasks(claim).await.unwrap().runs.remove(0);
    assert_eq!(api.get(&path).await.json()["state"], "leased");
    api.store.end_run(run.lease, Outcome::Confirm, None, now).await.unwrap();
    let done = api.send("GET", &path, &[("if-none-match", &etag)], "").await;
    assert_eq!(done.status, 200, "another state, another entity tag");
    let done = done.json();
    assert_eq!((&done["state"], &done["runs"]), (&json!("done"), &json!(1)));
    assert!(done["finished_at"].is_string() && done["started_at"].is_string(), "{done}");
    let booking = api.get(created.header("location")).await;
    assert_eq!(booking.json()["status"], "confirmed");
    assert_eq!((booking.header("etag"), booking.header("cache-control")), ("\"2\"", "public, max-age=5"));
}

#[tokio::test]
async fn a_creation_names_its_task_on_sqlite() {
    a_creation_names_its_task(&Api::sqlite().await).await;
}

#[tokio::test]
async fn a_creation_names_its_task_on_postgresql() {
    a_creation_names_its_task(&Api::postgres().await).await;
}

#[tokio::test]
async fn a_repeated_creation_names_the_same_task() {
    let api = Api::sqlite().await;
    let headers = [JSON, ("idempotency-key", "key")];
    let body = wanted("room", 10, 11).to_string();
    let first = api.send("POST", "/api/bookings", &headers, body.clone()).await;
    let again = api.send("POST", "/api/bookings", &headers, body).await;
    assert_eq!(again.status, 201);
    assert_eq!(monitor(&again), monitor(&first));
    let task = api.get(&monitor(&first)).await.json();
    assert_eq!(task["trace_id"], first.trace, "the first request's, not the second's");
}

#[tokio::test]
async fn other_writes_name_none() {
    let api = Api::sqlite().await;
    let (path, _) = api.booked(&wanted("room", 10, 11)).await;
    let patched = api.send("PATCH", &path, &[PATCH], r#"{"guest":"Grace"}"#).await;
    assert_eq!(patched.status, 200);
    assert_eq!(patched.json()["status"], "pending", "it waits still");
    assert!(!patched.headers.contains_key("link"), "{patched:?}");
}
