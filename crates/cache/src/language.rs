//! `Accept-Language` as a list of preferences (RFC 9110 §12.5.4), for sites that tell the cache to read it so.
//!
//! Promises: what cannot be read stays as it came, and selects only what was asked for with the same text.

use http::{HeaderMap, HeaderValue, header};

/// Puts a request's preferences in one form: in lower case, the most wanted first, equals in alphabetical order. The
/// origin is asked in this form, too, so that what is stored is what it says to that.
pub(crate) fn normalise(request: &mut HeaderMap) {
    if let Some(preferences) = read(request)
        && let Ok(value) = HeaderValue::from_str(&write(&preferences))
    {
        request.insert(header::ACCEPT_LANGUAGE, value);
    }
}

/// The one language that a request wants more than any other.
pub(crate) fn preferred(request: &HeaderMap) -> Option<String> {
    let mut preferences = read(request)?.into_iter();
    let (language, most) = preferences.next()?;
    let only = preferences.next().is_none_or(|(_, next)| next < most);
    (only && most > 0 && language != "*").then_some(language)
}

/// The one language that an answer is in.
pub(crate) fn spoken(answer: &HeaderMap) -> Option<String> {
    let mut lines = answer.get_all(header::CONTENT_LANGUAGE).iter();
    let only = lines.next().filter(|_| lines.next().is_none())?;
    let language = only.to_str().ok()?.trim().to_ascii_lowercase();
    is_range(&language).then_some(language)
}

/// Languages with their weights in thousandths, in the one order. `None` where there are none, or where any of it is
/// unreadable.
fn read(request: &HeaderMap) -> Option<Vec<(String, u16)>> {
    let mut preferences = Vec::new();
    for line in request.get_all(header::ACCEPT_LANGUAGE) {
        for member in line.to_str().ok()?.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            let (language, weight) = match member.split_once(';') {
                None => (member, 1000),
                Some((language, weight)) => (language.trim_end(), thousandths(weight.trim())?),
            };
            let language = language.to_ascii_lowercase();
            if !is_range(&language) {
                return None;
            }
            preferences.push((language, weight));
        }
    }
    preferences.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    preferences.dedup();
    (!preferences.is_empty()).then_some(preferences)
}

fn write(preferences: &[(String, u16)]) -> String {
    let members = preferences.iter().map(|(language, weight)| match weight {
        1000 => language.clone(),
        weight => format!("{language};q=0.{weight:03}"),
    });
    members.collect::<Vec<_>>().join(", ")
}

/// RFC 9110 §12.4.2.
fn thousandths(weight: &str) -> Option<u16> {
    let text = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let decimals: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

/// RFC 4647 §2.1.
fn is_range(language: &str) -> bool {
    let part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    language == "*" || language.split('-').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fields;
    use proptest::prelude::*;

    fn normalised(lines: &[&str]) -> Vec<String> {
        let lines: Vec<_> = lines.iter().map(|line| ("accept-language", *line)).collect();
        let mut request = fields(&lines);
        normalise(&mut request);
        let values = request.get_all("accept-language").iter();
        values.map(|value| value.to_str().expect("text").to_owned()).collect()
    }

    #[test]
    fn order_and_case_make_no_difference() {
        let check = |lines: &[&str], expected: &[&str]| assert_eq!(normalised(lines), expected, "{lines:?}");
        check(&[], &[]);
        check(&["en, de"], &["de, en"]);
        check(&["de,EN"], &["de, en"]);
        check(&["fr;q=0.5, de;q=1.0"], &["de, fr;q=0.500"]);
        check(&["de-AT;q=0.9 , *;q=0.1", "en"], &["en, de-at;q=0.900, *;q=0.100"]);
        for unreadable in ["en;q=2", "en;x=1", "en_US", "en;q=0.1234", "e n", "toolongatag"] {
            check(&[unreadable], &[unreadable]);
        }
    }

    #[test]
    fn one_language_is_preferred_or_none_is() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(preferred(&fields(&[("accept-language", line)])).as_deref(), expected, "{line}");
        };
        check("fr;q=0.5, DE;q=1.0", Some("de"));
        check("de", Some("de"));
        check("de, en", None);
        check("*", None);
        check("de;q=0", None);
        check("de;q=x", None);
    }

    #[test]
    fn an_answer_speaks_one_language() {
        let check = |lines: &[(&str, &str)], expected: Option<&str>| {
            assert_eq!(spoken(&fields(lines)).as_deref(), expected, "{lines:?}");
        };
        check(&[("content-language", " De ")], Some("de"));
        check(&[("content-language", "de, en")], None);
        check(&[("content-language", "de"), ("content-language", "en")], None);
        check(&[], None);
    }

    proptest! {
        #[test]
        fn the_form_is_its_own(line in "[a-zA-Z,;=q0-9. *-]{0,40}") {
            let once = normalised(&[&line]);
            let again: Vec<&str> = once.iter().map(String::as_str).collect();
            prop_assert_eq!(normalised(&again), once.clone());
        }
    }
}
