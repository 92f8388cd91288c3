//! The written form, held to recorded files.

use expect_test::expect_file;

use crate::samples;

#[test]
fn a_full_request_of_spans_has_the_collectors_form() {
    let mut out = Vec::new();
    super::traces(&mut out, &samples::traces());
    expect_file!["golden/traces.json"].assert_eq(&indented(&out));
}

#[test]
fn a_full_request_of_metrics_has_the_collectors_form() {
    let mut out = Vec::new();
    super::metrics(&mut out, &samples::metrics());
    expect_file!["golden/metrics.json"].assert_eq(&indented(&out));
}

/// The one line, broken after members for whoever reads the expected file: at brackets outside texts only.
fn indented(line: &[u8]) -> String {
    let line = std::str::from_utf8(line).unwrap().strip_suffix('\n').expect("a line ends");
    assert!(!line.contains('\n'), "one line");
    serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON");
    let mut out = String::new();
    let (mut depth, mut in_text, mut escaped) = (0, false, false);
    for character in line.chars() {
        let bracket = !in_text && matches!(character, '{' | '[');
        if !in_text && matches!(character, '}' | ']') {
            depth -= 1;
        }
        out.push(character);
        if bracket {
            depth += 1;
        }
        if bracket || !in_text && character == ',' {
            out.push('\n');
            out.push_str(&" ".repeat(depth));
        }
        in_text ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
    }
    out + "\n"
}
