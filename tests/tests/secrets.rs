//! Planted secrets appear nowhere in any file of a collector, whichever it is and whoever sends them.

use std::{fs, path::Path};

use http::Method;
use serde_json::{Value, json};
use tests::{Client, Parts, System, eventually};

/// Each is planted somewhere; none may be found.
const SECRETS: [&str; 7] =
    [CARD, "Zm9v-basic", "bearer-5f3a", "session-77aa", "hunter2-pw", "tok-9d2e", "key-1b4c"];

/// A card number.
const CARD: &str = "4111111111111111";

/// Where all of them may be: what a client sends to us.
async fn plant_in_requests(system: &System) -> Vec<String> {
    let client = system.client();
    let mut ids = Vec::new();
    let headers = [
        ("authorization", "Basic Zm9v-basic"),
        ("cookie", "session=session-77aa; token=tok-9d2e"),
        ("x-api-key", "key-1b4c"),
        ("user-agent", "curl token=tok-9d2e"),
        ("baggage", "password=hunter2-pw"),
        ("tracestate", "a=bearer-5f3a"),
    ];
    let query = "token=tok-9d2e&password=hunter2-pw&api_key=key-1b4c&card=4111111111111111";
    for path in [format!("/api/bookings?{query}"), format!("/absent/4111111111111111?{query}")] {
        let answer = client.get_with(&path, &headers).await;
        ids.push(answer.trace_id());
    }
    let booking = json!({"resource": "room-9", "guest": "password=hunter2-pw", "notes": CARD,
                         "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"});
    for _once_accepted_once_refused in 0..2 {
        ids.push(client.post("/api/bookings", &booking).await.trace_id());
    }
    ids
}

/// What somebody else's service sends to the collector; `MARK` where it can be found by.
fn foreign_exports() -> [(&'static str, Value); 3] {
    let text = |text: &str| json!({"stringValue": text});
    let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
    let attributes = json!([
        attribute("mark", text("MARK")),
        attribute("http.request.header.authorization", text("Basic Zm9v-basic")),
        attribute(
            "http.request.header.cookie",
            json!({"arrayValue": {"values": [text("session=session-77aa")]}})
        ),
        attribute("db.password", text("hunter2-pw")),
        attribute("token", text("tok-9d2e")),
        attribute("my.api_key", text("key-1b4c")),
        attribute("url.full", text("https://x/?token=tok-9d2e&api_key=key-1b4c")),
        attribute("card", json!({"intValue": CARD})),
        attribute("cards", json!({"arrayValue": {"values": [json!({"intValue": CARD}), text(CARD)]}})),
        attribute(
            "nested",
            json!({"kvlistValue": {"values": [
            attribute("headers", json!({"kvlistValue": {"values": [
                attribute("Authorization", text("Basic Zm9v-basic")), attribute("note", text("Bearer bearer-5f3a"))]}})),
            attribute("token", text("tok-9d2e"))]}})
        ),
        attribute("json", text(r#"{"user": "a", "password": "hunter2-pw", "x": {"api_key": ["key-1b4c"]}}"#)),
        attribute("said", text("Authorization: Bearer bearer-5f3a, paid with 4111111111111111")),
    ]);
    let resource = json!({"attributes": attributes});
    let scope = json!({"name": "MARK", "attributes": attributes});
    let (id, time) = ("5b8efff798038103d269b633813fc60c", "1790000000123456789");
    let said = "GET /?token=tok-9d2e Bearer bearer-5f3a password=hunter2-pw 4111111111111111";
    [
        (
            "traces",
            json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": [{
            "traceId": id, "spanId": "eee19b7ec3c1b174", "name": said, "kind": 2,
            "startTimeUnixNano": time, "endTimeUnixNano": time, "attributes": attributes,
            "events": [{"timeUnixNano": time, "name": said, "attributes": attributes}],
            "status": {"code": 2, "message": said}}]}]}]}),
        ),
        (
            "logs",
            json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": [
            {"timeUnixNano": time, "body": text(said), "attributes": attributes},
            {"timeUnixNano": time, "body": {"kvlistValue": {"values": [
                attribute("message", text(said)), attribute("token", text("tok-9d2e"))]}}}]}]}]}),
        ),
        (
            "metrics",
            json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": scope, "metrics": [{
            "name": "a.gauge", "gauge": {"dataPoints": [{"timeUnixNano": time, "asDouble": 1.0,
                                                         "attributes": attributes}]}}]}]}]}),
        ),
    ]
}

async fn assert_nowhere(parts: Parts) {
    let mut system = System::builder().parts(parts).start().await;
    let files = system.files();
    for id in plant_in_requests(&system).await {
        system.story(&id, &["load_balancer"]).await;
    }
    let client = Client::new(system.otlp_http());
    for (signal, export) in foreign_exports() {
        let body = export.to_string().replace("MARK", "mark-of-the-foreign-export");
        let headers = [("content-type", "application/json")];
        let answer =
            client.send(client.request(Method::POST, &format!("/v1/{signal}"), &headers, &body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        eventually(&format!("the foreign {signal} are written"), async || {
            let text = fs::read_to_string(files.join(format!("{signal}.jsonl"))).unwrap_or_default();
            if text.contains("mark-of-the-foreign-export") { Ok(()) } else { Err("not there") }
        })
        .await;
    }
    // What comes last: the counts of everything before it.
    assert!(system.stop().await.success());
    assert_none_in(&files, &SECRETS);
    // What the processes say themselves: a path is said as it was asked for, and one of ours holds the card number.
    assert_none_in(&system.data().join("logs"), &SECRETS[1..]);
    if parts == Parts::Real {
        // What waits for Jaeger has been through the same rules.
        assert_none_in(&system.directory().join("queue"), &SECRETS);
    }
}

fn assert_none_in(directory: &Path, secrets: &[&str]) {
    let mut searched = 0;
    for entry in fs::read_dir(directory).expect("the directory is there").flatten() {
        let path = entry.path();
        let bytes = fs::read(&path).expect("a file can be read");
        let text = String::from_utf8_lossy(&bytes);
        searched += bytes.len();
        for secret in secrets {
            let found = text.find(secret).map(|at| text.get(at.saturating_sub(100)..at + 30));
            assert_eq!(found, None, "`{secret}` is in {}", path.display());
        }
    }
    assert!(searched > 0, "{} holds something", directory.display());
}

#[tokio::test]
async fn the_embedded_collector_writes_no_secret() {
    assert_nowhere(Parts::Embedded).await;
}

#[tokio::test]
async fn the_real_collector_writes_no_secret() {
    assert_nowhere(Parts::Real).await;
}
