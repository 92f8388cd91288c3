//! The store on PostgreSQL: every behaviour, and what only a server can do.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::time::{Duration, Instant};

use behaviour::{
    Place, at, booking, bookings, bounds, claims, follow, keep, kind, listing, once, steering, telling,
    waiting, webhooks,
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use store::{Change, Error, OpenError, Settings, Store};
use tests::postgres::Cluster;
use tokio_postgres::NoTls;

/// Cases that every store passes.
mod behaviour;

/// A database of its own in the cluster that all tests of this file share.
struct Database {
    url: String,
}

impl Database {
    async fn new() -> Self {
        Self { url: tests::postgres::database().await }
    }

    async fn connect(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Place for Database {
    fn url(&self) -> &str {
        &self.url
    }

    fn execute<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async { self.connect().await.batch_execute(sql).await.map_err(|error| error.to_string()) }.boxed()
    }

    fn hold(&self) -> BoxFuture<'_, Box<dyn Send>> {
        async {
            let client = self.connect().await;
            client.batch_execute("BEGIN; LOCK TABLE bookings, tasks IN EXCLUSIVE MODE").await.unwrap();
            Box::new(client) as Box<dyn Send>
        }
        .boxed()
    }

    fn strange_time(&self) -> &'static str {
        "UPDATE bookings SET starts_at = '-infinity'"
    }

    fn older(&self) -> &'static str {
        concat!(
            include_str!("../migrations/1.postgres.sql"),
            include_str!("../migrations/2.postgres.sql"),
            include_str!("older.postgres.sql")
        )
    }

    fn slow_down(&self) -> &'static str {
        "CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON bookings FOR EACH ROW EXECUTE FUNCTION sleep()"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_read_back_as_it_was_kept() {
    bookings::a_booking_is_read_back_as_it_was_kept(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_of_one_resource_do_not_overlap() {
    bookings::bookings_of_one_resource_do_not_overlap(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_at_once_one_gets_the_resource() {
    bookings::of_fifty_at_once_one_gets_the_resource(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_what_overlaps() {
    bookings::the_database_itself_refuses_what_overlaps(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_what_was_decided_with_the_booking_at_hand() {
    bookings::a_change_is_what_was_decided_with_the_booking_at_hand(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_may_not_overlap_either() {
    bookings::a_change_may_not_overlap_either(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_move_to_one_place_one_arrives() {
    bookings::of_many_that_move_to_one_place_one_arrives(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_lost_among_fifty_at_once() {
    bookings::no_change_is_lost_among_fifty_at_once(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_expect_one_version_one_succeeds() {
    bookings::of_many_that_expect_one_version_one_succeeds(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select_and_the_order_is_by_start() {
    listing::filters_select_and_the_order_is_by_start(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_whatever_happens_between_them() {
    listing::pages_follow_each_other_whatever_happens_between_them(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gives_the_same_answer_once() {
    once::the_same_key_gives_the_same_answer_once(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_is_an_answer_too() {
    once::an_overlap_is_an_answer_too(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_not_remembered() {
    once::what_failed_is_not_remembered(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires_after_a_day() {
    once::a_key_expires_after_a_day(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_keys_are_removed_in_batches() {
    once::expired_keys_are_removed_in_batches(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_at_once_with_one_key_one_is_carried_out() {
    once::of_twenty_at_once_with_one_key_one_is_carried_out(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_first_request_is_running_is_refused() {
    once::a_key_whose_first_request_is_running_is_refused(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_once_by_whoever_starts_first() {
    bounds::tables_are_made_once_by_whoever_starts_first(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_an_older_program_are_brought_up_to_date_with_what_they_hold() {
    bounds::tables_of_an_older_program_are_brought_up_to_date_with_what_they_hold(&Database::new().await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_newer_program_are_left_alone() {
    bounds::tables_of_a_newer_program_are_left_alone(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_makes_and_changes_nothing() {
    bounds::who_only_looks_makes_and_changes_nothing(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_all_connections_in_use_is_told_in_time() {
    bounds::who_finds_all_connections_in_use_is_told_in_time(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_held_by_somebody_else_is_not_waited_for_forever() {
    bounds::a_lock_held_by_somebody_else_is_not_waited_for_forever(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_ended() {
    bounds::a_statement_that_takes_too_long_is_ended(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_tears_nothing() {
    bounds::a_caller_that_leaves_tears_nothing(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_value_is_an_error_and_nothing_worse() {
    bounds::a_strange_value_is_an_error_and_nothing_worse(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_decision_costs_one_request() {
    bounds::a_panic_in_a_decision_costs_one_request(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_database_take_turns() {
    bounds::two_stores_on_one_database_take_turns(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_refuses() {
    bounds::a_closed_store_refuses(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_has_places_of_its_own() {
    claims::each_kind_has_places_of_its_own(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_begun_is_put_off_and_does_not_count() {
    claims::a_run_that_is_not_begun_is_put_off_and_does_not_count(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_claimed_in_the_order_in_which_they_are_due() {
    claims::tasks_are_claimed_in_the_order_in_which_they_are_due(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_claimers_each_task_is_done_once() {
    claims::of_eight_claimers_each_task_is_done_once(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_lease_is_a_run_and_who_held_it_is_told() {
    claims::an_expired_lease_is_a_run_and_who_held_it_is_told(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_lease_does_not_expire() {
    claims::a_renewed_lease_does_not_expire(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_comes_back_later_until_none_is_left() {
    claims::a_failed_run_comes_back_later_until_none_is_left(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_run_that_never_ends_is_a_dead_task() {
    claims::a_last_run_that_never_ends_is_a_dead_task(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hopeless_is_dead_at_once_and_says_why() {
    claims::what_is_hopeless_is_dead_at_once_and_says_why(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_idempotency_key_is_one_task() {
    claims::one_idempotency_key_is_one_task(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_enqueued_all_or_none() {
    claims::tasks_are_enqueued_all_or_none(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_booking_is_confirmed_by_its_task() {
    follow::a_pending_booking_is_confirmed_by_its_task(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_changed_meanwhile_is_not_confirmed() {
    follow::a_booking_that_changed_meanwhile_is_not_confirmed(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_confirms_nothing() {
    follow::a_lost_lease_confirms_nothing(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_and_its_tasks_are_kept_together_or_not_at_all() {
    follow::a_booking_and_its_tasks_are_kept_together_or_not_at_all(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_enqueues_once_and_names_the_same_task() {
    follow::the_same_key_enqueues_once_and_names_the_same_task(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_to_everybody_who_subscribed() {
    follow::every_change_is_told_to_everybody_who_subscribed(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_carries_the_trace_of_the_request_that_left_it() {
    follow::a_task_carries_the_trace_of_the_request_that_left_it(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_and_counted_by_state() {
    steering::tasks_are_listed_and_counted_by_state(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_and_for_how_long_is_known() {
    steering::who_waits_and_for_how_long_is_known(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_task_is_retried_by_hand() {
    steering::a_dead_task_is_retried_by_hand(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_can_be_cancelled() {
    steering::a_task_that_waits_can_be_cancelled(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_tasks_are_removed_in_batches() {
    steering::finished_tasks_are_removed_in_batches(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_wakes_one_who_waits() {
    waiting::a_commit_wakes_one_who_waits(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_task_wakes_one_who_waits() {
    waiting::the_time_of_a_task_wakes_one_who_waits(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_waits_for_nothing_stays_asleep() {
    waiting::one_who_waits_for_nothing_stays_asleep(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_read_back_as_it_was_kept() {
    webhooks::a_webhook_is_read_back_as_it_was_kept(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_webhooks_and_no_more() {
    webhooks::there_are_so_many_webhooks_and_no_more(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_wants_no_more_is_told_no_more() {
    webhooks::one_who_wants_no_more_is_told_no_more(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wait_and_each_statement_is_a_span() {
    telling::each_wait_and_each_statement_is_a_span(&Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_says_its_code_and_no_value() {
    telling::a_refused_statement_says_its_code_and_no_value(&Database::new().await).await;
}

async fn recovers(stop: impl Fn(&Cluster)) {
    let cluster = Cluster::start();
    let settings = Settings { connections: 4, wait: Duration::from_secs(1), ..Settings::default() };
    let store = Store::open(&cluster.database().await, &settings).await.unwrap();
    let kept = keep(&store, &booking("room", 60, 120)).await;
    // All connections of the pool are open and will be dead.
    join_all((0..8).map(|_| store.get(kept.id))).await;

    stop(&cluster);
    let begun = Instant::now();
    assert_eq!(kind(store.get(kept.id).await), "unavailable");
    assert_eq!(kind(store.create(booking("hall", 60, 120), None).await), "unavailable");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());

    cluster.start_again();
    for _ in 0..8 {
        assert_eq!(store.get(kept.id).await.unwrap(), kept, "without a single request lost");
    }
    assert_eq!(kind(store.create(booking("hall", 60, 120), None).await), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_database_is_found_again() {
    recovers(Cluster::stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_database_is_found_again() {
    recovers(Cluster::crash).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_cut_costs_no_later_request() {
    let database = Database::new().await;
    let store =
        Store::open(&database.url, &Settings { connections: 1, ..Settings::default() }).await.unwrap();
    let kept = keep(&store, &booking("room", 60, 120)).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let decide = move |_: &_| Ok::<_, Error>(Change::Leave);
    database.execute(cut).await.unwrap();
    tests::eventually("the pool has noticed", async || match kind(store.get(kept.id).await) {
        "ok" => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(store.change(kept.id, at(1), decide).await.unwrap(), kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_in_use_are_waited_for_longer_than_a_statement_may_run() {
    let database = Database::new().await;
    database.execute(database.older()).await.unwrap();
    let held = database.hold().await;
    let settings = Settings { statement_timeout: Duration::from_millis(300), ..Settings::default() };
    // One takes the lock and waits for the table, the others wait for the lock.
    let opened = join_all((0..3).map(|_| Store::open(&database.url, &settings)));
    let release = async {
        let waiting = "SELECT 1 / (count(*) / 3) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock' AND now() - query_start > interval '1 second'";
        tests::eventually("all have waited for a second", async || database.execute(waiting).await).await;
        drop(held);
    };
    let (opened, ()) = tokio::join!(opened, release);
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_waits_is_told_again_after_its_connection_was_cut() {
    let database = Database::new().await;
    let place: &dyn Place = &database;
    let (store, other) = (place.open().await, place.open().await);
    let mut waiter = store.task_waiter();
    waiting::is_woken(&store, &mut waiter, &other, "before").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    database.execute(cut).await.unwrap();
    let listening = "SELECT 1 / count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'";
    tests::eventually("listening again", async || database.execute(listening).await).await;
    for round in 0..3 {
        waiting::is_woken(&store, &mut waiter, &other, &format!("after {round}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_cannot_be_kept_is_refused_before_anything_opens() {
    for (url, part) in [
        ("postgres://u:secret@db/bookings?sslmode=require", "without `sslmode=require`"),
        ("postgres://u:secret@db:port/bookings", "postgres://USER"),
        ("postgres://u:secret@/bookings", "postgres://USER"),
        ("postgres://u:secret@db/bookings?unknown=1", "postgres://USER"),
    ] {
        let refused = Store::open(url, &Settings::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::Url { .. }), "{url}: {refused:?}");
        assert!(refused.to_string().contains(part), "{url}: {refused}");
        assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_named_without_its_password() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://u:secret@127.0.0.1:{port}/bookings");
    let refused = Store::open(&url, &Settings::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("cannot prepare PostgreSQL at 127.0.0.1:{port}"));
    assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_not_waited_for() {
    // Connections are made by the system; nobody ever reads from them.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@127.0.0.1:{}/bookings", deaf.local_addr().unwrap().port());
    let begun = Instant::now();
    let refused = Store::open(&url, &behaviour::impatient()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("no answer within"), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}
