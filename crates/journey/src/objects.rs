//! A line as it really is → the JSON objects in it: glued lines, half ones, zeros that a crash has left.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// A line is given up after so many places in it that only looked like a beginning.
const MOST_FAILURES: usize = 8;

/// Gives `take` the text from every object's beginning on; it says how long the object is, or `None` if it is none or
/// only half of one. Answers whether the whole line was understood.
pub(crate) fn each(line: &[u8], mut take: impl FnMut(&str) -> Option<usize>) -> bool {
    // The check alone is many times faster than the same check by `from_utf8_lossy`.
    let text = std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
    // A crash leaves zeros where a file system had not written its data yet.
    let mut rest = text.trim_matches(is_nothing);
    let mut failures = 0;
    while !rest.is_empty() {
        let length = match take(rest) {
            Some(length) => length,
            // The writer was killed and went on in the same line: what comes after may be whole.
            None => {
                failures += 1;
                match next_object(rest).filter(|_| failures < MOST_FAILURES) {
                    Some(at) => at,
                    None => break,
                }
            }
        };
        rest = rest[length..].trim_start_matches(is_nothing);
    }
    failures == 0
}

/// Zeros, spaces, and the mark that some editors put at the beginning of a file.
fn is_nothing(letter: char) -> bool {
    matches!(letter, '\0' | '\u{feff}') || letter.is_ascii_whitespace()
}

/// Where in `text`, beyond its beginning, a written line seems to begin: an export request, or else a flat line, which
/// holds no other object.
fn next_object(text: &str) -> Option<usize> {
    let rest = text.get(1..)?;
    let starts = ["{\"resourceSpans\"", "{\"resourceLogs\"", "{\"resource_spans\"", "{\"resource_logs\""];
    let request = starts.iter().filter_map(|start| rest.find(start)).min();
    let flat = || rest.rfind("{\"").filter(|at| serde_json::from_str::<IgnoredAny>(&rest[*at..]).is_ok());
    request.or_else(flat).map(|at| at + 1)
}
