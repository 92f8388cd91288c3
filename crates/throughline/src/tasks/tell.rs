//! How tasks look: as lines for people, or as JSON, one object a line, for programs.

use std::fmt::Write as _;

use serde::Serialize;
use store::{Task, TaskCounts, Timestamp};
use uuid::Uuid;

/// Characters of an error in a list.
const ERROR_WIDTH: usize = 60;

/// What `tasks` tells.
#[derive(Debug)]
pub(super) struct Overview {
    pub(super) counts: TaskCounts,
    /// Tasks that no worker has although they are due.
    pub(super) waiting: u64,
    /// The one of them that has been due for longest.
    pub(super) oldest: Option<Task>,
    pub(super) now: Timestamp,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Tell {
    Lines,
    Json,
}

#[derive(Serialize)]
struct OverviewObject {
    queued: u64,
    leased: u64,
    done: u64,
    dead: u64,
    cancelled: u64,
    waiting: u64,
    oldest: Option<Uuid>,
    oldest_seconds: Option<f64>,
}

#[derive(Serialize)]
struct TaskObject<'a> {
    id: Uuid,
    kind: &'a str,
    state: &'static str,
    runs: u32,
    max_runs: u32,
    trace_id: Option<String>,
    booking_id: Option<Uuid>,
    webhook_id: Option<Uuid>,
    created_at: Timestamp,
    run_at: Timestamp,
    due_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    holder: Option<&'a str>,
    last_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
}

impl Tell {
    pub(super) fn new(json: bool) -> Self {
        if json { Tell::Json } else { Tell::Lines }
    }

    pub(super) fn overview(self, overview: &Overview) -> String {
        let Overview { counts, waiting, oldest, now } = overview;
        let since = oldest.as_ref().and_then(|task| task.due_at).map(|due| now.since(due));
        if let Tell::Json = self {
            return json(&OverviewObject {
                queued: counts.queued,
                leased: counts.leased,
                done: counts.done,
                dead: counts.dead,
                cancelled: counts.cancelled,
                waiting: *waiting,
                oldest: oldest.as_ref().map(|task| task.id),
                oldest_seconds: since.map(|since| since.as_secs_f64()),
            });
        }
        let mut text = String::new();
        for (state, count) in [
            ("queued", counts.queued),
            ("leased", counts.leased),
            ("done", counts.done),
            ("dead", counts.dead),
            ("cancelled", counts.cancelled),
        ] {
            line(&mut text, format_args!("{state:<10} {count:>8}"));
        }
        match (oldest, since) {
            (Some(task), Some(since)) => {
                let (kind, seconds) = (plain(&task.kind), since.as_secs_f64());
                line(
                    &mut text,
                    format_args!(
                        "waiting    {waiting:>8}  the oldest for {seconds:.1} s: {} {kind}",
                        task.id
                    ),
                );
            }
            _ => line(&mut text, format_args!("waiting    {waiting:>8}")),
        }
        text
    }

    pub(super) fn list(self, tasks: &[Task]) -> String {
        if let Tell::Json = self {
            return tasks.iter().map(|task| json(&TaskObject::of(task, None))).collect();
        }
        let mut text = String::new();
        line(
            &mut text,
            format_args!(
                "{:<36}  {:<15}  {:<9}  {:>5}  {:<32}  created, last error",
                "id", "kind", "state", "runs", "trace"
            ),
        );
        for task in tasks {
            let trace = task.trace_id().unwrap_or_else(|| "-".into());
            let runs = format!("{}/{}", task.runs, task.max_runs);
            let error: String =
                plain(task.last_error.as_deref().unwrap_or_default()).chars().take(ERROR_WIDTH).collect();
            let kind = plain(&task.kind);
            let row = format!(
                "{}  {kind:<15}  {:<9}  {runs:>5}  {trace:<32}  {}  {error}",
                task.id,
                task.state.as_str(),
                task.created_at
            );
            line(&mut text, format_args!("{}", row.trim_end()));
        }
        text
    }

    pub(super) fn one(self, task: &Task) -> String {
        if let Tell::Json = self {
            return json(&TaskObject::of(task, Some(&task.payload)));
        }
        let id = |id: Option<Uuid>| id.map(|id| id.to_string());
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let mut text = String::new();
        for (name, value) in [
            ("id", Some(task.id.to_string())),
            ("kind", Some(plain(&task.kind))),
            ("state", Some(task.state.as_str().to_owned())),
            ("runs", Some(format!("{} of {}", task.runs, task.max_runs))),
            ("booking", id(task.booking)),
            ("webhook", id(task.webhook)),
            ("enqueued", Some(task.created_at.to_string())),
            ("due", time(task.due_at)),
            ("last run", time(task.started_at)),
            ("held by", task.holder.as_deref().map(plain)),
            ("ended", time(task.finished_at)),
            ("last error", task.last_error.as_deref().map(plain)),
            ("payload", Some(plain(&task.payload))),
            ("trace", task.trace_id().map(|trace| format!("{trace} (throughline trace {trace})"))),
        ] {
            if let Some(value) = value {
                line(&mut text, format_args!("{name:<10}  {value}"));
            }
        }
        text
    }

