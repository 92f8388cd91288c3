//! Tasks left for a worker, in the transaction of whatever they follow from.
//!
//! Each is a PRODUCER span, `send {kind}`, which the task carries as its parent. Outside of a request there is no span, and
//! the task's first run begins a trace.

use opentelemetry::{KeyValue, context::FutureExt as _, trace::TraceContextExt as _};
use telemetry::{Carried, Context, Span, names};
use uuid::Uuid;

use crate::{
    Booking, Timestamp,
    error::Error,
    event::Event,
    operations::Operation,
    session::{Session, Sql},
    task::{Enqueued, Kind, NewTask},
    value::Value,
};

const INSERT: Sql<'_> = Sql::same(
    "INSERT",
    "tasks",
    "INSERT INTO tasks (id, kind, payload, booking_id, webhook_id, idempotency_key, traceparent, tracestate, \
     state, run_at, due_at, runs, max_runs, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', $9, $9, 0, $10, $11) \
     ON CONFLICT (idempotency_key) DO NOTHING",
);
const FIND: Sql<'_> = Sql::same("SELECT", "tasks", "SELECT id FROM tasks WHERE idempotency_key = $1");
const SUBSCRIBED: Sql<'_> =
    Sql::same("SELECT", "webhooks", "SELECT id FROM webhooks WHERE disabled_at IS NULL ORDER BY id");

#[derive(Debug)]
pub(crate) struct Enqueue {
    pub(crate) tasks: Vec<NewTask>,
    pub(crate) now: Timestamp,
}

impl Operation for Enqueue {
    const WRITES: bool = true;
    type Output = Vec<Enqueued>;
    type Error = Error;

    async fn run(self, session: &mut Session) -> Result<Vec<Enqueued>, Error> {
        let mut enqueued = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            enqueued.push(enqueue(session, task, self.now).await?);
        }
        Ok(enqueued)
    }
}

/// The task that confirms a new booking.
pub(crate) async fn confirm(session: &mut Session, booking: &Booking, now: Timestamp) -> Result<Uuid, Error> {
    let task = NewTask {
        id: Uuid::now_v7(),
        kind: Kind::ConfirmBooking.as_str().to_owned(),
        payload: format!("{{\"booking\":\"{}\"}}", booking.id),
        booking: Some(booking.id),
        webhook: None,
        idempotency_key: format!("{} {}", Kind::ConfirmBooking.as_str(), booking.id),
        run_at: now,
        max_runs: Kind::ConfirmBooking.max_runs(),
    };
    match enqueue(session, task, now).await? {
        Enqueued::New(id) | Enqueued::Before(id) => Ok(id),
    }
}

/// The tasks that tell everybody who subscribed what became of a booking.
pub(crate) async fn announce(
    session: &mut Session,
    event: Event,
    booking: &Booking,
    now: Timestamp,
) -> Result<(), Error> {
    let kind = Kind::DeliverWebhook;
    for row in session.rows(&SUBSCRIBED, &[]).await? {
        let webhook = row.id(0)?;
        let task = NewTask {
            id: Uuid::now_v7(),
            kind: kind.as_str().to_owned(),
            payload: event.payload(booking, now),
            booking: Some(booking.id),
            webhook: Some(webhook),
            idempotency_key: format!(
                "{} {webhook} {} {} {}",
                kind.as_str(),
                event.as_str(),
                booking.id,
                booking.version
            ),
            run_at: now,
            max_runs: kind.max_runs(),
        };
        enqueue(session, task, now).await?;
    }
    Ok(())
}

/// One task, unless its idempotency key has one.
pub(crate) async fn enqueue(session: &mut Session, task: NewTask, now: Timestamp) -> Result<Enqueued, Error> {
    let span = send(&task);
    let context = span.as_ref().map_or_else(Context::current, |span| span.context().clone());
    let carried = span.as_ref().and_then(|span| Carried::of(span.context()));
    let outcome = insert(session, task, carried, now).with_context(context).await;
    if let (Err(error), Some(span)) = (&outcome, &span) {
        span.fail("database_error", error);
    }
    outcome
}

async fn insert(
    session: &mut Session,
    task: NewTask,
    carried: Option<Carried>,
    now: Timestamp,
) -> Result<Enqueued, Error> {
    let text_or_null = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    let id_or_null = |id: Option<Uuid>| id.map_or(Value::Null, Value::Id);
    let key = Value::Text(task.idempotency_key);
    let (traceparent, tracestate) =
        carried.map_or((None, None), |carried| (Some(carried.traceparent), carried.tracestate));
    let values = [
        Value::Id(task.id),
        Value::Text(task.kind),
        Value::Text(task.payload),
        id_or_null(task.booking),
        id_or_null(task.webhook),
        key.clone(),
        text_or_null(traceparent),
        text_or_null(tracestate),
        Value::Time(task.run_at),
        Value::Integer(task.max_runs.into()),
        Value::Time(now),
    ];
    if session.execute(&INSERT, &values).await? > 0 {
        session.wake_workers();
        return Ok(Enqueued::New(task.id));
    }
    let rows = session.rows(&FIND, &[key]).await?;
    let before = rows.first().map(|row| row.id(0)).transpose()?;
    before.map(Enqueued::Before).ok_or_else(|| super::strange("it went while it was asked for".into()))
}

fn send(task: &NewTask) -> Option<Span> {
    Context::map_current(|context| context.span().span_context().is_valid()).then(|| {
        Span::producer(
            format!("send {}", task.kind),
            vec![
                KeyValue::new(names::MESSAGING_SYSTEM, names::TASK_SYSTEM),
                KeyValue::new(names::MESSAGING_OPERATION_NAME, "send"),
                KeyValue::new(names::MESSAGING_OPERATION_TYPE, "send"),
                KeyValue::new(names::MESSAGING_DESTINATION_NAME, task.kind.clone()),
                KeyValue::new(names::MESSAGING_MESSAGE_ID, task.id.to_string()),
            ],
        )
    })
}
