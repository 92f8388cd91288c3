//! Which stored answers a write has made wrong (RFC 9111 §4.4).

use http::{HeaderMap, Method, StatusCode, Uri, header};

use crate::key::{Key, origin};

/// What became of a request that was written through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer with this status.
    Answered(StatusCode),
    /// No answer: nobody knows whether the origin acted on it.
    Unknown,
}

/// Whether a method may change something: all but the safe ones, and those nobody knows (RFC 9110 §9.2.1).
pub(crate) fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Whether it must be taken for done. RFC 9111 §4.4 asks for answers of 2xx and 3xx; besides, no answer and a
/// gateway's 502 and 504 leave it open, and a wrong hit is worse than one more fetch.
pub(crate) fn may_have_changed(method: &Method, outcome: Outcome) -> bool {
    is_unsafe(method)
        && match outcome {
            Outcome::Unknown => true,
            Outcome::Answered(status) => {
                status.is_success()
                    || status.is_redirection()
                    || matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
            }
        }
}

/// The keys to drop after a write to `target`: its own, and those that `Location` and `Content-Location` of the
/// answer name on the same host.
pub(crate) fn keys(target: &Key, answer: &HeaderMap) -> Vec<Key> {
    let mut keys = vec![target.clone()];
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let values = answer.get_all(name).iter().filter_map(|value| value.to_str().ok());
        keys.extend(values.filter_map(|reference| resolve(target, reference.trim())));
    }
    keys.dedup();
    keys
}

/// Whether the answer says that it is one about its target itself: `Content-Location`, once (RFC 9110 §8.7).
pub(crate) fn names_itself(target: &Key, answer: &HeaderMap) -> bool {
    let mut values = answer.get_all(header::CONTENT_LOCATION).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let reference = only.and_then(|value| value.to_str().ok());
    reference.and_then(|reference| resolve(target, reference.trim())).is_some_and(|key| key == *target)
}

/// A reference on the target's host, as a key (RFC 3986 §5.2); `None` for other hosts and what is no reference.
fn resolve(target: &Key, reference: &str) -> Option<Key> {
    let reference = reference.split('#').next()?;
    let base = target.path_and_query();
    let base_path = base.split('?').next()?;
    if reference.contains("://") || reference.starts_with("//") {
        let absolute =
            if reference.starts_with("//") { format!("http:{reference}") } else { reference.to_owned() };
        let uri: Uri = absolute.parse().ok()?;
        let host = origin(uri.scheme_str()?, uri.authority()?.as_str())?;
        let path_and_query = uri.path_and_query().map_or("/", |text| text.as_str());
        return (host == target.host()).then(|| target.sibling(&without_dots(path_and_query)));
    }
    let path_and_query = if reference.is_empty() {
        base.to_owned()
    } else if reference.starts_with('/') {
        reference.to_owned()
    } else if reference.starts_with('?') {
        format!("{base_path}{reference}")
    } else {
        let folder = base_path.rfind('/').map_or("/", |slash| &base_path[..=slash]);
        format!("{folder}{reference}")
    };
    Some(target.sibling(&without_dots(&path_and_query)))
}

/// RFC 3986 §5.2.4, on the path alone.
fn without_dots(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.find('?') {
        Some(at) => path_and_query.split_at(at),
        None => (path_and_query, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (nth, segment) in segments.iter().enumerate() {
        let last = nth + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{asked, fields};

    #[test]
    fn an_answer_names_its_own_target_or_does_not() {
        let check = |lines: &[(&str, &str)], expected: bool| {
            let target = asked(Method::GET, "/a/b?c", &[]).key;
            assert_eq!(names_itself(&target, &fields(lines)), expected, "{lines:?}");
        };
        check(&[("content-location", "/a/b?c")], true);
        check(&[("content-location", "http://e/a/b?c")], true);
        check(&[("content-location", "b?c")], true);
        check(&[("content-location", "")], true);
        check(&[("content-location", "/a/b")], false);
        check(&[("content-location", "http://f/a/b?c")], false);
        check(&[("content-location", "/a/b?c"), ("content-location", "/a/b?c")], false);
        check(&[("location", "/a/b?c")], false);
        check(&[], false);
    }

    #[test]
    fn writes_that_may_have_happened_invalidate() {
        let check = |method: &str, outcome: Option<u16>, expected: bool| {
            let method: Method = method.parse().expect("a method");
            let status = |code| StatusCode::from_u16(code).expect("a status");
            let outcome = outcome.map_or(Outcome::Unknown, |code| Outcome::Answered(status(code)));
            assert_eq!(may_have_changed(&method, outcome), expected, "{method} {outcome:?}");
        };
        for method in ["POST", "PUT", "PATCH", "DELETE", "M-SEARCH"] {
            for done in [Some(200), Some(201), Some(204), Some(303), Some(502), Some(504), None] {
                check(method, done, true);
            }
            for refused in [400, 404, 409, 412, 500, 503] {
                check(method, Some(refused), false);
            }
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            check(method, Some(200), false);
            check(method, None, false);
        }
    }

    #[test]
    fn a_write_invalidates_its_target_and_what_it_names_on_the_same_host() {
        let check = |answer: &[(&str, &str)], expected: &[&str]| {
            let target = asked(http::Method::GET, "/a/b?q", &[]).key;
            let found: Vec<String> =
                keys(&target, &fields(answer)).iter().map(|key| format!("{key:?}")).collect();
            assert_eq!(found, expected, "{answer:?}");
        };
        let own = "http://e/a/b?q";
        check(&[], &[own]);
        check(&[("location", "/c?d#e")], &[own, "http://e/c?d"]);
        check(&[("location", "http://E:80/c")], &[own, "http://e/c"]);
        check(&[("location", "https://e/c")], &[own, "http://e/c"]);
        check(&[("location", "//e/c")], &[own, "http://e/c"]);
        check(&[("location", "http://other/c")], &[own]);
        check(&[("location", "http://e:81/c")], &[own]);
        check(&[("location", "c")], &[own, "http://e/a/c"]);
        check(&[("location", "../c/./d/..")], &[own, "http://e/c/"]);
        check(&[("location", "?x")], &[own, "http://e/a/b?x"]);
        check(&[("location", "http://e")], &[own, "http://e/"]);
        check(&[("location", "/c"), ("content-location", "/d")], &[own, "http://e/c", "http://e/d"]);
        check(&[("location", "mailto://")], &[own]);
    }
}
