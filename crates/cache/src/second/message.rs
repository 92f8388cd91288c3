//! What one cache tells the others that it has dropped, so that none of them goes on giving it from its memory.
//!
//! A line of JSON in the stream of invalidations. Pure.

use serde::{Deserialize, Serialize};

use crate::{groups::Group, key::Key, purge::Selector};

/// What one message names at most, and in how many bytes; of more, everything is dropped.
const MOST: usize = 4096;
const MOST_BYTES: usize = 1 << 20;

/// Answers to drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) keys: Vec<Key>,
    pub(crate) groups: Vec<Group>,
    pub(crate) prefixes: Vec<Key>,
    pub(crate) all: bool,
    /// They stay in memories, stale.
    pub(crate) soft: bool,
}

/// As it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prefixes: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    soft: bool,
}

impl Message {
    /// That nothing may be trusted any more.
    pub(crate) const ALL: Message =
        Message { keys: Vec::new(), groups: Vec::new(), prefixes: Vec::new(), all: true, soft: false };

    /// What a purge drops.
    pub(crate) fn of_purge(selector: &Selector, soft: bool) -> Message {
        let mut message = Message { soft, ..Message::default() };
        match selector {
            Selector::Url(key) => message.keys.push(key.clone()),
            Selector::Prefix(prefix) => message.prefixes.push(prefix.clone()),
            Selector::Group(group) => message.groups.push(*group),
            Selector::All => message.all = true,
        }
        message
    }

    /// Whether it drops nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.groups.is_empty() && self.prefixes.is_empty() && !self.all
    }

    /// What it selects, one by one.
    pub(crate) fn selectors(self) -> impl Iterator<Item = Selector> {
        let keys = self.keys.into_iter().map(Selector::Url);
        let groups = self.groups.into_iter().map(Selector::Group);
        let prefixes = self.prefixes.into_iter().map(Selector::Prefix);
        keys.chain(groups).chain(prefixes).chain(self.all.then_some(Selector::All))
    }

    /// Both in one, bounded; what was soft is no longer.
    pub(crate) fn and(mut self, other: Message) -> Message {
        self.keys.extend(other.keys);
        self.groups.extend(other.groups);
        self.prefixes.extend(other.prefixes);
        for keys in [&mut self.keys, &mut self.prefixes] {
            keys.sort_unstable_by(|one, other| one.text().cmp(other.text()));
            keys.dedup();
        }
        self.groups.sort_unstable();
        self.groups.dedup();
        let bytes: usize = self.keys.iter().chain(&self.prefixes).map(Key::len).sum();
        let count = self.keys.len() + self.groups.len() + self.prefixes.len();
        self.all |= other.all || count > MOST || bytes > MOST_BYTES;
        if self.all { Message::ALL } else { Message { soft: false, ..self } }
    }

    /// As text.
    pub(crate) fn write(&self) -> String {
        let text = |keys: &[Key]| keys.iter().map(|key| key.text().to_owned()).collect();
        let line = Line {
            keys: text(&self.keys),
            groups: self.groups.iter().map(|group| group.hex()).collect(),
            prefixes: text(&self.prefixes),
            all: self.all,
            soft: self.soft,
        };
        // Texts and switches cannot fail to be written; were it so, everything is dropped.
        serde_json::to_string(&line).unwrap_or_else(|_| r#"{"all":true}"#.to_owned())
    }

    /// From text. What cannot be read drops everything: nobody knows what it was about.
    pub(crate) fn read(text: &str) -> Message {
        let read = || -> Option<Message> {
            let line: Line = serde_json::from_str(text).ok()?;
            let keys =
                |texts: Vec<String>| texts.iter().map(|text| Key::from_text(text)).collect::<Option<_>>();
            Some(Message {
                keys: keys(line.keys)?,
                groups: line.groups.iter().map(|hex| Group::from_hex(hex)).collect::<Option<_>>()?,
                prefixes: keys(line.prefixes)?,
                all: line.all,
                soft: line.soft,
            })
        };
        read().filter(|message| !message.is_empty()).unwrap_or(Message::ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::asked;

    fn key(target: &str) -> Key {
        asked(http::Method::GET, target, &[]).key
    }

    #[test]
    fn what_was_written_is_read() {
        let check = |message: Message, expected: &str| {
            assert_eq!(message.write(), expected);
            assert_eq!(Message::read(expected), message);
        };
        let group = Group::of(&key("/"), "list");
        check(
            Message { keys: vec![key("/a?b"), key("/\"c")], ..Message::default() },
            r#"{"keys":["http://e/a?b","http://e/\"c"]}"#,
        );
        check(
            Message { groups: vec![group], soft: true, ..Message::default() },
            &format!(r#"{{"groups":["{}"],"soft":true}}"#, group.hex()),
        );
        check(Message { prefixes: vec![key("/a")], ..Message::default() }, r#"{"prefixes":["http://e/a"]}"#);
        check(Message::ALL, r#"{"all":true}"#);
    }

    #[test]
    fn what_cannot_be_read_drops_everything() {
        for text in ["", "{}", "x", r#"{"keys":["a"]}"#, r#"{"groups":["x"]}"#, r#"{"keys":1}"#] {
            assert_eq!(Message::read(text), Message::ALL, "{text}");
        }
    }

    #[test]
    fn together_they_are_bounded() {
        let one = |nth: usize| Message { keys: vec![key(&format!("/{nth}"))], ..Message::default() };
        let some = (0..MOST).map(one).fold(Message::default(), Message::and);
        assert_eq!((some.keys.len(), some.all), (MOST, false));
        assert_eq!(some.clone().and(one(7)), some, "named once");
        assert_eq!(some.and(one(MOST)), Message::ALL);
        let long = |nth: usize| Message {
            prefixes: vec![key(&format!("/{nth}{}", "x".repeat(9000)))],
            ..Message::default()
        };
        assert_eq!((0..200).map(long).fold(Message::default(), Message::and), Message::ALL);
        assert_eq!(Message::ALL.and(one(1)), Message::ALL);
    }
}