    /// What became of a task that a person has decided about.
    pub(super) fn steered(self, task: &Task) -> String {
        if let Tell::Json = self {
            return json(&TaskObject::of(task, None));
        }
        let (id, state) = (task.id, task.state.as_str());
        let left = task.max_runs.saturating_sub(task.runs);
        match task.state {
            store::State::Queued => format!("task {id} is queued again, for {left} more runs at most\n"),
            _ => format!("task {id} is {state}\n"),
        }
    }
}

impl<'a> TaskObject<'a> {
    fn of(task: &'a Task, payload: Option<&'a str>) -> Self {
        Self {
            id: task.id,
            kind: &task.kind,
            state: task.state.as_str(),
            runs: task.runs,
            max_runs: task.max_runs,
            trace_id: task.trace_id(),
            booking_id: task.booking,
            webhook_id: task.webhook,
            created_at: task.created_at,
            run_at: task.run_at,
            due_at: task.due_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
            holder: task.holder.as_deref(),
            last_error: task.last_error.as_deref(),
            payload,
        }
    }
}

/// On one line, and without what could steer a terminal: anybody may have written into the tables.
fn plain(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{arguments}");
}

fn json(object: &impl Serialize) -> String {
    let text = serde_json::to_string(object);
    text.expect("texts, numbers, timestamps and nulls can all be written as JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use store::State;
    use telemetry::Carried;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn task() -> Task {
        Task {
            id: Uuid::from_u64_pair(0x0190_0000_0000_7000, 0x8000_0000_0000_0001),
            kind: "deliver_webhook".into(),
            payload: "{}\u{1b}[31m".into(),
            booking: Some(Uuid::nil()),
            webhook: None,
            idempotency_key: "key".into(),
            trace: Some(Carried {
                traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03".into(),
                tracestate: None,
            }),
            first_run: None,
            state: State::Leased,
            run_at: at("2030-01-01T10:00:00Z"),
            due_at: Some(at("2030-01-01T10:01:00Z")),
            runs: 2,
            max_runs: 15,
            holder: Some("worker-1".into()),
            created_at: at("2030-01-01T10:00:00Z"),
            started_at: Some(at("2030-01-01T10:00:30Z")),
            finished_at: None,
            last_error: Some("the receiver answered 503".into()),
        }
    }

    #[track_caller]
    fn check(told: &str, expected: &Expect) {
        expected.assert_eq(told);
    }

    #[test]
    fn one_task_is_told_whole_and_names_its_trace() {
        check(
            &Tell::Lines.one(&task()),
            &expect![[r#"
            id          01900000-0000-7000-8000-000000000001
            kind        deliver_webhook
            state       leased
            runs        2 of 15
            booking     00000000-0000-0000-0000-000000000000
            enqueued    2030-01-01T10:00:00Z
            due         2030-01-01T10:01:00Z
            last run    2030-01-01T10:00:30Z
            held by     worker-1
            last error  the receiver answered 503
            payload     {} [31m
            trace       0af7651916cd43dd8448eb211c80319c (throughline trace 0af7651916cd43dd8448eb211c80319c)
        "#]],
        );
        check(
            &Tell::Json.one(&task()),
            &expect![[r#"
            {"id":"01900000-0000-7000-8000-000000000001","kind":"deliver_webhook","state":"leased","runs":2,"max_runs":15,"trace_id":"0af7651916cd43dd8448eb211c80319c","booking_id":"00000000-0000-0000-0000-000000000000","webhook_id":null,"created_at":"2030-01-01T10:00:00Z","run_at":"2030-01-01T10:00:00Z","due_at":"2030-01-01T10:01:00Z","started_at":"2030-01-01T10:00:30Z","finished_at":null,"holder":"worker-1","last_error":"the receiver answered 503","payload":"{}\u001b[31m"}
        "#]],
        );
    }

    #[test]
    fn a_list_is_a_table() {
        check(
            &Tell::Lines.list(&[task()]),
            &expect![[r#"
            id                                    kind             state       runs  trace                             created, last error
            01900000-0000-7000-8000-000000000001  deliver_webhook  leased      2/15  0af7651916cd43dd8448eb211c80319c  2030-01-01T10:00:00Z  the receiver answered 503
        "#]],
        );
    }

    #[test]
    fn an_overview_names_the_oldest_that_waits_if_one_does() {
        let counts = TaskCounts { queued: 3, dead: 1, ..TaskCounts::default() };
        let now = at("2030-01-01T10:01:04.2Z");
        let mut overview = Overview { counts, waiting: 2, oldest: Some(task()), now };
        check(
            &Tell::Lines.overview(&overview),
            &expect![[r#"
            queued            3
            leased            0
            done              0
            dead              1
            cancelled         0
            waiting           2  the oldest for 4.2 s: 01900000-0000-7000-8000-000000000001 deliver_webhook
        "#]],
        );
        (overview.waiting, overview.oldest) = (0, None);
        check(
            &Tell::Lines.overview(&overview),
            &expect![[r#"
            queued            3
            leased            0
            done              0
            dead              1
            cancelled         0
            waiting           0
        "#]],
        );
    }
}
