//! Groups of answers: an answer says in `Cache-Groups` which it belongs to, a write in `Cache-Group-Invalidation` which
//! it has made wrong (RFC 9875).
//!
//! Promises: groups of one name on two origins are two groups; a field that is no List of Strings is ignored whole, as
//! RFC 9651 §4.2 asks. Refuses: cascades. What falls with its group takes no other group along (RFC 9875 §2.2.1).

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, List, ListEntry};
use sha2::{Digest, Sha256};

use crate::{key::Key, structured};

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// Groups of one field that count; RFC 9875 §2 asks for 32 at least. Names may be as long as the field.
const MOST: usize = 128;

/// What belonging to a group costs: the key's place in the group and, at worst, the group's own.
pub(crate) const MEMBER: usize = 256;

/// One group of one origin, by a digest of both that is the same in every process: should two ever share it, one falls
/// with the other, which costs a fetch too many and never a wrong answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Group(u64);

impl Group {
    /// The group of this name on a key's origin: its scheme, host and port (RFC 9875 §2.1).
    pub(crate) fn of(key: &Key, name: &str) -> Group {
        // No origin holds a space.
        let digest = Sha256::new().chain_update(key.origin()).chain_update(" ").chain_update(name).finalize();
        Group(digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// 16 hexadecimal digits.
    pub(crate) fn hex(self) -> String {
        format!("{:016x}", self.0)
    }

    /// What [`Group::hex`] wrote.
    pub(crate) fn from_hex(hex: &str) -> Option<Group> {
        u64::from_str_radix(hex, 16).ok().map(Group)
    }
}

/// The groups that an answer to `key` belongs to, each once.
pub(crate) fn of_answer(key: &Key, answer: &HeaderMap) -> Box<[Group]> {
    read(key, answer, &CACHE_GROUPS)
}

/// The groups that the answer to a write of `key` invalidates. Whether it was one is for the caller to know: on
/// answers to safe methods the field must be ignored (RFC 9875 §3).
pub(crate) fn invalidated(key: &Key, answer: &HeaderMap) -> Box<[Group]> {
    read(key, answer, &CACHE_GROUP_INVALIDATION)
}

fn read(key: &Key, fields: &HeaderMap, name: &HeaderName) -> Box<[Group]> {
    let Some(list) = structured::read::<List>(fields, name) else { return Box::default() };
    let name = |entry: &ListEntry| match entry {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(name) => Some(Group::of(key, name.as_str())),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    };
    let mut groups: Vec<Group> = list.iter().map(name).collect::<Option<_>>().unwrap_or_default();
    groups.truncate(MOST);
    groups.sort_unstable();
    groups.dedup();
    groups.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{asked, fields};
    use proptest::prelude::*;

    fn key(host: &str) -> Key {
        asked(http::Method::GET, "/a", &[("host", host)]).key
    }

    fn check(lines: &[&str], expected: &[&str]) {
        let key = key("e");
        let lines: Vec<_> = lines.iter().map(|line| ("cache-groups", *line)).collect();
        let mut expected: Vec<_> = expected.iter().map(|name| Group::of(&key, name)).collect();
        expected.sort_unstable();
        assert_eq!(*of_answer(&key, &fields(&lines)), *expected, "{lines:?}");
    }

    #[test]
    fn groups_are_a_list_of_strings() {
        check(&[], &[]);
        check(&[""], &[]);
        check(&[r#""a""#], &["a"]);
        check(&[r#""a", "b" ,"a""#], &["a", "b"]);
        check(&[r#""a""#, r#""b""#], &["a", "b"]);
        check(&[r#""a, b", "\"c\\""#], &["a, b", "\"c\\"]);
        check(&[r#""""#], &[""]);
    }

    #[test]
    fn parameters_are_passed_over() {
        check(&[r#""a";x, "b";y=1;z="q", "c";d=@1;e=:aGk=:"#], &["a", "b", "c"]);
    }

    #[test]
    fn what_is_no_list_of_strings_is_ignored_whole() {
        for field in
            ["a", "\"a\", b", "\"a\", 1", "\"a\", (\"b\")", "\"a", "\"a\",", "\"a\" \"b\"", "\"\u{e9}\""]
        {
            check(&[field], &[]);
        }
        check(&[r#""a""#, "b"], &[]);
    }

    #[test]
    fn groups_are_those_of_their_origin_and_case_counts() {
        assert_eq!(Group::of(&key("e"), "a"), Group::of(&key("E:80"), "a"));
        for (host, name) in [("f", "a"), ("e:81", "a"), ("e", "A"), ("e", "a ")] {
            assert_ne!(Group::of(&key("e"), "a"), Group::of(&key(host), name), "{host} {name}");
        }
        let secure = asked(http::Method::GET, "https://e/a", &[]).key;
        assert_ne!(Group::of(&key("e"), "a"), Group::of(&secure, "a"));
    }

    #[test]
    fn as_many_groups_as_must_be_count_and_no_end_of_them_does_not() {
        let named = |count: usize| (0..count).map(|nth| format!("{nth:032}")).collect::<Vec<_>>();
        let count = |names: &[String]| {
            let text = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            of_answer(&key("e"), &fields(&[("cache-groups", &text)])).len()
        };
        assert_eq!(count(&named(32)), 32);
        assert_eq!(count(&named(MOST + 1)), MOST);
        assert_eq!(count(&["n".repeat(4000)]), 1);
    }

    #[test]
    fn each_field_is_read_for_itself() {
        let answer = fields(&[("cache-groups", "\"a\""), ("cache-group-invalidation", "\"b\"")]);
        let key = key("e");
        assert_eq!(*of_answer(&key, &answer), [Group::of(&key, "a")]);
        assert_eq!(*invalidated(&key, &answer), [Group::of(&key, "b")]);
    }

    proptest! {
        #[test]
        fn any_field_is_read_or_ignored(line in "[ -~]{0,60}") {
            of_answer(&key("e"), &fields(&[("cache-groups", &line)]));
        }
    }
}
