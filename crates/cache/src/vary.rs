//! Which variant a request selects (RFC 9111 §4.1).
//!
//! Promises: every line of each field named counts, absent differs from empty, white space around list members does
//! not; a request that differs in any of them never matches.

use http::{HeaderMap, HeaderName, header};

use crate::language;

/// Fields that are new on every request; an answer that names one in `Vary` could never be used again.
const PER_REQUEST: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The fields an answer varies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Vary {
    /// On these request fields, possibly none.
    Fields(Vec<HeaderName>),
    /// `*`, a name that is none, or a field that no two requests share: no other request matches.
    Any,
}

/// Reads every `Vary` line.
pub(crate) fn read(fields: &HeaderMap) -> Vary {
    let mut names = Vec::new();
    for line in fields.get_all(header::VARY) {
        for name in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if name.is_empty() {
                continue;
            }
            match HeaderName::from_bytes(name) {
                Ok(name) if name != "*" && !PER_REQUEST.contains(&name.as_str()) => names.push(name),
                // What is no field name selects by something we cannot see, as `*` does.
                _ => return Vary::Any,
            }
        }
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Vary::Fields(names)
}

/// The values, in one request, of the fields that an answer varies on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    parts: Box<[(HeaderName, Value)]>,
    /// The language that the answer is in, where whoever prefers that may have it, too.
    spoken: Option<Box<str>>,
}

/// Two answers of which one takes the other's place.
impl PartialEq for Selection {
    fn eq(&self, other: &Selection) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Selection {}

/// A field's lines as one list; `None` where there is none.
pub(crate) type Value = Option<Box<[u8]>>;

impl Selection {
    /// Takes them from the request that was answered.
    pub(crate) fn of(names: Vec<HeaderName>, request: &HeaderMap) -> Selection {
        let with_value = |name: HeaderName| {
            let value = normalised(request, &name).map(Vec::into_boxed_slice);
            (name, value)
        };
        Selection { parts: names.into_iter().map(with_value).collect(), spoken: None }
    }

    /// Whether every request would have been answered the same.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether this request would have been answered the same.
    pub(crate) fn matches(&self, request: &HeaderMap) -> bool {
        let same =
            |name: &HeaderName, value: &Value| normalised(request, name).as_deref() == value.as_deref();
        self.parts.iter().all(|(name, value)| {
            same(name, value) || name == header::ACCEPT_LANGUAGE && self.is_preferred_by(request)
        })
    }

    fn is_preferred_by(&self, request: &HeaderMap) -> bool {
        self.spoken.as_deref().is_some_and(|spoken| language::preferred(request).as_deref() == Some(spoken))
    }

    /// The same, from its parts.
    pub(crate) fn from_parts(parts: Vec<(HeaderName, Value)>) -> Selection {
        Selection { parts: parts.into(), spoken: None }
    }

    /// Its names, in order, each with the value that a request must have to select it.
    pub(crate) fn parts(&self) -> &[(HeaderName, Value)] {
        &self.parts
    }

    /// The same for an answer in this language, for whoever prefers that to all others.
    pub(crate) fn speaking(self, language: Option<String>) -> Selection {
        Selection { spoken: language.map(String::into_boxed_str), ..self }
    }

    /// Bytes it keeps.
    pub(crate) fn weight(&self) -> usize {
        let one = |(name, value): &(HeaderName, Value)| {
            name.as_str().len() + value.as_ref().map_or(0, |value| value.len()) + size_of_val(name) + 16
        };
        self.parts.iter().map(one).sum::<usize>() + self.spoken.as_ref().map_or(0, |spoken| spoken.len())
    }
}

/// All lines of a field as one list, without white space around its members; `None` where there is none.
/// A quoted string stays as it is.
fn normalised(request: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut lines = request.get_all(name).iter().peekable();
    lines.peek()?;
    let mut joined = Vec::new();
    for (nth, line) in lines.enumerate() {
        if nth > 0 {
            joined.push(b',');
        }
        let (mut quoted, mut escaped) = (false, false);
        for member in line.as_bytes().split_inclusive(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => return *byte == b',' && !quoted,
            }
            false
        }) {
            match member.strip_suffix(b",") {
                Some(member) => {
                    joined.extend_from_slice(member.trim_ascii());
                    joined.push(b',');
                }
                None => joined.extend_from_slice(member.trim_ascii()),
            }
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fields;

    #[test]
    fn every_line_of_vary_counts() {
        let check = |lines: &[(&str, &str)], expected: Option<&[&'static str]>| {
            let expected = expected.map_or(Vary::Any, |names| {
                Vary::Fields(names.iter().map(|name| HeaderName::from_static(name)).collect())
            });
            assert_eq!(read(&fields(lines)), expected, "{lines:?}");
        };
        check(&[], Some(&[]));
        check(&[("vary", "Accept , accept-encoding,,ACCEPT")], Some(&["accept", "accept-encoding"]));
        check(&[("vary", "accept"), ("vary", "x-b")], Some(&["accept", "x-b"]));
        check(&[("vary", "accept"), ("vary", "*")], None);
        check(&[("vary", "accept, *")], None);
        check(&[("vary", "a b")], None);
        check(&[("vary", "TraceParent")], None);
    }

    #[test]
    fn who_prefers_its_language_selects_an_answer_that_says_so() {
        let check = |names: &[&'static str], spoken: Option<&str>, asked: &[(&str, &str)], expected: bool| {
            let names = names.iter().map(|name| HeaderName::from_static(name)).collect();
            let stored = fields(&[("accept-language", "de, en"), ("a", "1")]);
            let selection = Selection::of(names, &stored).speaking(spoken.map(str::to_owned));
            assert_eq!(selection.matches(&fields(asked)), expected, "{spoken:?} {asked:?}");
        };
        let german = ("accept-language", "fr;q=0.5, de");
        check(&["accept-language"], None, &[german], false);
        check(&["accept-language"], Some("de"), &[german], true);
        check(&["accept-language"], Some("en"), &[german], false);
        check(&["accept-language"], Some("de"), &[("accept-language", "de, fr")], false);
        check(&["accept-language"], Some("de"), &[], false);
        check(&["a", "accept-language"], Some("de"), &[german], false);
        check(&["a", "accept-language"], Some("de"), &[german, ("a", "1")], true);
    }

    #[test]
    fn a_request_matches_only_with_equal_fields() {
        let check = |stored: &[(&str, &str)], asked: &[(&str, &str)], expected: bool| {
            let names = vec![HeaderName::from_static("a"), HeaderName::from_static("b")];
            let selection = Selection::of(names, &fields(stored));
            assert_eq!(selection.matches(&fields(asked)), expected, "{stored:?} {asked:?}");
        };
        check(&[], &[], true);
        check(&[], &[("c", "1")], true);
        check(&[], &[("a", "")], false);
        check(&[("a", "1")], &[], false);
        check(&[("a", "1")], &[("a", "1"), ("b", "2")], false);
        check(&[("a", "1, 2")], &[("a", "1"), ("a", " 2 ")], true);
        check(&[("a", "1 ,2")], &[("a", "1,2")], true);
        check(&[("a", "1"), ("a", "2")], &[("a", "1"), ("a", "3")], false);
        check(&[("a", "1"), ("a", "2")], &[("a", "1")], false);
        check(&[("a", "1")], &[("a", "1"), ("a", "2")], false);
        check(&[("a", "x y")], &[("a", "xy")], false);
        check(&[("a", "X")], &[("a", "x")], false);
        check(&[("a", "\"1 , 2\"")], &[("a", "\"1,2\"")], false);
    }
}
