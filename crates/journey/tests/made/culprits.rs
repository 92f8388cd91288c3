//! The table of culprits: what happened, the trace that tells of it, and what the verdict must name.

use journey::span::Kind;
use journey::verdict::{Spent, Sure};

use serde_json::json;

use super::Trace;

/// Where the verdict must name the culprit.
pub(crate) enum Named {
    /// The request's largest share: service, who was asked, kind.
    Request(&'static str, Option<&'static str>, Spent),
    /// The largest share of what was left for later.
    Later(&'static str, Spent),
    /// What failed first, service and span, and how many others failed because of it.
    Failure(&'static str, &'static str, usize),
}

/// The request's three hops and what each one's own spans are: the culprit of each row is one thing that differs.
pub(crate) fn usual() -> Trace {
    Trace::new()
        .server(1, 0, "load_balancer", [0.0, 20.0])
        .client(2, 1, "load_balancer", [0.5, 19.5])
        .server(3, 2, "cache", [1.0, 19.0])
        .client(4, 3, "cache", [1.5, 18.5])
        .server(5, 4, "http_server", [2.0, 18.0])
        .pool(6, 5, [2.5, 2.6])
        .statement(7, 5, "SELECT bookings", [2.7, 5.0])
        .statement(8, 5, "COMMIT", [5.1, 6.0])
}

/// Every row: what happened, the trace, who did it, how sure it is at least.
pub(crate) fn table() -> Vec<(&'static str, Trace, Named, Sure)> {
    use Named::{Failure, Later, Request};
    use Spent::{
        CacheWait, Call, Database, KeyValue, Network, Own, Pool, Retry, SharedFetch, TaskQueue, Unaccounted,
        WaitQueue,
    };
    vec![
        ("own work", usual(), Request("http_server", None, Own), Sure::High),
        (
            "slow statement",
            usual().times(7, [2.7, 17.0]).times(8, [17.1, 17.9]),
            Request("http_server", None, Database),
            Sure::High,
        ),
        (
            "many small statements",
            (0..100).fold(usual(), |trace, number| {
                let start = 6.0 + 0.11 * f64::from(number);
                trace.statement(100 + u64::from(number as u8), 5, "SELECT one", [start, start + 0.1])
            }),
            Request("http_server", None, Database),
            Sure::High,
        ),
        (
            "starved pool",
            usual().times(6, [2.5, 15.0]).times(7, [15.1, 16.0]).times(8, [16.1, 16.5]),
            Request("http_server", None, Pool),
            Sure::High,
        ),
        (
            "long wait queue",
            usual()
                .named(9, 1, "load_balancer", "upstream.wait", Kind::Internal, [0.1, 60.0])
                .later(60.0, &[2, 3, 4, 5, 6, 7, 8])
                .times(1, [0.0, 80.0]),
            Request("load_balancer", None, WaitQueue),
            Sure::High,
        ),
        (
            "slow first attempt, given up",
            usual()
                .client(9, 3, "cache", [1.5, 101.5])
                .attempt(9, 0)
                .failed(9, "timeout")
                .later(100.0, &[4, 5, 6, 7, 8])
                .attempt(4, 1)
                .times(1, [0.0, 120.0])
                .times(2, [0.5, 119.5])
                .times(3, [1.0, 119.0]),
            Request("cache", None, Retry),
            Sure::High,
        ),
        (
            "slow work within an attempt that was in vain",
            usual()
                .client(9, 3, "cache", [1.5, 101.5])
                .attempt(9, 0)
                .failed(9, "timeout")
                .server(10, 9, "http_server", [2.0, 150.0])
                .statement(11, 10, "SELECT slow", [3.0, 149.0])
                .later(100.0, &[4, 5, 6, 7, 8])
                .attempt(4, 1)
                .times(1, [0.0, 120.0])
                .times(2, [0.5, 119.5])
                .times(3, [1.0, 119.0]),
            Request("cache", None, Retry),
            Sure::High,
        ),
        (
            "pause between attempts",
            usual()
                .client(9, 3, "cache", [1.5, 2.0])
                .attempt(9, 0)
                .failed(9, "connect")
                .later(100.0, &[4, 5, 6, 7, 8])
                .attempt(4, 1)
                .times(1, [0.0, 120.0])
                .times(2, [0.5, 119.5])
                .times(3, [1.0, 119.0]),
            Request("cache", None, Retry),
            Sure::High,
        ),
        (
            "slow second attempt",
            usual()
                .client(9, 3, "cache", [1.1, 1.4])
                .attempt(9, 0)
                .failed(9, "connect")
                .attempt(4, 1)
                .times(7, [2.7, 17.0])
                .times(8, [17.1, 17.9]),
            Request("http_server", None, Database),
            Sure::High,
        ),
        (
            "late worker",
            usual().named(9, 5, "http_server", "send confirm_booking", Kind::Producer, [4.0, 4.2]).named(
                10,
                9,
                "worker",
                "process confirm_booking",
                Kind::Consumer,
                [900.0, 905.0],
            ),
            Later("worker", TaskQueue),
            Sure::High,
        ),
        (
            "slow webhook",
            usual()
                .named(9, 5, "http_server", "send deliver_webhook", Kind::Producer, [4.0, 4.2])
                .named(10, 9, "worker", "process deliver_webhook", Kind::Consumer, [5.0, 905.0])
                .client(11, 10, "worker", [6.0, 904.0]),
            Later("worker", Call),
            Sure::High,
        ),
        (
            "network gap",
            usual().later(30.0, &[3, 4, 5, 6, 7, 8]).times(1, [0.0, 80.0]).times(2, [0.5, 79.5]),
            Request("load_balancer", Some("cache"), Network),
            Sure::High,
        ),
        (
            "network gap behind a wrong clock",
            usual()
                .later(30.0, &[3, 4, 5, 6, 7, 8])
                .times(1, [0.0, 80.0])
                .times(2, [0.5, 79.5])
                .later(-5000.0, &[3, 4])
                .later(7000.0, &[5, 6, 7, 8]),
            Request("load_balancer", Some("cache"), Network),
            Sure::Medium,
        ),
        (
            "slow statement behind a wrong clock",
            usual().times(7, [2.7, 17.0]).times(8, [17.1, 17.9]).later(-1000.0, &[5, 6, 7, 8]),
            Request("http_server", None, Database),
            Sure::Medium,
        ),
        (
            "slow Redis",
            usual()
                .statement(9, 3, "GET", [1.1, 50.0])
                .system(9, "redis")
                .later(50.0, &[4, 5, 6, 7, 8])
                .times(1, [0.0, 70.0])
                .times(2, [0.5, 69.5])
                .times(3, [1.0, 69.0]),
            Request("cache", None, KeyValue),
            Sure::High,
        ),
        (
            "slow service without telemetry",
            Trace::new().server(1, 0, "shop", [0.0, 90.0]).client(2, 1, "shop", [1.0, 89.0]),
            Request("shop", None, Call),
            Sure::Medium,
        ),
        (
            "two at once: the one that ends last is waited for",
            Trace::new()
                .server(1, 0, "shop", [0.0, 90.0])
                .statement(2, 1, "SELECT short", [1.0, 40.0])
                .statement(3, 1, "GET long", [1.0, 89.0])
                .system(3, "redis"),
            Request("shop", None, KeyValue),
            Sure::High,
        ),
        (
            "work that nobody waits for",
            usual().times(7, [2.7, 17.0]).times(8, [17.1, 17.9]).named(
                9,
                5,
                "http_server",
                "background",
                Kind::Internal,
                [2.4, 4000.0],
            ),
            Request("http_server", None, Database),
            Sure::High,
        ),
        (
            "a failure that caused others",
            usual()
                .failed(8, "disk full")
                .status(5, 500)
                .failed(4, "500")
                .status(3, 500)
                .failed(2, "500")
                .status(1, 500),
            Failure("http_server", "COMMIT", 5),
            Sure::High,
        ),
        (
            "a pool that gives up",
            usual()
                .without(&[7, 8])
                .times(6, [2.5, 17.5])
                .failed(6, "timeout")
                .status(5, 503)
                .failed(4, "503")
                .status(3, 503)
                .failed(2, "503")
                .status(1, 503),
            Failure("http_server", "pool.acquire", 5),
            Sure::High,
        ),
        (
            "every attempt fails: the first one began it",
            usual()
                .without(&[5, 6, 7, 8])
                .client(9, 3, "cache", [1.2, 1.4])
                .attempt(9, 0)
                .failed(9, "connect")
                .attempt(4, 1)
                .failed(4, "timeout")
                .status(3, 504)
                .failed(2, "504")
                .status(1, 504),
            Failure("cache", "GET", 4),
            Sure::Medium,
        ),
        (
            "a failure that did not matter, before one that did",
            usual()
                .statement(9, 3, "GET", [1.1, 1.3])
                .system(9, "redis")
                .failed(9, "connect")
                .failed(8, "disk full")
                .status(5, 500)
                .failed(4, "500")
                .status(3, 200)
                .failed(1, "cancelled"),
            Failure("load_balancer", "GET", 0),
            Sure::High,
        ),
        (
            "an attempt that was made good explains nothing that fails after it",
            usual()
                .client(9, 3, "cache", [1.1, 1.4])
                .attempt(9, 0)
                .failed(9, "connect")
                .attempt(4, 1)
                .status(3, 500)
                .failed(2, "500")
                .status(1, 500),
            Failure("cache", "GET", 2),
            Sure::High,
        ),
        (
            "who gives up is not explained by what comes later",
            usual()
                .failed(2, "timeout")
                .times(2, [0.5, 10.0])
                .times(1, [0.0, 10.5])
                .status(1, 504)
                .failed(5, "cancelled"),
            Failure("load_balancer", "GET", 1),
            Sure::High,
        ),
        (
            "killed in the middle of a request: its own span is missing",
            usual()
                .without(&[5])
                .failed(4, "connection closed")
                .status(3, 502)
                .failed(2, "502")
                .status(1, 502),
            Request("cache", Some("http_server"), Unaccounted),
            Sure::Low,
        ),
        (
            "killed, and the failure is named where it was seen",
            usual()
                .without(&[5])
                .failed(4, "connection closed")
                .status(3, 502)
                .failed(2, "502")
                .status(1, 502),
            Failure("cache", "GET", 3),
            Sure::Low,
        ),
        (
            "a call that was never written: nobody can say whose its time is",
            usual().without(&[2]),
            Request("load_balancer", None, Own),
            Sure::Low,
        ),
        (
            "waiting for the fetch of another cache",
            usual()
                .named(9, 3, "cache", "cache.wait", Kind::Internal, [1.1, 60.0])
                .later(60.0, &[4, 5, 6, 7, 8])
                .times(1, [0.0, 80.0])
                .times(2, [0.5, 79.5])
                .times(3, [1.0, 79.0]),
            Request("cache", None, CacheWait),
            Sure::High,
        ),
        (
            "one fetch that several requests share: this one waits for another's",
            usual().without(&[4, 5, 6, 7, 8]).with(3, "throughline.cache.result", json!("collapsed")),
            Request("cache", None, SharedFetch),
            Sure::High,
        ),
        (
            "slow on its way back",
            usual().times(1, [0.0, 80.0]).times(2, [0.5, 79.5]).times(3, [1.0, 79.0]).times(4, [1.5, 78.5]),
            Request("cache", Some("http_server"), Network),
            Sure::High,
        ),
        (
            "a worker's slow statement",
            usual()
                .named(9, 5, "http_server", "send confirm_booking", Kind::Producer, [4.0, 4.2])
                .named(10, 9, "worker", "process confirm_booking", Kind::Consumer, [5.0, 905.0])
                .statement(11, 10, "UPDATE bookings", [6.0, 904.0]),
            Later("worker", Database),
            Sure::High,
        ),
        (
            "a worker killed in the middle of a task: its own span is missing",
            usual()
                .named(9, 5, "http_server", "send confirm_booking", Kind::Producer, [4.0, 4.2])
                .statement_of("worker", 11, 10, "UPDATE bookings", [30.0, 40.0]),
            Request("http_server", None, Own),
            Sure::Medium,
        ),
        (
            "a task that fails later and lets the answer be",
            usual()
                .named(9, 5, "http_server", "send deliver_webhook", Kind::Producer, [4.0, 4.2])
                .named(10, 9, "worker", "process deliver_webhook", Kind::Consumer, [5.0, 905.0])
                .client(11, 10, "worker", [6.0, 904.0])
                .failed(11, "timeout")
                .failed(10, "timeout"),
            Failure("worker", "GET", 1),
            Sure::High,
        ),
        (
            "context lost before the cache, first half: nothing is known of who was asked",
            usual().without(&[3, 4, 5, 6, 7, 8]),
            Request("load_balancer", None, Call),
            Sure::Medium,
        ),
        (
            "context lost before the cache, second half: it tells its own time whole",
            usual().without(&[1, 2]).root(3).times(7, [2.7, 17.0]).times(8, [17.1, 17.9]),
            Request("http_server", None, Database),
            Sure::High,
        ),
        (
            "context lost before the server, first half",
            usual().without(&[5, 6, 7, 8]),
            Request("cache", None, Call),
            Sure::Medium,
        ),
        (
            "context lost before the server, second half",
            usual()
                .without(&[1, 2, 3, 4])
                .root(5)
                .times(6, [2.5, 15.0])
                .times(7, [15.1, 16.0])
                .times(8, [16.1, 16.5]),
            Request("http_server", None, Pool),
            Sure::High,
        ),
        (
            "context lost before the worker, first half: the message was left, and nobody is known to have taken it",
            usual().named(9, 5, "http_server", "send confirm_booking", Kind::Producer, [4.0, 4.2]),
            Request("http_server", None, Own),
            Sure::High,
        ),
        (
            "context lost before the worker, second half: its run is a request of its own",
            Trace::new()
                .named(10, 0, "worker", "process confirm_booking", Kind::Consumer, [5.0, 905.0])
                .statement(11, 10, "UPDATE bookings", [6.0, 904.0]),
            Request("worker", None, Database),
            Sure::High,
        ),
        (
            "nothing took any time",
            Trace::new().server(1, 0, "shop", [0.0, 0.0]).failed(1, "refused"),
            Failure("shop", "GET", 0),
            Sure::High,
        ),
        (
            "a hop in the middle that never wrote its spans",
            usual().without(&[3, 4]).times(7, [2.7, 17.0]).times(8, [17.1, 17.9]),
            Request("http_server", None, Database),
            Sure::Medium,
        ),
    ]
}
