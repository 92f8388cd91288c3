//! What a store tells of itself: spans of the current request, and none outside of one.

use opentelemetry::{context::FutureExt as _, trace::TraceContextExt as _};
use telemetry::{Span, testing};

use super::{Place, booking, keep, kind};

/// Runs something as if within a request, and gives the spans of its trace below the request's own.
async fn spans_of(work: impl Future<Output = ()>) -> Vec<testing::RecordedSpan> {
    testing::capture();
    let request = Span::internal("request", Vec::new());
    let trace = request.context().span().span_context().trace_id().to_string();
    work.with_context(request.context().clone()).await;
    drop(request);
    let request = testing::wait_for_span(&trace, "request");
    let spans = testing::spans(&trace);
    let children: Vec<_> = spans.into_iter().filter(|span| span.span_id != request.span_id).collect();
    assert!(children.iter().all(|span| span.parent_id == request.span_id), "{children:#?}");
    children
}

pub(crate) async fn each_wait_and_each_statement_is_a_span(place: &dyn Place) {
    let store = place.open().await;
    let one = booking("a very private room", 60, 120);
    let spans = spans_of(async {
        keep(&store, &one).await;
        store.get(one.id).await.unwrap();
    })
    .await;
    let names: Vec<_> = spans.iter().map(|span| (span.kind, span.name.as_str())).collect();
    assert_eq!(
        names,
        [
            ("INTERNAL", "pool.acquire"),
            ("CLIENT", "BEGIN"),
            ("CLIENT", "INSERT bookings"),
            ("CLIENT", "SELECT webhooks"),
            ("CLIENT", "COMMIT"),
            ("INTERNAL", "pool.acquire"),
            ("CLIENT", "SELECT bookings"),
        ]
    );
    for name in ["throughline.pool.size", "throughline.pool.in_use", "throughline.pool.waiting"] {
        assert!(spans[0].attributes[name].parse::<u32>().is_ok(), "{:?}", spans[0]);
    }
    let is_sqlite = place.url().starts_with("sqlite:");
    // A read cannot use SQLite's one connection for writing, and does not count it.
    let of_use = if is_sqlite { "0" } else { "1" };
    assert_eq!(spans[5].attributes["throughline.pool.size"], of_use, "{:?}", spans[5]);
    let select = &spans[6].attributes;
    assert_eq!(select["db.system.name"], if is_sqlite { "sqlite" } else { "postgresql" });
    assert_eq!(select["db.operation.name"], "SELECT");
    assert_eq!(select["db.collection.name"], "bookings");
    assert!(place.url().ends_with(&select["db.namespace"]), "{select:?}");
    assert!(select["db.query.text"].contains("WHERE id = $1"), "{select:?}");
    assert_eq!(select.contains_key("server.address"), !is_sqlite, "{select:?}");
    for span in &spans {
        assert!(!span.failed && !span.attributes.contains_key("error.type"), "{span:?}");
        assert!(!format!("{span:?}").contains("private"), "values stay out: {span:?}");
    }
}

pub(crate) async fn a_refused_statement_says_its_code_and_no_value(place: &dyn Place) {
    let store = place.open().await;
    keep(&store, &booking("a very private room", 60, 120)).await;
    let spans = spans_of(async {
        assert_eq!(kind(store.create(booking("a very private room", 60, 120), None).await), "overlap");
    })
    .await;
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["pool.acquire", "BEGIN", "INSERT bookings", "ROLLBACK"]);
    let insert = &spans[2];
    assert!(insert.failed);
    let code = if place.url().starts_with("sqlite:") { "1811" } else { "23P01" };
    assert_eq!(insert.attributes["db.response.status_code"], code);
    assert_eq!(insert.attributes["error.type"], code);
    assert!(!format!("{spans:?}").contains("private"), "values stay out: {spans:?}");
}
