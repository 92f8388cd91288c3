//! What Jaeger shows is what the files hold: the same spans under the same parents.

use std::collections::BTreeSet;

use serde_json::json;
use tests::{Parts, Story, System, eventually, jaeger::ShownSpan};

const WHOLE_PATH: [&str; 3] = ["load_balancer", "cache", "http_server"];

fn spans_of(story: &Story) -> BTreeSet<ShownSpan> {
    let shown = |span: &tests::Span| ShownSpan {
        id: span.id.clone(),
        parent: span.parent.clone(),
        service: span.service.clone(),
        name: span.name.clone(),
        kind: span.kind.to_lowercase(),
    };
    story.spans.iter().map(shown).collect()
}

/// Waits until Jaeger shows the spans of the files, neither more nor fewer, each once.
async fn assert_shown(system: &mut System, trace_id: &str, path: &[&str]) {
    let in_files = spans_of(&system.story(trace_id, path).await);
    assert!(in_files.len() >= path.len(), "{in_files:#?}");
    let jaeger = &*system.jaeger();
    eventually(&format!("Jaeger shows {trace_id}"), async || {
        let shown = jaeger.trace(trace_id).await?;
        if shown == in_files { Ok(()) } else { Err(format!("{shown:#?}, in the files {in_files:#?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_trace_in_jaeger_is_the_trace_in_the_files() {
    let mut system = System::builder().parts(Parts::Real).start().await;
    let client = system.client();
    let created = client
        .post(
            "/api/bookings",
            &json!({"resource": "room-7", "guest": "Ada",
                    "starts_at": "2031-05-01T10:00:00Z", "ends_at": "2031-05-01T11:00:00Z"}),
        )
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_shown(&mut system, &created.trace_id(), &WHOLE_PATH).await;

    let miss = client.get(created.header("location")).await;
    let hit = client.get(created.header("location")).await;
    assert!(hit.header("cache-status").contains("hit"), "{hit:?}");
    assert_shown(&mut system, &miss.trace_id(), &WHOLE_PATH).await;
    assert_shown(&mut system, &hit.trace_id(), &["load_balancer", "cache"]).await;
}
