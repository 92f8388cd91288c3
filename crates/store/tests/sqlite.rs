//! The store on SQLite: every behaviour, and what only a file can do.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use behaviour::{
    Place, bookings, bounds, claims, follow, listing, once, steering, telling, waiting, webhooks,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use store::{Error, OpenError, Settings, Store};

/// Cases that every store passes.
mod behaviour;

/// A file in a directory of its own; removed with it.
struct File {
    directory: PathBuf,
    url: String,
}

impl File {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("throughline-store-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let url = format!("sqlite:{}", directory.join("deep/bookings.db").display());
        Self { directory, url }
    }

    fn path(&self) -> &str {
        self.url.trim_start_matches("sqlite:")
    }

    fn connect(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

impl Place for File {
    fn url(&self) -> &str {
        &self.url
    }

    fn execute<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async {
            fs::create_dir_all(std::path::Path::new(self.path()).parent().unwrap()).unwrap();
            self.connect().execute_batch(sql).map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn hold(&self) -> BoxFuture<'_, Box<dyn Send>> {
        async {
            let connection = self.connect();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            Box::new(connection) as Box<dyn Send>
        }
        .boxed()
    }

    fn strange_time(&self) -> &'static str {
        "UPDATE bookings SET starts_at = -9223372036854775807"
    }

    fn older(&self) -> &'static str {
        concat!(
            include_str!("../migrations/1.sqlite.sql"),
            include_str!("../migrations/2.sqlite.sql"),
            include_str!("older.sqlite.sql")
        )
    }

