//! A story as one HTML file: it needs nothing else, nothing in the data breaks out of it, and it stays small.
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use journey::span::{Kind, Span};
use journey::story::Runs;
use journey::{SpanId, Story, TraceId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Telemetry in a few words.
mod support;

use support::{INTERNAL, SERVER, cold_read, line, request, span, story, with};

fn page(story: &Story) -> String {
    journey::html::render(story, &Runs::default())
}

/// What is between `start` and `end`, which both must be there once.
fn between<'p>(page: &'p str, start: &str, end: &str) -> &'p str {
    assert_eq!(page.matches(start).count(), 1, "{start}");
    page.split_once(start).unwrap().1.split_once(end).unwrap().0
}

fn data(page: &str) -> Value {
    serde_json::from_str(between(page, r#"<script type="application/json" id="data">"#, "</script>")).unwrap()
}

#[test]
fn the_policy_allows_the_files_own_style_and_script_and_nothing_else() {
    let (traces, logs) = cold_read();
    let page = page(&story("html_policy", &traces, &logs));
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = between(&page, r#"<meta http-equiv="Content-Security-Policy" content=""#, "\">");
    let expected = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(between(&page, "<style>", "</style>")),
        hash(between(&page, "<script>", "</script>")),
    );
    assert_eq!(policy, expected, "after a change of page.css or page.js, html.rs has to name their hashes");
    assert!(page.find("Content-Security-Policy") < page.find("<style>"));
    for outside in [
        "http://",
        "https://",
        " src=",
        " href=",
        "@import",
        "url(",
        "innerHTML",
        "eval(",
        " onclick=",
        " style=",
    ] {
        let own = page.replace(between(&page, r#"id="data">"#, "</script>"), "");
        assert!(!own.contains(outside), "{outside}");
    }
}

#[test]
fn every_span_and_line_has_its_row_below_its_parent() {
    let (traces, logs) = cold_read();
    let told = data(&page(&story("html_rows", &traces, &logs)));
    let told = &told["stories"][0];
    let rows = told["rows"].as_array().unwrap();
    let words = |row: &Value| {
        row["w"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word[1].as_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut depths: Vec<usize> = Vec::new();
    let mut text = String::new();
    for row in rows {
        let depth = row["p"].as_u64().map_or(0, |parent| depths[parent as usize] + 1);
        depths.push(depth);
        let service =
            row["s"].as_u64().map(|at| told["services"][at as usize].as_str().unwrap()).unwrap_or_default();
        let level = row["l"].as_str().map(|level| format!("{level} ")).unwrap_or_default();
        text.push_str(&format!(
            "{}{level}{service} {} {}/{}\n",
            "  ".repeat(depth),
            words(row),
            row["b"],
            row["t"]
        ));
    }
    expect_test::expect![[r#"
        load_balancer GET 200 0/12410000
          load_balancer GET → 127.0.0.1:41001 200 100000/12000000
            cache GET 200 miss 400000/11500000
              cache GET → 127.0.0.1:41003 attempt 1/2 failed: connect 600000/200000
              WARN cache attempt failed 799211/null
              cache GET → 127.0.0.1:41002 200 attempt 2/2 after connect 800000/10800000
                http_server GET /api/bookings/{id} 200 900000/10500000
                  http_server pool.acquire 1100000/2100000
                  http_server SELECT bookings sqlite 3300000/6900000
                  INFO http_server request 11399211/null
              INFO cache request 11899211/null
          INFO load_balancer request 12409211/null
    "#]]
    .assert_eq(&text);
    let statement = rows.iter().find(|row| words(row).starts_with("SELECT")).unwrap();
    expect_test::expect![[r#"{"attributes":[["db.query.text","SELECT …"],["db.system.name","sqlite"]],"events":[],"id":"0000000000000008","instance":"i1","kind":"client","links":[],"moved":0}"#]].assert_eq(&statement["d"].to_string());
    let shares: u64 =
        told["shares"].as_array().unwrap().iter().map(|share| share["percent"].as_u64().unwrap()).sum();
    assert_eq!(shares, 100);
}

#[test]
fn nothing_in_the_data_ends_its_element_or_begins_another() {
    let evil = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>\u{202e}\u{1b}]]>&lt;";
    let attributes = json!({"http.request.method": evil, "url.path": evil, evil: evil});
    let event = json!([{"timeUnixNano": support::at(0.5).to_string(), "name": evil, "attributes": support::pairs(&json!({"exception.stacktrace": format!("a\n{evil}")}))}]);
    let span = with(span(1, 0, evil, SERVER, [0.0, 1.0], attributes), "events", event);
    let span = with(span, "status", json!({"code": 2, "message": evil}));
    let page = page(&story(
        "html_evil",
        &[request(evil, &[span])],
        &[line(evil, 1, 1, 0.5, evil, evil, json!({"x": evil}))],
    ));
    let tags = |tag: &str| page.matches(tag).count();
    assert_eq!(
        (tags("<script"), tags("</script"), tags("<!--"), tags("<img"), tags("<style")),
        (2, 2, 0, 0, 1)
    );
    assert!(!page.chars().any(|letter| letter.is_control() && letter != '\n' || letter == '\u{202e}'));
    let title = between(&page, "<title>", "</title>");
    assert!(title.starts_with("&lt;/script&gt;&lt;script&gt;alert(1)"), "{title}");
    // It is still told.
    let told = data(&page);
    let shown = told["stories"][0]["rows"][0]["d"]["message"].as_str().unwrap();
    assert!(
        shown.starts_with("</script><script>alert(1)</script><!--") && shown.contains("\\u{202e}"),
        "{shown}"
    );
}

#[test]
fn a_huge_trace_is_a_bounded_page_and_says_what_is_left_out() {
    let many = journey::html::MOST_NODES as u64 + 50;
    let id = |id: u64| SpanId::read(&format!("{id:016x}")).unwrap();
    let text: Value = "x".repeat(4000).into();
    let made = |number: u64| Span {
        trace: TraceId::read(support::TRACE).unwrap(),
        id: id(number),
        // The last are the deepest.
        parent: (number > 1).then(|| id(if number > many - 100 { number - 1 } else { 1 })),
        service: "s".to_owned(),
        instance: None,
        name: "f".to_owned(),
        kind: Kind::Internal,
        start: support::ZERO,
        end: support::ZERO + 1000,
        failed: false,
        status_message: String::new(),
        // The first hold much.
        attributes: (number < 5500).then(|| ("text".to_owned(), text.clone())).into_iter().collect(),
        events: Vec::new(),
        links: Vec::new(),
    };
    let spans: Vec<Span> = (1..=many).map(made).collect();
    let story = Story::new(spans[0].trace, spans, Vec::new());
    let page = page(&story);
    assert!(page.len() < journey::html::MOST_BYTES + (1 << 20), "{}", page.len());
    assert!(page.contains("which is not run here"), "the text is left out");
    let told = data(&page);
    let told = &told["stories"][0];
    assert_eq!(
        (told["rows"].as_array().unwrap().len(), &told["rows_left_out"]),
        (journey::html::MOST_NODES, &50.into())
    );
    assert!(told["details_left_out"].as_u64().unwrap() > 1000, "{}", told["details_left_out"]);
}

#[test]
fn what_is_missing_odd_or_deep_has_a_page_too() {
    let chain: Vec<Value> =
        (1..=5_000).map(|id| span(id, id - 1, "f", INTERNAL, [0.0, 1.0], json!({}))).collect();
    let alone = [line("cache", 1, 7, 0.5, "ERROR", "m", json!({}))];
    let circle =
        [span(1, 2, "a", INTERNAL, [0.0, 1.0], json!({})), span(2, 1, "b", INTERNAL, [5.0, 1.0], json!({}))];
    for (traces, logs) in [
        (vec![request("deep", &chain)], vec![]),
        (vec![], alone.to_vec()),
        (vec![], vec![]),
        (vec![request("", &circle)], vec![]),
        (vec![request("s", &[span(1, 9, "orphan", INTERNAL, [0.0, 0.0], json!({}))])], alone.to_vec()),
    ] {
        let page = page(&story("html_odd", &traces, &logs));
        assert_eq!(data(&page)["stories"].as_array().unwrap().len(), 1);
    }
}
