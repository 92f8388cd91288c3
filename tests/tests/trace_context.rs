//! Whose trace a request belongs to: nobody's, a trusted caller's, an untrusted one's, a broken one's.

use tests::{Client, System};

const WHOLE_PATH: [&str; 3] = ["load_balancer", "cache", "http_server"];
const CALLERS_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLERS_SPAN: &str = "00f067aa0ba902b7";

fn callers_traceparent() -> String {
    format!("00-{CALLERS_TRACE}-{CALLERS_SPAN}-03")
}

#[tokio::test]
async fn a_trusted_callers_trace_goes_on() {
    // `up` trusts loopback, where this test is.
    let system = System::start().await;
    let headers = [("traceparent", callers_traceparent()), ("tracestate", "vendor=opaque".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = system.client().get_with("/api/bookings?resource=trusted", &headers).await;
    assert_eq!(answer.trace_id(), CALLERS_TRACE);
    assert!(answer.header("traceresponse").ends_with("-03"), "the random flag is kept: {answer:?}");

    let story = system.story(CALLERS_TRACE, &WHOLE_PATH).await;
    story.assert_nested(&WHOLE_PATH);
    assert_eq!(story.server("load_balancer").parent, CALLERS_SPAN);
}

#[tokio::test]
async fn a_malformed_traceparent_fails_no_request_and_starts_a_new_trace() {
    let system = System::start().await;
    let all_zero = format!("00-{}-{CALLERS_SPAN}-01", "0".repeat(32));
    let upper = callers_traceparent().to_uppercase();
    let long = format!("{}-extra", callers_traceparent());
    for malformed in [
        "",
        "00-abc-def-01",
        &all_zero,
        &upper,
        &long,
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        // No cache answers this list by itself: a worker changes it behind them.
        let list = "/api/bookings?status=confirmed";
        let answer = system.client().get_with(list, &[("traceparent", malformed)]).await;
        assert_eq!(answer.status, 200, "`{malformed}`: {answer:?}");
        let id = answer.trace_id();
        assert_ne!(id, CALLERS_TRACE, "`{malformed}`");
        assert!(answer.header("traceresponse").ends_with("-03"), "sampled and random: {answer:?}");
        system.story(&id, &WHOLE_PATH).await.assert_carried_through(&WHOLE_PATH);
    }
}

#[tokio::test]
async fn two_traceparents_are_as_good_as_none() {
    let system = System::start().await;
    let first = callers_traceparent();
    let second = first.replace("4bf9", "4bf8");
    let headers = [("traceparent", first.as_str()), ("traceparent", second.as_str())];
    // As above.
    let answer = system.client().get_with("/api/bookings?status=confirmed", &headers).await;
    assert!(![CALLERS_TRACE.to_owned(), CALLERS_TRACE.replace("4bf9", "4bf8")].contains(&answer.trace_id()));
    system.story(&answer.trace_id(), &WHOLE_PATH).await.assert_carried_through(&WHOLE_PATH);
}

#[tokio::test]
async fn an_untrusted_callers_trace_is_linked_but_not_continued() {
    let system = System::start().await;
    // A second edge in front of the same caches, as the public would see it: it believes nobody.
    let cache = &system.processes("cache")[0];
    let edge = tests::Service::start(
        "load-balancer",
        &["--upstream", &format!("http://{}", cache.address), "--trusted-peers", "none"],
        &system,
    )
    .await;
    let sent = [
        ("traceparent", callers_traceparent()),
        ("tracestate", "vendor=opaque".to_owned()),
        ("baggage", "user=42".to_owned()),
    ];
    let sent: Vec<_> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = Client::new(edge.address()).get_with("/api/bookings?resource=untrusted", &sent).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.trace_id();
    assert_ne!(id, CALLERS_TRACE);

    let story = system.story(&id, &WHOLE_PATH).await;
    story.assert_carried_through(&WHOLE_PATH);
    assert_eq!(
        story.server("load_balancer").links,
        [(CALLERS_TRACE.to_owned(), CALLERS_SPAN.to_owned())],
        "what the caller said is kept as a link"
    );
}
