//! Two stories compared: what is new, gone, slower, faster, and at which place; the same for any order of lines.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use expect_test::expect;
use journey::Story;
use journey::diff::{Change, Diff};
use journey::text::Look;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Telemetry in a few words.
mod support;

use support::{CLIENT, INTERNAL, SERVER, cold_read, http, request, span, story};

fn told(a: &Story, b: &Story, width: usize) -> String {
    Diff::new(a, b).text(Look { width, ..Look::default() }, false)
}

/// The same read as [`cold_read`] when the cache had it.
fn warm_read() -> Vec<String> {
    let hit = http(200, json!({"throughline.cache.result": "hit"}));
    vec![
        request("cache", &[span(13, 12, "GET", SERVER, [0.4, 0.9], hit)]),
        request(
            "load_balancer",
            &[
                span(12, 11, "GET", CLIENT, [0.1, 1.1], http(200, json!({}))),
                span(11, 0, "GET", SERVER, [0.0, 1.4], http(200, json!({}))),
            ],
        ),
    ]
}

#[test]
fn a_miss_and_a_hit_differ_by_what_the_cache_had_not_to_ask() {
    let (a, b) = (story("diff_miss", &cold_read().0, &[]), story("diff_hit", &warm_read(), &[]));
    expect![[r#"
        A  4bf92f3577b34da6a3ce929d0e0e4736 GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200
           in 12.41 ms at 2026-11-21T22:26:40.123Z
        B  4bf92f3577b34da6a3ce929d0e0e4736 GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200
           in 1.40 ms at 2026-11-21T22:26:40.123Z

               A ms      B ms        ±ms      ×    own ±ms
        <     12.41      1.40     -11.01   0.11      -0.01  load_balancer GET 200
        <     12.00      1.00     -11.00   0.08       0.00    GET 200
        !     11.50      0.50     -11.00   0.04       0.00      cache GET 200 miss → 200 hit
        -      0.20                -0.20             -0.20        GET connect
        -     10.80               -10.80             -0.30        GET 200
        -     10.50               -10.50             -1.50          http_server GET /api/bookings/{id} 200
        -      2.10                -2.10             -2.10            pool.acquire
        -      6.90                -6.90             -6.90            SELECT bookings

        total    12.41 ms → 1.40 ms: -11.01 ms (×0.11); 8 → 3 spans;
                 5 gone, 1 with another outcome, 2 faster
        biggest      -6.90 ms http_server SELECT bookings gone: 1×, 6.90 → 0.00 ms of its own
                     -2.10 ms http_server pool.acquire gone: 1×, 2.10 → 0.00 ms of its own
                     -1.50 ms http_server GET /api/bookings/{id} gone: 1×, 1.50 → 0.00 ms of its own
                     -0.50 ms cache GET 3× → 1×, 1.00 → 0.50 ms of its own
    "#]]
    .assert_eq(&told(&a, &b, 100));
    expect![[r#"
        A  4bf92f3577b34da6a3ce929d0e0e4736 GET
           /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200
           in 1.40 ms at 2026-11-21T22:26:40.123Z
        B  4bf92f3577b34da6a3ce929d0e0e4736 GET
           /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200
           in 12.41 ms at 2026-11-21T22:26:40.123Z

               A ms      B ms        ±ms
        >      1.40     12.41     +11.01  load_balancer GET 200
        >      1.00     12.00     +11.00    GET 200
        !      0.50     11.50     +11.00      cache GET 200 hit → 2…
        +                0.20      +0.20        GET connect
        +               10.80     +10.80        GET 200
        +               10.50     +10.50          http_server GET /…
        +                2.10      +2.10            pool.acquire
        +                6.90      +6.90            SELECT bookings

        total    1.40 ms → 12.41 ms: +11.01 ms (×8.86); 3 → 8 spans;
                 5 new, 1 with another outcome, 2 slower
        biggest      +6.90 ms http_server SELECT bookings
                 new: 1×, 0.00 → 6.90 ms of its own
                     +2.10 ms http_server pool.acquire
                 new: 1×, 0.00 → 2.10 ms of its own
                     +1.50 ms http_server GET /api/bookings/{id}
                 new: 1×, 0.00 → 1.50 ms of its own
                     +0.50 ms cache GET
                 1× → 3×, 0.50 → 1.00 ms of its own
    "#]]
    .assert_eq(&told(&b, &a, 60));
}

/// A request that asked the database `statements` times, `ms` milliseconds each.
fn statements(statements: u64, ms: f64) -> Vec<String> {
    let statement = |number: u64| {
        let start = 1.0 + number as f64 * ms;
        span(
            10 + number,
            1,
            "SELECT rooms",
            CLIENT,
            [start, start + ms],
            json!({"db.system.name": "postgresql"}),
        )
    };
    let mut spans: Vec<Value> = (0..statements).map(statement).collect();
    let route = http(200, json!({"http.route": "/rooms"}));
    spans.push(span(1, 0, "GET /rooms", SERVER, [0.0, 2.0 + statements as f64 * ms], route));
    vec![request("http_server", &spans)]
}

#[test]
fn many_new_statements_are_one_row() {
    let (a, b) = (story("diff_two", &statements(2, 1.0), &[]), story("diff_many", &statements(40, 1.0), &[]));
    expect![[r#"
        A  4bf92f3577b34da6a3ce929d0e0e4736 GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200
           in 4.00 ms at 2026-11-21T22:26:40.123Z
        B  4bf92f3577b34da6a3ce929d0e0e4736 GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200
           in 42.00 ms at 2026-11-21T22:26:40.123Z

               A ms      B ms        ±ms      ×    own ±ms
        >      4.00     42.00     +38.00  10.50       0.00  http_server GET /rooms 200
                                                              (2 spans alike)
        +               38.00     +38.00            +38.00    SELECT rooms ×38

        total    4.00 ms → 42.00 ms: +38.00 ms (×10.50); 3 → 41 spans; 38 new, 1 slower, 2 alike
        biggest     +38.00 ms http_server SELECT rooms 2× → 40×, 2.00 → 40.00 ms of its own
    "#]]
    .assert_eq(&told(&a, &b, 100));
}

#[test]
fn one_trace_and_itself_are_alike() {
    let a = story("diff_self", &cold_read().0, &[]);
    let diff = Diff::new(&a, &a);
    assert!(diff.rows.iter().all(|row| row.change == Change::Same && row.a == row.b), "{:?}", diff.rows);
    expect![[r#"
        A  4bf92f3577b34da6a3ce929d0e0e4736 GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200
           in 12.41 ms at 2026-11-21T22:26:40.123Z
        B  4bf92f3577b34da6a3ce929d0e0e4736 GET /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e5a4b6c7d8e → 200
           in 12.41 ms at 2026-11-21T22:26:40.123Z

               A ms      B ms        ±ms      ×    own ±ms
              12.41     12.41       0.00   1.00       0.00  load_balancer GET 200
                                                              (7 spans alike)

        total    12.41 ms → 12.41 ms: 0.00 ms (×1.00); 8 → 8 spans; 8 alike
    "#]]
    .assert_eq(&told(&a, &a, 100));
}

#[test]
fn an_attempt_that_came_to_nothing_is_new_and_the_one_that_did_it_is_the_same() {
    let attempts = |failed: bool| {
        let mut spans = vec![
            span(1, 0, "GET", SERVER, [0.0, 10.0], http(200, json!({}))),
            span(
                3,
                1,
                "GET",
                CLIENT,
                [3.0, 9.0],
                http(200, json!({"http.request.resend_count": u8::from(failed)})),
            ),
        ];
        if failed {
            spans.push(span(
                2,
                1,
                "GET",
                CLIENT,
                [1.0, 2.0],
                json!({"http.request.method": "GET", "error.type": "connect"}),
            ));
        }
        let server = span(4, 3, "GET /x", SERVER, [4.0, 8.0], http(200, json!({})));
        vec![request("edge", &spans), request("api", &[server])]
    };
    let (a, b) = (story("diff_once", &attempts(false), &[]), story("diff_twice", &attempts(true), &[]));
    let diff = Diff::new(&a, &b);
    let rows: Vec<_> = diff.rows.iter().map(|row| (row.change, row.depth)).collect();
    // Less of its time is its own: the failed attempt took some of it.
    let expected = [(Change::Faster, 0), (Change::New, 1), (Change::Same, 1), (Change::Same, 2)];
    assert_eq!(rows, expected, "{}", diff.text(Look::default(), true));
}

#[test]
fn json_has_every_row() {
    let (a, b) = (story("diff_json_a", &cold_read().0, &[]), story("diff_json_b", &warm_read(), &[]));
    let told: Value = serde_json::from_str(&Diff::new(&a, &b).json()).unwrap();
    let of = |name: &str| told["counts"][name].as_u64().unwrap();
    let all = ["new", "gone", "outcome", "slower", "faster", "same"].map(of);
    assert_eq!(all.iter().sum::<u64>(), told["rows"].as_array().unwrap().len() as u64);
    expect![[r#"{"a":{"duration_ms":11.5,"outcome":"200 miss","own_ms":0.5,"span_id":"0000000000000003"},"b":{"duration_ms":0.5,"outcome":"200 hit","own_ms":0.5,"span_id":"000000000000000d"},"change":"outcome","depth":2,"kind":"server","name":"GET","service":"cache"}"#]].assert_eq(&told["rows"][2].to_string());
    expect![[r#"[{"a_own_ms":6.9,"a_spans":1,"b_own_ms":0.0,"b_spans":0,"name":"SELECT bookings","service":"http_server"},{"a_own_ms":2.1,"a_spans":1,"b_own_ms":0.0,"b_spans":0,"name":"pool.acquire","service":"http_server"},{"a_own_ms":1.5,"a_spans":1,"b_own_ms":0.0,"b_spans":0,"name":"GET /api/bookings/{id}","service":"http_server"},{"a_own_ms":1.0,"a_spans":3,"b_own_ms":0.5,"b_spans":1,"name":"GET","service":"cache"}]"#]].assert_eq(&told["biggest"].to_string());
}

#[test]
fn stories_without_spans_and_very_wide_or_deep_ones_are_compared() {
    let none = story("diff_none", &[], &[]);
    let one = story("diff_one", &statements(1, 1.0), &[]);
    assert_eq!(Diff::new(&none, &one).count(Change::New), 2);
    assert_eq!(Diff::new(&none, &none).rows, []);
    assert!(told(&none, &none, 20).contains("no span of it was written"));
    let chain = |length: u64| -> Vec<String> {
        let spans: Vec<Value> =
            (1..=length).map(|id| span(id, id - 1, "f", INTERNAL, [0.0, 1.0], json!({}))).collect();
        vec![request("deep", &spans)]
    };
    let (deep, deeper) = (story("diff_deep", &chain(5_000), &[]), story("diff_deeper", &chain(5_001), &[]));
    let diff = Diff::new(&deep, &deeper);
    assert_eq!((diff.count(Change::Same), diff.count(Change::New)), (4_999, 1));
    assert!(told(&deep, &deeper, 80).lines().all(|line| line.chars().count() <= 80));
    let (wide, wider) = (
        story("diff_wide", &statements(5_000, 0.001), &[]),
        story("diff_wider", &statements(5_100, 0.001), &[]),
    );
    assert_eq!(Diff::new(&wide, &wider).count(Change::New), 100);
}

#[test]
fn nothing_from_the_data_reaches_the_terminal() {
    let evil = vec![request(
        "\u{1b}[2Jx",
        &[span(1, 0, "a\nb\u{202e}", SERVER, [0.0, 1.0], json!({"http.response.status_code": "\u{7}"}))],
    )];
    let (a, b) = (story("diff_evil", &evil, &[]), story("diff_good", &statements(1, 1.0), &[]));
    for text in [told(&a, &b, 100), told(&b, &a, 100)] {
        assert!(
            !text.chars().any(|letter| letter.is_control() && letter != '\n' || letter == '\u{202e}'),
            "{text}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Parents of any shape, circles among them.
    #[test]
    fn every_span_of_both_is_in_it_once_and_turned_round_new_is_gone(
        a in proptest::collection::vec((0..12_u64, 0..3_u8), 0..12),
        b in proptest::collection::vec((0..12_u64, 0..3_u8), 0..12),
    ) {
        let made = |name: &str, spans: &[(u64, u8)]| {
            let spans: Vec<Value> = spans
                .iter()
                .zip(1..)
                .map(|((parent, name), id)| span(id, *parent, &format!("n{name}"), INTERNAL, [id as f64, 20.0], json!({})))
                .collect();
            story(name, &[request("s", &spans)], &[])
        };
        let (a, b) = (made("diff_any_a", &a), made("diff_any_b", &b));
        let (there, back) = (Diff::new(&a, &b), Diff::new(&b, &a));
        let mut of_a: Vec<usize> = there.rows.iter().filter_map(|row| row.a).collect();
        of_a.sort_unstable();
        let callers = a.nodes.iter().enumerate().filter(|(at, _)| matches!(a.gap(*at), Some(journey::story::Gap::Caller(_))));
        let lifted: Vec<usize> = callers.map(|(at, _)| at).collect();
        let expected: Vec<usize> = (0..a.nodes.len()).filter(|at| !lifted.contains(at)).collect();
        prop_assert_eq!(of_a, expected);
        prop_assert_eq!(there.count(Change::New), back.count(Change::Gone));
        prop_assert_eq!(there.count(Change::Slower), back.count(Change::Faster));
    }
}
