//! `tasks` on a database as a service leaves it: what it tells, what it does, and its exit codes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use store::{Claim, NewTask, Outcome, Places, Settings, Store, Timestamp};
use uuid::Uuid;

/// A data directory of its own, as `up` keeps it; removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("throughline-tasks-{}-{number}", std::process::id())))
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_throughline"))
            .arg("tasks")
            .args(arguments)
            .env_remove("THROUGHLINE_DATABASE_URL")
            .env("THROUGHLINE_DATA_DIR", &self.0)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text)
    }

    #[track_caller]
    fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let (code, text) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {text}");
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let lines = self.lines(&[arguments, &["--json"]].concat());
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], code: i32, said: &str) {
        let (exited, text) = self.run(arguments);
        assert_eq!(exited, code, "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?} must say `{said}`: {text}");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn at(seconds_ago: u64) -> Timestamp {
    Timestamp::now().minus(Duration::from_secs(seconds_ago))
}

fn task(kind: &str, seconds_ago: u64) -> NewTask {
    let id = Uuid::now_v7();
    NewTask {
        id,
        kind: kind.into(),
        payload: "{\"guest\":\"Ada\"}".into(),
        booking: Some(Uuid::nil()),
        webhook: None,
        idempotency_key: id.to_string(),
        run_at: at(seconds_ago),
        max_runs: 2,
    }
}

/// Tasks: dead, done, queued since a hundred and since ten seconds.
async fn filled(directory: &Path) -> [String; 4] {
    let url = format!("sqlite:{}", directory.join("bookings.db").display());
    let store = Store::open(&url, &Settings::default()).await.unwrap();
    let ended = [task("deliver_webhook", 300), task("confirm_booking", 200)];
    let waiting = [task("confirm_booking", 100), task("deliver_webhook", 10)];
    let ids = [&ended[0], &ended[1], &waiting[0], &waiting[1]].map(|task| task.id.to_string());
    store.enqueue(ended.to_vec(), at(300)).await.unwrap();
    let claim = Claim {
        places: Places::of_every_kind(1),
        holder: "worker 1".into(),
        now: at(150),
        expires_at: at(0),
    };
    let runs = store.claim_tasks(claim).await.unwrap().runs;
    let hopeless = Outcome::Hopeless { error: "the receiver answered 404".into() };
    store.end_run(runs[0].lease, hopeless, None, at(149)).await.unwrap();
    store.end_run(runs[1].lease, Outcome::Done, None, at(149)).await.unwrap();
    store.enqueue(waiting.to_vec(), at(100)).await.unwrap();
    store.close();
    ids
}

#[tokio::test]
async fn counts_and_the_oldest_that_waits_are_told() {
    let directory = Directory::new();
    let [_, _, oldest, _] = filled(&directory.0).await;
    let lines = directory.lines(&[]);
    let counts = ["queued            2", "leased            0", "done              1", "dead              1"];
    assert_eq!(lines[..4], counts);
    assert_eq!(lines[4], "cancelled         0");
    let (waiting, rest) = lines[5].split_once("  the oldest for ").unwrap();
    assert_eq!(waiting, "waiting           2");
    let (seconds, which) = rest.split_once(" s: ").unwrap();
    assert_eq!(which, format!("{oldest} confirm_booking"));
    assert!((100.0..200.0).contains(&seconds.parse::<f64>().unwrap()), "{seconds}");

    let [told] = directory.json(&[]).try_into().unwrap();
    assert!(told["oldest_seconds"].as_f64().unwrap() >= 100.0, "{told}");
    let known = json!({"queued": 2, "leased": 0, "done": 1, "dead": 1, "cancelled": 0, "waiting": 2,
                       "oldest": oldest, "oldest_seconds": told["oldest_seconds"]});
    assert_eq!(told, known);
}

#[tokio::test]
async fn tasks_are_listed_newest_first_and_one_is_shown_whole() {
    let directory = Directory::new();
    let [dead, done, first, second] = filled(&directory.0).await;
    let ids = |arguments: &[&str]| -> Vec<String> {
        directory.lines(arguments).iter().skip(1).map(|line| line[..36].to_owned()).collect()
    };
    assert_eq!(ids(&["list"]), [second.clone(), first.clone(), done.clone(), dead.clone()]);
    assert_eq!(ids(&["list", "--limit", "1"]), std::slice::from_ref(&second));
    assert_eq!(ids(&["list", "--state", "queued", "--kind", "confirm_booking"]), [first]);
    let lines = directory.lines(&["list", "--state", "dead"]);
    assert!(lines[1].ends_with("the receiver answered 404"), "{lines:?}");

    let shown = directory.lines(&["show", &dead]).join("\n");
    for part in [
        "state       dead",
        "runs        1 of 2",
        "last error  the receiver answered 404",
        "\"guest\":\"Ada\"",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let [told] = directory.json(&["show", &dead]).try_into().unwrap();
    assert_eq!((&told["state"], &told["trace_id"]), (&json!("dead"), &Value::Null));
    let listed = directory.json(&["list"]);
    assert_eq!(listed.len(), 4);
    assert!(
        listed.iter().all(|task| task.get("payload").is_none()),
        "a payload is shown where it is asked for"
    );
}

#[tokio::test]
async fn a_dead_task_is_retried_and_a_queued_one_cancelled() {
    let directory = Directory::new();
    let [dead, done, queued, other] = filled(&directory.0).await;
    let said = directory.lines(&["retry", &dead]);
    assert_eq!(said, [format!("task {dead} is queued again, for 15 more runs at most")]);
    directory.refuses(&["retry", &dead], 1, "only a dead one can be: the task is queued");
    let [told] = directory.json(&["cancel", &queued]).try_into().unwrap();
    assert_eq!((&told["id"], &told["state"]), (&json!(queued), &json!("cancelled")));
    directory.refuses(&["cancel", &done], 1, "only a queued one can be: the task is done");
    directory.refuses(&["retry", &other], 1, "the task is queued");
    let [told] = directory.json(&[]).try_into().unwrap();
    assert_eq!((&told["queued"], &told["dead"], &told["cancelled"]), (&json!(2), &json!(0), &json!(1)));

    directory.lines(&["cancel", &dead]);
    directory.refuses(&["show", &Uuid::nil().to_string()], 1, "there is no such task");
}

#[tokio::test]
async fn what_was_typed_wrongly_is_64_and_a_database_that_is_not_there_2() {
    let directory = Directory::new();
    directory.refuses(&[], 2, "cannot find `");
    assert!(!directory.0.exists(), "nothing was made");
    directory.refuses(&["show", "1"], 64, "<ID>");
    directory.refuses(&["list", "--state", "lost"], 64, "`queued`, `leased`, `done`, `dead` or `cancelled`");
    directory.refuses(&["list", "--limit", "0"], 64, "a whole number from 1 to 10000");
    directory.refuses(
        &["--database-url", "mysql://u:secret@h/d"],
        64,
        "the database's URL must be `postgres://",
    );
    fs::create_dir_all(&directory.0).unwrap();
    fs::write(directory.0.join("bookings.db"), "").unwrap();
    directory.refuses(&[], 2, "no such table: schema_versions");
}
