//! Who is told of changes, as clients see it.

use serde_json::{Value, json};
use telemetry::testing;

use super::{Answer, Api, JSON, wanted};

async fn subscribe(api: &Api, url: &str) -> Answer {
    api.send("POST", "/api/webhooks", &[JSON], json!({ "url": url }).to_string()).await
}

async fn a_webhook_lives_and_its_secret_is_shown_once(api: &Api) {
    let created = subscribe(api, "https://example.org/events").await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.header("cache-control"), "no-store");
    let mut body = created.json();
    let path = created.header("location").to_owned();
    assert_eq!(path, format!("/api/webhooks/{}", body["id"].as_str().unwrap()));
    let secret = body["secret"].as_str().unwrap().to_owned();
    let key = secret.strip_prefix("whsec_").unwrap();
    assert_eq!(key.len(), 32, "base64 of 24 bytes: {secret}");
    assert_eq!((&body["url"], &body["disabled"]), (&json!("https://example.org/events"), &Value::Null));
    assert_ne!(subscribe(api, "https://example.org/events").await.json()["secret"], secret);

    body.as_object_mut().unwrap().remove("secret");
    let read = api.get(&path).await;
    assert_eq!((read.status.as_u16(), read.json()), (200, body.clone()));
    assert_eq!(read.header("cache-control"), "no-cache");
    let list = api.get("/api/webhooks").await;
    assert_eq!((list.json()["webhooks"].as_array().unwrap().len(), &list.json()["webhooks"][0]), (2, &body));
    assert!(!list.json().to_string().contains("whsec_"), "{list:?}");

    assert_eq!(api.send("DELETE", &path, &[], "").await.status, 204);
    for method in ["GET", "DELETE"] {
        let gone = api.send(method, &path, &[], "").await;
        assert_eq!(gone.status, 404);
        assert_eq!(gone.json()["detail"], "there is no such webhook");
    }
    let told = testing::wait_for_line(&created.trace, "request");
    assert!(!told.to_string().contains(key), "{told}");
    assert!(!format!("{:?}", testing::spans(&created.trace)).contains(key));
}

#[tokio::test]
async fn a_webhook_lives_and_its_secret_is_shown_once_on_sqlite() {
    a_webhook_lives_and_its_secret_is_shown_once(&Api::sqlite().await).await;
}

#[tokio::test]
async fn a_webhook_lives_and_its_secret_is_shown_once_on_postgresql() {
    a_webhook_lives_and_its_secret_is_shown_once(&Api::postgres().await).await;
}

#[tokio::test]
async fn a_write_sends_a_task_to_each_in_the_trace_of_its_request() {
    let api = Api::sqlite().await;
    subscribe(&api, "https://example.org/a").await;
    subscribe(&api, "https://example.org/b").await;
    let answer = api.post(&wanted("room", 10, 11)).await;
    let server = testing::wait_for_span(&answer.trace, "POST /api/bookings");
    let spans = testing::spans(&answer.trace);
    let sent: Vec<_> = spans.iter().filter(|span| span.kind == "PRODUCER").collect();
    let names: Vec<_> = sent.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["send confirm_booking", "send deliver_webhook", "send deliver_webhook"]);
    assert!(sent.iter().all(|span| span.parent_id == server.span_id), "{sent:#?}");
}

#[tokio::test]
async fn what_is_no_webhook_is_refused_by_its_field() {
    let api = Api::sqlite().await;
    for (body, status, field) in [
        ("", 400, Value::Null),
        ("[]", 400, Value::Null),
        ("{}", 422, json!("url")),
        (r#"{"url":7}"#, 422, json!("url")),
        (r#"{"url":"ftp://example.org/"}"#, 422, json!("url")),
        (r#"{"url":"https://user:hunter2@example.org/"}"#, 422, json!("url")),
        (r#"{"url":"https://example.org/","secret":"mine"}"#, 422, json!("secret")),
        (r#"{"url":"https://example.org/","colour":"red"}"#, 422, json!("colour")),
    ] {
        let answer = api.send("POST", "/api/webhooks", &[JSON], body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["field"], field, "{body}");
        assert!(!answer.json().to_string().contains("hunter2"), "{answer:?}");
    }
    assert_eq!(api.get("/api/webhooks").await.json(), json!({ "webhooks": [] }));
}

#[tokio::test]
async fn there_is_an_end_to_webhooks() {
    let api = Api::sqlite().await;
    for number in 0..store::Webhook::AT_MOST {
        assert_eq!(subscribe(&api, &format!("https://example.org/{number}")).await.status, 201);
    }
    let refused = subscribe(&api, "https://example.org/more").await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["detail"], "there are 100 webhooks already, and there may be no more");
}
