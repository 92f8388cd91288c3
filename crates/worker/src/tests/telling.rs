//! Spans and lines of runs: the first goes on with the request's trace, a later one has its own.

use super::*;
use telemetry::testing::{RecordedSpan, lines, spans, wait_for_line, wait_for_span};
use tests::{Receiver, Reply};

#[tokio::test]
async fn the_first_run_is_a_child_of_the_span_that_enqueued_it() {
    for database in Database::both().await {
        let (id, trace) = database.enqueue(task("confirm_booking")).await;
        let worker = Making::on(&database).await.start();
        database.until(id, State::Done).await;
        worker.stop().await;
        let run = wait_for_span(&trace, "process confirm_booking");
        assert_eq!(run.kind, "CONSUMER");
        assert_eq!(run.parent_id, wait_for_span(&trace, "send confirm_booking").span_id);
        let attributes = |name: &str| run.attributes[name].as_str();
        assert_eq!(attributes("messaging.system"), "throughline");
        assert_eq!(attributes("messaging.operation.type"), "process");
        assert_eq!(attributes("messaging.destination.name"), "confirm_booking");
        assert_eq!(attributes("messaging.message.id"), id.to_string());
        assert_eq!(attributes("throughline.task.run"), "1");
        assert_eq!(attributes("throughline.task.outcome"), "done");
        let waited: f64 = attributes("throughline.task.wait_ms").parse().unwrap();
        let line = wait_for_line(&trace, "task");
        assert_eq!(line["wait_ms"].as_f64().unwrap(), (waited * 1000.0).round() / 1000.0);
        assert_eq!((&line["level"], &line["logger"]), (&"INFO".into(), &"worker::task".into()));
        assert_eq!((&line["span_id"], &line["run"]), (&run.span_id.into(), &1.into()), "{line}");
        assert_eq!(line["task"], id.to_string());
        assert!(line["run_ms"].as_f64().unwrap() > 0.0, "{line}");
        let statements = spans(&trace).into_iter().filter(|span| span.parent_id == line["span_id"]);
        assert!(statements.count() >= 2, "the statements that end it are its children");
    }
}

#[tokio::test]
async fn a_later_run_is_a_trace_of_its_own_linked_to_the_first() {
    for database in Database::both().await {
        let receiver = Receiver::start(|before, _| Reply::status(if before < 2 { 503 } else { 200 })).await;
        let webhook = database.subscribe(&receiver.url()).await;
        let (id, trace) = database.enqueue(delivery(&webhook)).await;
        let worker = Making::on(&database).await.start();
        database.until(id, State::Done).await;
        worker.stop().await;

        let traces: Vec<String> =
            receiver.received().iter().map(|one| one.header("traceparent")[3..35].to_owned()).collect();
        assert_eq!(traces[0], trace);
        assert!(traces[1] != trace && traces[2] != trace && traces[1] != traces[2], "{traces:?}");
        let runs: Vec<RecordedSpan> =
            traces.iter().map(|trace| wait_for_span(trace, "process deliver_webhook")).collect();
        let first = (runs[0].trace_id.clone(), runs[0].span_id.clone());
        assert_eq!(runs[0].links, []);
        for (run, number) in runs.iter().zip(1..).skip(1) {
            assert_eq!((run.parent_id.as_str(), &run.links[..]), ("0000000000000000", &[first.clone()][..]));
            assert_eq!(run.attributes["throughline.task.run"], number.to_string());
        }
        assert_eq!(runs[0].attributes["error.type"], "503");
        assert!(runs[0].failed && runs[1].failed && !runs[2].failed);
        let told = traces.iter().map(|trace| {
            let line = wait_for_line(trace, "task");
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            (text("level"), text("outcome"), text("error.type"))
        });
        let failed = ("WARN".to_owned(), "failed".to_owned(), "503".to_owned());
        let done = ("INFO".to_owned(), "done".to_owned(), String::new());
        assert_eq!(told.collect::<Vec<_>>(), [failed.clone(), failed, done]);
        assert_eq!(lines(&trace).iter().filter(|line| line["message"] == "task").count(), 1);
    }
}

#[tokio::test]
async fn what_was_enqueued_outside_of_a_request_has_a_trace_all_the_same() {
    let database = Database::sqlite().await;
    let wanted = task("confirm_booking");
    let id = wanted.id;
    database.store.enqueue(vec![wanted], Timestamp::now()).await.unwrap();
    let worker = Making::on(&database).await.start();
    let done = database.until(id, State::Done).await;
    worker.stop().await;
    let run = Carried { traceparent: done.first_run.unwrap(), tracestate: None };
    let span = wait_for_span(&run.trace_id().unwrap(), "process confirm_booking");
    assert_eq!((span.links.len(), span.parent_id.as_str()), (0, "0000000000000000"));
}

#[tokio::test]
async fn a_task_that_waited_for_minutes_is_still_in_its_requests_trace() {
    for database in Database::both().await {
        let due = Timestamp::now().minus(Duration::from_secs(240));
        let wanted = NewTask { run_at: due, ..task("confirm_booking") };
        let (id, trace) = database.enqueue(wanted).await;
        let worker = Making::on(&database).await.start();
        database.until(id, State::Done).await;
        worker.stop().await;
        let run = wait_for_span(&trace, "process confirm_booking");
        let waited: f64 = run.attributes["throughline.task.wait_ms"].parse().unwrap();
        assert!((240_000.0..300_000.0).contains(&waited), "{waited}");
        assert!(run.duration < 60.0, "the span is of the run, and not of the wait: {run:?}");
    }
}
