//! Groups of answers (RFC 9875): by them a cache drops, with one write, the lists that the written booking was in, is in, or
//! could be in. Pure: what an answer shows or a write changes in, a field out.
//!
//! | group | answers in it | invalidated by a write of a booking |
//! |---|---|---|
//! | `list` | lists of all resources | of any resource |
//! | `list:ROOM` | lists of the resource `ROOM` | of `ROOM`, before or after it |
//! | `resource:ROOM` | those lists, and each booking of `ROOM` | by none: for an operator, who purges all that shows it |
//!
//! A booking is in no group that writes of others invalidate: its own path is enough for it.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// Longest resource that is written out: a cache need not know names of more than 32 characters (RFC 9875 §2).
const LONGEST: usize = 22;

/// What an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    /// One booking, of this resource.
    Booking(&'a str),
    /// A list, of one resource or of all.
    List(Option<&'a str>),
}

/// Says which groups an answer is in.
pub(crate) fn show(headers: &mut HeaderMap, shown: Shown<'_>) {
    let groups = match shown {
        Shown::Booking(resource) => vec![named("resource", resource)],
        Shown::List(Some(resource)) => vec![named("list", resource), named("resource", resource)],
        Shown::List(None) => vec!["list".to_owned()],
    };
    set(headers, CACHE_GROUPS, groups);
}

/// Says which groups a write has changed: those of every resource that its booking was of, before or after.
pub(crate) fn invalidate<'a>(headers: &mut HeaderMap, resources: impl IntoIterator<Item = &'a str>) {
    let mut groups = vec!["list".to_owned()];
    let resources: BTreeSet<&str> = resources.into_iter().collect();
    groups.extend(resources.into_iter().map(|resource| named("list", resource)));
    set(headers, CACHE_GROUP_INVALIDATION, groups);
}

/// A resource that is no short and plain word is named by its digest, behind a mark that no plain word follows.
fn named(kind: &str, resource: &str) -> String {
    let is_plain = |one: u8| one.is_ascii_graphic() && one != b'"' && one != b'\\';
    if resource.len() <= LONGEST && resource.bytes().all(is_plain) {
        return format!("{kind}:{resource}");
    }
    let hash = Sha256::digest(resource.as_bytes());
    format!("{kind}#{}", URL_SAFE_NO_PAD.encode(&hash[..16]))
}

/// A List of Strings (RFC 9651 §3.1).
fn set(headers: &mut HeaderMap, name: HeaderName, groups: Vec<String>) {
    let quoted: Vec<String> = groups.iter().map(|group| format!("\"{group}\"")).collect();
    let value = HeaderValue::try_from(quoted.join(", ")).expect("groups are visible ASCII without quotes");
    headers.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(shown: Shown<'_>) -> String {
        let mut headers = HeaderMap::new();
        show(&mut headers, shown);
        headers["cache-groups"].to_str().unwrap().to_owned()
    }

    fn invalidated(resources: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        invalidate(&mut headers, resources.iter().copied());
        headers["cache-group-invalidation"].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_answer_is_in_the_groups_of_what_it_may_show() {
        assert_eq!(shown(Shown::Booking("room-1")), r#""resource:room-1""#);
        assert_eq!(shown(Shown::List(Some("room-1"))), r#""list:room-1", "resource:room-1""#);
        assert_eq!(shown(Shown::List(None)), r#""list""#);
    }

    #[test]
    fn a_write_invalidates_the_lists_of_where_it_was_and_is() {
        assert_eq!(invalidated(&["room-1"]), r#""list", "list:room-1""#);
        assert_eq!(invalidated(&["room-1", "room-1"]), r#""list", "list:room-1""#);
        assert_eq!(invalidated(&["hall", "room-1"]), r#""list", "list:hall", "list:room-1""#);
    }

    #[test]
    fn what_is_not_short_and_plain_is_named_by_its_digest() {
        let check = |resource: &str, plain: bool| {
            let name = named("list", resource);
            assert_eq!(name == format!("list:{resource}"), plain, "{name}");
            assert_eq!(name.starts_with("list#"), !plain, "{name}");
        };
        check("#", true);
        check(&"x".repeat(LONGEST), true);
        check(&"x".repeat(LONGEST + 1), false);
        check("room 1", false);
        check("a\"b", false);
        check("a\\b", false);
        check("Bücherei", false);
        assert_ne!(named("list", "room 1"), named("list", "room 2"));
    }

    proptest! {
        /// Whatever a resource is called, a write of it names a group that its lists are in, in characters that any
        /// cache has to know.
        #[test]
        fn a_write_reaches_the_lists_of_its_resource(resource in "[^\u{0}\n\r]{1,200}") {
            let lists = shown(Shown::List(Some(&resource)));
            let (list, _) = lists.split_once(", ").unwrap();
            prop_assert_eq!(invalidated(&[&resource]), format!("\"list\", {list}"));
            prop_assert!(lists.split(", ").all(|group| group.len() <= 34 && group.is_ascii()), "{}", lists);
        }
    }
}