    fn slow_down(&self) -> &'static str {
        "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;
         CREATE TRIGGER slow BEFORE INSERT ON bookings BEGIN SELECT count(*) FROM endless; END"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_read_back_as_it_was_kept() {
    bookings::a_booking_is_read_back_as_it_was_kept(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_of_one_resource_do_not_overlap() {
    bookings::bookings_of_one_resource_do_not_overlap(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_at_once_one_gets_the_resource() {
    bookings::of_fifty_at_once_one_gets_the_resource(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_what_overlaps() {
    bookings::the_database_itself_refuses_what_overlaps(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_what_was_decided_with_the_booking_at_hand() {
    bookings::a_change_is_what_was_decided_with_the_booking_at_hand(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_may_not_overlap_either() {
    bookings::a_change_may_not_overlap_either(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_move_to_one_place_one_arrives() {
    bookings::of_many_that_move_to_one_place_one_arrives(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_lost_among_fifty_at_once() {
    bookings::no_change_is_lost_among_fifty_at_once(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_expect_one_version_one_succeeds() {
    bookings::of_many_that_expect_one_version_one_succeeds(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select_and_the_order_is_by_start() {
    listing::filters_select_and_the_order_is_by_start(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_whatever_happens_between_them() {
    listing::pages_follow_each_other_whatever_happens_between_them(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gives_the_same_answer_once() {
    once::the_same_key_gives_the_same_answer_once(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_is_an_answer_too() {
    once::an_overlap_is_an_answer_too(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_not_remembered() {
    once::what_failed_is_not_remembered(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires_after_a_day() {
    once::a_key_expires_after_a_day(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_keys_are_removed_in_batches() {
    once::expired_keys_are_removed_in_batches(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_at_once_with_one_key_one_is_carried_out() {
    once::of_twenty_at_once_with_one_key_one_is_carried_out(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_first_request_is_running_is_refused() {
    once::a_key_whose_first_request_is_running_is_refused(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_once_by_whoever_starts_first() {
    bounds::tables_are_made_once_by_whoever_starts_first(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_an_older_program_are_brought_up_to_date_with_what_they_hold() {
    bounds::tables_of_an_older_program_are_brought_up_to_date_with_what_they_hold(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_newer_program_are_left_alone() {
    bounds::tables_of_a_newer_program_are_left_alone(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_makes_and_changes_nothing() {
    bounds::who_only_looks_makes_and_changes_nothing(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_all_connections_in_use_is_told_in_time() {
    bounds::who_finds_all_connections_in_use_is_told_in_time(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_held_by_somebody_else_is_not_waited_for_forever() {
    bounds::a_lock_held_by_somebody_else_is_not_waited_for_forever(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_ended() {
    bounds::a_statement_that_takes_too_long_is_ended(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_tears_nothing() {
    bounds::a_caller_that_leaves_tears_nothing(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_value_is_an_error_and_nothing_worse() {
    bounds::a_strange_value_is_an_error_and_nothing_worse(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_decision_costs_one_request() {
    bounds::a_panic_in_a_decision_costs_one_request(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_up_to_date_is_opened_while_somebody_writes() {
    let file = File::new();
    Store::open(file.url(), &behaviour::impatient()).await.unwrap().close();
    let _writing = file.hold().await;
    let opened = Store::open(file.url(), &behaviour::impatient()).await;
    assert!(opened.is_ok(), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_database_take_turns() {
    bounds::two_stores_on_one_database_take_turns(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_refuses() {
    bounds::a_closed_store_refuses(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_has_places_of_its_own() {
    claims::each_kind_has_places_of_its_own(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_begun_is_put_off_and_does_not_count() {
    claims::a_run_that_is_not_begun_is_put_off_and_does_not_count(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_claimed_in_the_order_in_which_they_are_due() {
    claims::tasks_are_claimed_in_the_order_in_which_they_are_due(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_claimers_each_task_is_done_once() {
    claims::of_eight_claimers_each_task_is_done_once(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_lease_is_a_run_and_who_held_it_is_told() {
    claims::an_expired_lease_is_a_run_and_who_held_it_is_told(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_lease_does_not_expire() {
    claims::a_renewed_lease_does_not_expire(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_comes_back_later_until_none_is_left() {
    claims::a_failed_run_comes_back_later_until_none_is_left(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_run_that_never_ends_is_a_dead_task() {
    claims::a_last_run_that_never_ends_is_a_dead_task(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hopeless_is_dead_at_once_and_says_why() {
    claims::what_is_hopeless_is_dead_at_once_and_says_why(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_idempotency_key_is_one_task() {
    claims::one_idempotency_key_is_one_task(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_enqueued_all_or_none() {
    claims::tasks_are_enqueued_all_or_none(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_booking_is_confirmed_by_its_task() {
    follow::a_pending_booking_is_confirmed_by_its_task(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_changed_meanwhile_is_not_confirmed() {
    follow::a_booking_that_changed_meanwhile_is_not_confirmed(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_confirms_nothing() {
    follow::a_lost_lease_confirms_nothing(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_and_its_tasks_are_kept_together_or_not_at_all() {
    follow::a_booking_and_its_tasks_are_kept_together_or_not_at_all(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_enqueues_once_and_names_the_same_task() {
    follow::the_same_key_enqueues_once_and_names_the_same_task(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_to_everybody_who_subscribed() {
    follow::every_change_is_told_to_everybody_who_subscribed(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_carries_the_trace_of_the_request_that_left_it() {
    follow::a_task_carries_the_trace_of_the_request_that_left_it(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_and_counted_by_state() {
    steering::tasks_are_listed_and_counted_by_state(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_and_for_how_long_is_known() {
    steering::who_waits_and_for_how_long_is_known(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_task_is_retried_by_hand() {
    steering::a_dead_task_is_retried_by_hand(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_can_be_cancelled() {
    steering::a_task_that_waits_can_be_cancelled(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_tasks_are_removed_in_batches() {
    steering::finished_tasks_are_removed_in_batches(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_wakes_one_who_waits() {
    waiting::a_commit_wakes_one_who_waits(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_task_wakes_one_who_waits() {
    waiting::the_time_of_a_task_wakes_one_who_waits(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_waits_for_nothing_stays_asleep() {
    waiting::one_who_waits_for_nothing_stays_asleep(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_read_back_as_it_was_kept() {
    webhooks::a_webhook_is_read_back_as_it_was_kept(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_webhooks_and_no_more() {
    webhooks::there_are_so_many_webhooks_and_no_more(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_wants_no_more_is_told_no_more() {
    webhooks::one_who_wants_no_more_is_told_no_more(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wait_and_each_statement_is_a_span() {
    telling::each_wait_and_each_statement_is_a_span(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_says_its_code_and_no_value() {
    telling::a_refused_statement_says_its_code_and_no_value(&File::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_for_its_owner_only() {
    let file = File::new();
    let store = Store::open(file.url(), &Settings::default()).await.unwrap();
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(file.path()), 0o600);
    behaviour::keep(&store, &behaviour::booking("room", 60, 120)).await;
    assert_eq!(mode(&format!("{}-wal", file.path())), 0o600, "the log is a log: writes go there first");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_is_refused_by_name() {
    let file = File::new();
    fs::create_dir_all(file.directory.join("deep")).unwrap();
    fs::write(file.path(), "a letter to somebody, long enough to look like a page of a database".repeat(100))
        .unwrap();
    let refused = Store::open(file.url(), &Settings::default()).await.unwrap_err();
    assert!(refused.to_string().contains("bookings.db"), "{refused}");
    for (url, part) in [("", "sqlite:PATH"), ("sqlite:", "sqlite:PATH"), ("mysql://x", "sqlite:PATH")] {
        let refused = Store::open(url, &Settings::default()).await.unwrap_err();
        assert!(matches!(&refused, OpenError::Url { .. }) && refused.to_string().contains(part), "{refused}");
    }
    let directory = format!("sqlite:{}", file.directory.display());
    assert!(Store::open(&directory, &Settings::default()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_file_breaks_is_replaced() {
    let file = File::new();
    let store = Store::open(file.url(), &Settings::default()).await.unwrap();
    let kept = behaviour::keep(&store, &behaviour::booking("room", 60, 120)).await;
    file.connect().execute_batch("ALTER TABLE bookings RENAME TO elsewhere").unwrap();
    assert!(matches!(store.get(kept.id).await, Err(Error::Internal { .. })));
    file.connect().execute_batch("ALTER TABLE elsewhere RENAME TO bookings").unwrap();
    assert_eq!(store.get(kept.id).await.unwrap(), kept);
}
