//! What the real Collector has acknowledged is in its files and reaches Jaeger, whatever is killed.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use tests::{Client, Collector, Directory, Jaeger, Parts, System, eventually_within, whole_lines};
use tokio::sync::watch;

const WHOLE_PATH: [&str; 3] = ["load_balancer", "cache", "http_server"];

fn trace_id(number: usize) -> String {
    format!("{:032x}", 0x7ace_0000_0000_usize + number)
}

/// One span, or one log record, of trace `number`.
fn export(signal: &str, number: usize) -> Value {
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "sender"}}]});
    let (id, time) = (trace_id(number), "1790000000000000000");
    match signal {
        "traces" => json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [{
            "traceId": id, "spanId": "00000000000000aa", "name": "sent", "kind": 2,
            "startTimeUnixNano": time, "endTimeUnixNano": time}]}]}]}),
        _ => json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [{
            "traceId": id, "spanId": "00000000000000aa", "timeUnixNano": time, "severityText": "INFO",
            "body": {"stringValue": "sent"}}]}]}]}),
    }
}

/// Sends one; whether it was acknowledged.
async fn acknowledged(client: &Client, signal: &str, number: usize) -> bool {
    let headers = [("content-type", "application/json")];
    let body = export(signal, number).to_string();
    let request = client.request(Method::POST, &format!("/v1/{signal}"), &headers, &body);
    // What breaks off was not acknowledged.
    client.try_send(request).await.is_ok_and(|answer| answer.status == 200)
}

/// Those of the trace ids that are nowhere in the signal's files.
fn missing_in_files(files: &Path, signal: &str, ids: &[String]) -> Vec<String> {
    let text = whole_lines(files, signal, |_| true).concat();
    ids.iter().filter(|id| !text.contains(*id)).cloned().collect()
}

async fn assert_all_in_jaeger(jaeger: &Jaeger, ids: &[String]) {
    eventually_within(Duration::from_secs(60), "every trace is in Jaeger", async || {
        for id in ids {
            if jaeger.trace(id).await?.is_empty() {
                return Err(format!("not {id}"));
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_collector_is_killed_under_load() {
    let directory = Directory::new();
    let mut jaeger = Jaeger::new(directory.path());
    jaeger.start().await;
    let mut collector = Collector::start(directory.path(), &jaeger.endpoint()).await;

    let stop = Arc::new(AtomicBool::new(false));
    let signals = ["traces", "logs"].map(|signal| (signal, Arc::new(AtomicUsize::new(0))));
    // Nobody sends to one that is starting: the head of otel-collector.yaml says what that may cost Jaeger.
    let (ready, is_ready) = watch::channel(true);
    let senders: Vec<_> = signals
        .clone()
        .into_iter()
        .map(|(signal, sent)| {
            let (client, stop) = (Client::new(collector.http()), stop.clone());
            let mut is_ready = is_ready.clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    is_ready.wait_for(|ready| *ready).await.expect("the test outlives its senders");
                    if acknowledged(&client, signal, number).await {
                        sent.fetch_add(1, Ordering::Relaxed);
                        ids.push(trace_id(number));
                    } else {
                        // Nobody is there: no reason to hurry.
                        tokio::task::yield_now().await;
                    }
                }
                (signal, ids)
            })
        })
        .collect();
    let enough = async || {
        for (signal, sent) in &signals {
            let wanted = sent.load(Ordering::Relaxed) + 30;
            // Each export of a span waits for the disk.
            let bound = Duration::from_secs(60);
            eventually_within(bound, &format!("{signal}: {wanted} are acknowledged"), async || {
                let sent = sent.load(Ordering::Relaxed);
                if sent >= wanted { Ok(()) } else { Err(format!("{sent} are")) }
            })
            .await;
        }
    };
    for _ in 0..3 {
        enough().await;
        collector.kill();
        ready.send_replace(false);
        collector.start_again().await;
        ready.send_replace(true);
    }
    enough().await;
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        let (signal, ids) = sender.await.expect("the sender ends");
        let missing = missing_in_files(&collector.files(), signal, &ids);
        assert_eq!(missing, Vec::<String>::new(), "{signal}: acknowledged, {}, and not there", ids.len());
        if signal == "traces" {
            assert_all_in_jaeger(&jaeger, &ids).await;
        }
    }
}

#[tokio::test]
async fn what_was_accepted_while_jaeger_was_away_is_there_afterwards() {
    let directory = Directory::new();
    let mut jaeger = Jaeger::new(directory.path());
    let mut collector = Collector::start(directory.path(), &jaeger.endpoint()).await;
    let client = Client::new(collector.http());
    let mut ids = Vec::new();
    let mut send = async |numbers: std::ops::Range<usize>| {
        for number in numbers {
            assert!(acknowledged(&client, "traces", number).await, "Jaeger's absence is nobody's business");
            ids.push(trace_id(number));
        }
    };
    // Nor does the Collector's own end lose them, whichever way it comes.
    send(0..200).await;
    collector.kill();
    collector.start_again().await;
    send(200..400).await;
    collector.stop().await;
    collector.start_again().await;
    send(400..500).await;
    jaeger.start().await;
    assert_all_in_jaeger(&jaeger, &ids).await;
}

#[tokio::test]
async fn a_system_whose_collector_is_killed_under_load_loses_no_story() {
    let mut system = System::builder().parts(Parts::Real).caches(2).servers(2).start().await;
    let client = system.client();
    let answered = Arc::new(AtomicUsize::new(0));
    let counted = answered.clone();
    let load = tokio::spawn(async move {
        let mut ids = Vec::new();
        for number in 0..400 {
            let answer = client.get(&format!("/api/bookings?resource=r-{number}")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            ids.push(answer.trace_id());
            counted.fetch_add(1, Ordering::Relaxed);
        }
        ids
    });
    let reached = async |wanted: usize| {
        eventually_within(Duration::from_secs(30), &format!("{wanted} requests"), async || {
            let answered = answered.load(Ordering::Relaxed);
            if answered >= wanted { Ok(()) } else { Err(answered) }
        })
        .await;
    };
    reached(100).await;
    system.without_collector(async |_| reached(250).await).await;
    let ids = load.await.expect("no request failed");

    let mut in_files = BTreeSet::new();
    for story in system.stories(&ids, &WHOLE_PATH).await {
        story.assert_carried_through(&WHOLE_PATH);
        in_files.extend(story.spans.iter().map(|span| span.id.clone()));
    }
    let jaeger = &*system.jaeger();
    eventually_within(Duration::from_secs(60), "every span is in Jaeger", async || {
        let mut shown = BTreeSet::new();
        for id in &ids {
            shown.extend(jaeger.trace(id).await?.into_iter().map(|span| span.id));
        }
        let missing = in_files.difference(&shown).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are not", in_files.len())) }
    })
    .await;
}
