//! What the nearest cache says it did (`Cache-Status`, RFC 9211): for the field `cache_hit` of the request's line.

use http::HeaderMap;

/// Whether the last member, which is the cache nearest to us (RFC 9211 §2), has the parameter `hit`.
pub(crate) fn is_hit(headers: &HeaderMap) -> bool {
    let last = headers.get_all("cache-status").iter().next_back();
    let Some(line) = last.and_then(|line| line.to_str().ok()) else { return false };
    let Some(member) = split(line, ',').last() else { return false };
    // The first part is the cache's name. Of a repeated parameter the last one counts (RFC 8941 §3.1.2).
    let hit = split(member, ';').skip(1).filter_map(|parameter| hit_value(parameter.trim())).last();
    hit.unwrap_or(false)
}

fn hit_value(parameter: &str) -> Option<bool> {
    match parameter.split_once('=') {
        None => (parameter == "hit").then_some(true),
        Some((name, value)) => (name == "hit").then_some(value == "?1"),
    }
}

/// The parts of a structured field between separators, which do not count within a quoted string.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let separates = c == separator && !quoted;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        separates
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn hit(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("cache-status", HeaderValue::from_str(line).expect("a value"));
        }
        is_hit(&headers)
    }

    #[test]
    fn the_last_member_decides() {
        let check = |lines: &[&str], expected| assert_eq!(hit(lines), expected, "{lines:?}");
        check(&[], false);
        check(&["cache; hit"], true);
        check(&["cache;hit;ttl=3"], true);
        check(&["cache; fwd=miss; stored"], false);
        check(&["far; hit, near; fwd=miss"], false);
        check(&["far; fwd=miss, near; hit"], true);
        check(&["far; fwd=miss", "near; hit"], true);
        check(&["far; hit", "near; fwd=uri-miss"], false);
        check(&["near; hit=?0"], false);
        check(&["near; hit=?1"], true);
        check(&["near; hit; hit=?0"], false);
        check(&["hit"], false);
        check(&["near; detail=\"a, b; hit\""], false);
        check(&["near; detail=\"\\\"; hit, \"; hit"], true);
        check(&["\"a, b\"; hit"], true);
        check(&["near; hitrate=1"], false);
        check(&[""], false);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "[ -~]{0,60}") {
            let _ = hit(&[&line]);
        }
    }
}
