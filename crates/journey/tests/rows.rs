//! Rows that are no span's: waits, spans that were never written, many that are told as one; and that they fit any width.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use expect_test::expect;
use journey::span::Kind;
use journey::story::{Waited, Writer};
use journey::text::{Look, render};
use journey::{Story, TraceId};
use serde_json::json;
use unicode_width::UnicodeWidthStr;

mod made;
mod support;
use made::Trace;
use made::culprits::{table, usual};
use support::{CLIENT, SERVER, TRACE, http, line, request, span};

fn row(wanted: &str) -> Trace {
    table().into_iter().find(|(happened, ..)| *happened == wanted).unwrap().1
}

/// The rows of the tree.
fn tree(story: &Story) -> String {
    let text = render(story, Look::default());
    let (_, tree) = text.split_once("waiting\n").unwrap();
    tree.split("\n\n").next().unwrap().to_owned() + "\n"
}

#[test]
fn a_message_on_its_way_has_a_row() {
    expect![[r#"
             0.0  load_balancer GET 200                                       20.0     1.0  █
             0.5  └─ GET                                                      19.0     1.0  █
             1.0     └─ cache GET 200                                         18.0     1.0  █
             1.5        └─ GET                                                17.0     1.0  █
             2.0           └─ http_server GET 200                             16.0    12.7  █
             2.5              ├─ pool.acquire 10 of 10 in use, 4 waiting       0.1     0.1  █
             2.7              ├─ SELECT bookings postgresql                    2.3     2.3  █
             4.0              ├─ send confirm_booking                          0.2     0.2  █
             4.2              │  ├┄ task queue                               895.8          ░░░░░░░░░░░░░░░░
           900.0              │  └─ worker process confirm_booking             5.0     5.0                 █
             5.1              └─ COMMIT postgresql                             0.9     0.9  █
    "#]]
    .assert_eq(&tree(&row("late worker").story()));
}

#[test]
fn the_network_has_rows_where_it_took_long() {
    expect![[r#"
            0.00  load_balancer GET 200                                      80.00    1.00  ░░░░░░░░░░░░░░░░
            0.50  └─ GET                                                     79.00   61.00  ██████░░░░██████
            0.50     ├┄ network → cache                                      30.50          ░░░░░░░
           31.00     ├─ cache GET 200                                        18.00    1.00        ░░░░
           31.50     │  └─ GET                                               17.00    1.00        ░░░░
           32.00     │     └─ http_server GET 200                            16.00   12.70        ░███
           32.50     │        ├─ pool.acquire 10 of 10 in use, 4 waiting      0.10    0.10        █
           32.70     │        ├─ SELECT bookings postgresql                   2.30    2.30        █
           35.10     │        └─ COMMIT postgresql                            0.90    0.90         █
           49.00     └┄ network ← cache                                      30.50                   ░░░░░░░
    "#]]
    .assert_eq(&tree(&row("network gap").story()));
}

#[test]
fn waits_are_told_from_a_millisecond_and_a_hundredth_of_the_request_on() {
    let waits = |trace: Trace| -> Vec<(Waited, u64)> {
        let story = trace.story();
        let told = (0..story.nodes.len()).flat_map(|index| story.waits(index));
        told.map(|wait| (wait.waited, wait.duration() / 1000)).collect()
    };
    let call = |server: [f64; 2], until: f64| {
        Trace::new()
            .server(1, 0, "shop", [0.0, until])
            .client(2, 1, "shop", [0.0, until])
            .server(3, 2, "stock", server)
    };
    assert_eq!(waits(call([0.9, 9.1], 10.0)), []);
    assert_eq!(waits(call([1.0, 8.5], 10.0)), [(Waited::Request, 1000), (Waited::Answer, 1500)]);
    assert_eq!(waits(call([4.9, 994.0], 1000.0)), [], "of a second, ten milliseconds are the least");
    assert_eq!(waits(call([10.0, 999.0], 1000.0)), [(Waited::Request, 10_000)]);
    let connects = call([8.0, 9.5], 10.0).named(4, 2, "shop", "connect", Kind::Internal, [0.5, 6.0]);
    assert_eq!(waits(connects), [(Waited::Request, 2000)], "what has a span of its own is no network");
    let two = call([2.0, 4.0], 10.0).server(5, 2, "stock", [6.0, 8.0]);
    assert_eq!(waits(two), [], "nobody knows which of the two it is");
    let gave_up = call([30.0, 40.0], 10.0).failed(2, "timeout");
    assert_eq!(waits(gave_up), [(Waited::Request, 10_000)], "nobody waited for longer");
}

#[test]
fn many_that_are_alike_are_told_as_one_and_failures_are_not_among_them() {
    let trace = row("many small statements").failed(150, "disk full");
    expect![[r#"
            0.00  load_balancer GET 200                                      20.00    1.00  ░░░░░░░░░░░░░░░░
            0.50  └─ GET                                                     19.00    1.00  █░░░░░░░░░░░░░░█
            1.00     └─ cache GET 200                                        18.00    1.00  █░░░░░░░░░░░░░░█
            1.50        └─ GET                                               17.00    1.00   █░░░░░░░░░░░░█
            2.00           └─ http_server GET 200                            16.00    2.70   █░░░█░░░░░░░░█
            2.50              ├─ pool.acquire 10 of 10 in use, 4 waiting      0.10    0.10    █
            2.70              ├─ SELECT bookings postgresql                   2.30    2.30    ██
            5.10              ├─ COMMIT postgresql                            0.90    0.90      █
            6.00              ├─ SELECT one postgresql                        0.10    0.10      █
            6.11              ├─ SELECT one postgresql                        0.10    0.10      █
            6.22              ├─ SELECT one postgresql                        0.10    0.10      ██
            6.33              ├─ SELECT one postgresql                        0.10    0.10       █
            6.44              ├─ SELECT one postgresql                        0.10    0.10       █
            6.55              ├─ SELECT one postgresql                        0.10    0.10       █
            6.66              ├─ SELECT one postgresql                        0.10    0.10       █
            6.77              ├─ SELECT one postgresql                        0.10    0.10       █
            6.88              ├─ SELECT one postgresql                        0.10    0.10       █
            6.99              ├─ SELECT one postgresql                        0.10    0.10       █
            7.10              ├─ … 89 more like it: 8.90 ms in all, 0.10 ms the longest
           11.50              └─ SELECT one postgresql failed: disk full      0.10    0.10           █
    "#]]
    .assert_eq(&tree(&trace.story()));
    let few = (0..20).fold(usual().without(&[6, 7, 8]), |trace, number| {
        let start = 3.0 + 0.1 * f64::from(number);
        trace.statement(100 + u64::from(number as u8), 5, "SELECT one", [start, start + 0.1])
    });
    assert_eq!(tree(&few.story()).matches("SELECT one").count(), 20);
}

#[test]
fn a_span_that_was_never_written_is_named_by_who_should_have_written_it() {
    let said = |spans: Trace, logs: &[(&str, u64)]| -> Vec<String> {
        let lines = logs.iter().enumerate().map(|(number, (service, span))| {
            let raw = line(service, number as u64, *span, 3.0, "INFO", "request", json!({}));
            journey::line::Line::from_object(serde_json::from_str(&raw).unwrap(), raw).unwrap()
        });
        let story = Story::new(TraceId::read(TRACE).unwrap(), spans.spans(), lines.collect());
        story.gaps().iter().map(journey::story::Gap::words).collect()
    };
    assert_eq!(
        said(usual().without(&[3, 4]), &[("cache", 4)]),
        [
            "the span of cache that should stand between load_balancer and http_server was never written, though lines in it were (0000000000000004)"
        ],
        "its line tells whose it is, exactly"
    );
    assert_eq!(
        said(usual().without(&[3, 4]), &[("cache", 3)]),
        [
            "the span, presumably of cache, that should stand between load_balancer and http_server was never written (0000000000000004)",
            "the span of cache was never written, though lines in it were (0000000000000003)"
        ],
        "only one service has lines and no span"
    );
    assert_eq!(
        said(usual().without(&[3, 4]), &[]),
        [
            "the span that should stand between load_balancer and http_server was never written (0000000000000004)"
        ]
    );
    assert_eq!(
        said(usual().without(&[5]), &[]),
        [
            "the span, presumably of http_server, that should stand beneath cache was never written (0000000000000005)"
        ],
        "statements are made within a service"
    );
    assert_eq!(
        said(usual().without(&[1, 2]), &[]),
        ["span 0000000000000002 is not in these files: the caller's own, or never written"]
    );
    let story = usual().without(&[5]).story();
    assert!(
        matches!(&story.gaps()[0], journey::story::Gap::Span { by: Some(Writer::Presumed(by)), .. } if by == "http_server")
    );
}

#[test]
fn wide_and_combining_letters_fit_as_well_in_every_width() {
    let wide = "予約サービス";
    let combining = "re\u{301}serve\u{301}e".repeat(12);
    let failed = json!({"error.type": "接続できません: 相手のサービスが応答しませんでした。".repeat(3)});
    let traces = [
        request(
            "load_balancer",
            &[
                span(1, 0, "GET", SERVER, [0.0, 2000.0], http(502, failed)),
                span(
                    2,
                    1,
                    "GET",
                    CLIENT,
                    [1.0, 1999.0],
                    http(502, json!({"throughline.replica": "127.0.0.1:41003"})),
                ),
            ],
        ),
        request(
            wide,
            &[
                span(3, 2, "取得 /予約/{番号}", SERVER, [5000.0, 6000.0], http(200, json!({}))),
                span(4, 3, &combining, CLIENT, [5100.0, 5900.0], json!({"db.system.name": "postgresql"})),
                span(6, 5, "迷子", SERVER, [5000.0, 5001.0], http(200, json!({}))),
            ],
        ),
        request(
            wide,
            &(10..60)
                .map(|id| span(id, 4, "小さな仕事", CLIENT, [5200.0, 5300.0], json!({})))
                .collect::<Vec<_>>(),
        ),
    ];
    let logs = [line(wide, 1, 3, 5500.0, "WARN", "在庫がありません", json!({"品目": "会議室".repeat(40)}))];
    let story = support::story("wide", &traces, &logs);
    for width in [40, 47, 48, 56, 70, 80, 100, 200] {
        let text = render(&story, Look { width, ..Look::default() });
        for line in text.lines() {
            assert!(line.width() <= width, "{} of {width} columns: {line}\n{text}", line.width());
        }
        let bars: Vec<usize> = text
            .lines()
            .filter(|line| line.contains("ms  ") || line.ends_with(['█', '░']))
            .filter_map(|line| line.find(['█', '░']).map(|at| line[..at].trim_end().width()))
            .collect();
        assert!(width < 70 || bars.len() > 3, "{text}");
    }
    expect![[r#"
        GET
        /api/bookings/0192f0c1-7a3e-7bbf-8d1c-0e
        5a4b6c7d8e → 502
        (接続できません: 相手のサービスが応答し
        ませんでした。接続できません:
        相手のサービスが応答しませんでした。接続
        できません: 相手のサービスが応答しません
        でした。) in 2000.0 ms
        trace 4bf92f3577b34da6a3ce929d0e0e4736
        at 2026-11-21 22:26:40.123 UTC
        load_balancer, 予約サービス:
        55 spans, 1 log line, incomplete
        the span that should stand above
        予約サービス was never written
        (0000000000000005)

        start ms                         took ms
             0.0  load_balancer GET 502   2000.0
                  │  failed: 接続できません:
                  │  相手のサービスが応答しませ
                  │  んでした。接続できません:
                  │  相手のサービスが応答しませ
                  │  んでした。接続できません:
                  │  相手のサービスが応答しませ
                  │  んでした。
             1.0  └─ GET                  1998.0
                     │  → 127.0.0.1:41003 502
             1.0     ├┄ network →          499.0
           500.0     ├─ 予約サービス      1000.0
                     │  │  取得 /予約/{番号} 200
                     │  │  · the clock of
                     │  │    予約サービス@i1 is
                     │  │    4500.0 ms ahead of
                     │  │    load_balancer's (±
                     │  │    499.0): corrected
           600.0     │  └─ réservéerése    800.0
                     │     │  rvéeréservéeréserv
                     │     │  éeréservéeréservée
                     │     │  réservéeréservéeré
                     │     │  servéeréservéerése
                     │     │  rvéeréservée
                     │     │  postgresql
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     ├─ 小さな仕     100.0
                     │     │     事
           700.0     │     └─ … 40 more like
                     │           it: 4000.0 ms
                     │           in all, 100.0
                     │           ms the longest
          1000.0     │     · WARN 予約サービス
                     │       在庫がありません
                     │       品目=会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室会議室会
                     │       議室会議室
          1500.0     └┄ network ←          499.0
                  (the span that should stand
                  │  above 予約サービス was
                  │  never written
                  │  (0000000000000005))
           500.0  └─ 予約サービス 迷子       1.0
                        200

        verdict  50 % network (load_balancer →
                 予約サービス),
                 35 % database (予約サービス:
                 réservéeréservéeréservéeréservé
                 eréservéeréservéeréservéeréserv
                 éeréservéeréservéeréservéeréser
                 vée),
                 10 % own work (予約サービス),
                 5 % other; how sure: low
        failed   first load_balancer GET
                 → 127.0.0.1:41003 502
                 (because of it 1 span of
                 load_balancer)
        doubt    the span that should stand
                 above 予約サービス was never
                 written (0000000000000005)
        doubt    the clock of 予約サービス@i1
                 is 4500.0 ms ahead of
                 load_balancer's (± 499.0):
                 corrected
    "#]]
    .assert_eq(&render(&story, Look { width: 40, ..Look::default() }));
}
