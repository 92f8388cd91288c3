//! The target of a request in one form, so that whoever routes, keys, names or logs by it means the same resource.
//!
//! Percent-encoding is normalised and dot segments are resolved as RFC 3986 §6.2.2 says; the query is left alone. What
//! servers behind us are known to read in different ways is refused: an encoded slash, backslashes, NUL and control
//! characters, a `%` that encodes nothing. Empty segments (`//`) are kept: they may mean something.

use std::borrow::Cow;

use http::{
    Uri,
    uri::{InvalidUri, PathAndQuery},
};

/// A path that cannot be normalised without guessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    #[error("the path holds an encoded slash or a backslash")]
    HiddenSlash,
    #[error("the path holds a control character")]
    Control,
    #[error("the path holds a `%` that encodes nothing")]
    BadEncoding,
    #[error("the target cannot be read")]
    Unreadable,
}

/// The same target with its path in normal form; `None` when it has it already.
pub(crate) fn normalise(uri: &Uri) -> Result<Option<Uri>, BadTarget> {
    let Some(target) = uri.path_and_query() else { return Ok(None) };
    let path = match normal_path(target.path())? {
        Cow::Borrowed(_) => return Ok(None),
        Cow::Owned(path) => path,
    };
    let target = match target.query() {
        Some(query) => path + "?" + query,
        None => path,
    };
    let target: PathAndQuery = target.try_into().map_err(|_: InvalidUri| BadTarget::Unreadable)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).map(Some).map_err(|_: http::uri::InvalidUriParts| BadTarget::Unreadable)
}

/// A path in normal form; borrowed when it is in it already.
fn normal_path(path: &str) -> Result<Cow<'_, str>, BadTarget> {
    if is_normal(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let recoded = recode(path.as_bytes())?;
    Ok(Cow::Owned(without_dot_segments(&recoded)))
}

/// Whether a path needs no second look: no encoding, nothing to encode, no segment that begins with a dot.
fn is_normal(path: &[u8]) -> bool {
    path.iter().all(|byte| is_path_char(*byte)) && !path.windows(2).any(|pair| pair == b"/.")
}

/// What may stand in a path as itself: `pchar` and the slash (RFC 3986 §3.3).
fn is_path_char(byte: u8) -> bool {
    is_unreserved(byte) || b"/!$&'()*+,;=:@".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Decodes what need not be encoded, encodes what must be, in upper case.
fn recode(path: &[u8]) -> Result<String, BadTarget> {
    let mut recoded = String::with_capacity(path.len() + 8);
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let (byte, encoded) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                rest = tail;
                (hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low), true)
            }
            (b'%', _) => (None, true),
            _ => (Some(*first), false),
        };
        match byte.ok_or(BadTarget::BadEncoding)? {
            b'\\' => return Err(BadTarget::HiddenSlash),
            b'/' if encoded => return Err(BadTarget::HiddenSlash),
            0..0x20 | 0x7f => return Err(BadTarget::Control),
            byte if is_unreserved(byte) || (!encoded && is_path_char(byte)) => recoded.push(byte.into()),
            byte => recoded.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(recoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// RFC 3986 §5.2.4 for a path that is absolute (or `*`).
fn without_dot_segments(path: &str) -> String {
    let Some(relative) = path.strip_prefix('/') else { return path.to_owned() };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(path: &str, expected: Result<&str, BadTarget>) {
        assert_eq!(normal_path(path).as_deref().map_err(|error| *error), expected, "{path}");
    }

    #[test]
    fn a_normal_path_stays_as_it_is() {
        for path in ["/", "/api/bookings", "/a//b", "/a/b;c=d,e:f@g", "/~me/x.y", "*", "/a.b/c..d", "/'(!)*"]
        {
            check(path, Ok(path));
        }
    }

    #[test]
    fn dot_segments_are_resolved_however_they_are_written() {
        check("/a/./b", Ok("/a/b"));
        check("/a/../b", Ok("/b"));
        check("/a/b/..", Ok("/a/"));
        check("/a/b/.", Ok("/a/b/"));
        check("/../../etc/passwd", Ok("/etc/passwd"));
        check("/a/%2e%2E/b", Ok("/b"));
        check("/a/.%2e/%2e/b", Ok("/b"));
        check("/..", Ok("/"));
        check("/.", Ok("/"));
        check("/a//../b", Ok("/a/b"));
        check("/.well-known/x", Ok("/.well-known/x"));
        check("/...", Ok("/..."));
    }

    #[test]
    fn encoding_has_one_form() {
        check("/%41%7e%2d", Ok("/A~-"));
        check("/caf%c3%a9", Ok("/caf%C3%A9"));
        check("/a%3fb%23c%25", Ok("/a%3Fb%23c%25"));
        check("/a%20b", Ok("/a%20b"));
        check("/a%3ab:c", Ok("/a%3Ab:c"));
        check("/{id}\"é", Ok("/%7Bid%7D%22%C3%A9"));
    }

    #[test]
    fn what_servers_read_in_different_ways_is_refused() {
        for path in ["/a%2fb", "/a%2Fb", "/a\\b", "/a%5cb", "/..%5C"] {
            check(path, Err(BadTarget::HiddenSlash));
        }
        for path in ["/%00", "/a%0d%0ab", "/%7f", "/%1F"] {
            check(path, Err(BadTarget::Control));
        }
        for path in ["/%", "/%2", "/%zz", "/%%41", "/a%g0"] {
            check(path, Err(BadTarget::BadEncoding));
        }
    }

    #[test]
    fn the_query_is_left_alone() {
        let check = |target: &str, expected: &str| {
            let uri: Uri = target.parse().expect("a target");
            let got = normalise(&uri).expect("no refusal").unwrap_or(uri);
            assert_eq!(got.to_string(), expected);
        };
        check("/a/../b?x=%2f/../%zz", "/b?x=%2f/../%zz");
        check("/a?x=1", "/a?x=1");
        check("http://host:1/a/./b?x", "http://host:1/a/b?x");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing_more(path in "/[ -~é%./\\\\]{0,40}|/(%[0-9a-fA-F]{2}|[./a]){0,12}") {
            if let Ok(once) = normal_path(&path) {
                prop_assert_eq!(normal_path(&once), Ok(Cow::Borrowed(&*once)));
                prop_assert!(once.starts_with('/'));
                prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
            }
        }

        #[test]
        fn no_target_panics(target in ".{0,60}") {
            let _ = normal_path(&target);
            if let Ok(uri) = target.parse::<Uri>() {
                let _ = normalise(&uri);
            }
        }
    }
}
