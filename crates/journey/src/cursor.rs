//! A place in JSON text that moves on: objects and lists are walked through, what is not wanted is passed over without being
//! built.
//!
//! As strict as RFC 8259: whatever is passed over has been checked, so that half a line is never taken for a whole one.
//! `None` says that the text is no JSON from there on. Nesting costs memory (a bit of it), not stack.

use std::borrow::Cow;

/// Values that are nested deeper cannot be built: serde_json's own limit.
const DEEPEST: usize = 127;

/// The place.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    /// How many bytes lie behind it.
    pub(crate) at: usize,
    /// Objects and lists around it.
    depth: usize,
    /// The deepest of them since [`Cursor::is_sound`] was asked for.
    deepest: usize,
    /// Whether there was a text that is none, or a number that no computer holds.
    is_odd: bool,
    /// Of each object or list within the value that is passed over, whether it is an object.
    open: Vec<bool>,
}

/// Text, a number or a truth value; whatever else stands there is nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Scalar<'a> {
    #[default]
    Nothing,
    Text(Cow<'a, str>),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Truth(bool),
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, deepest: 0, is_odd: false, open: Vec::new() }
    }

    /// The text from `from` up to here.
    pub(crate) fn since(&self, from: usize) -> &'a str {
        &self.text[from..self.at]
    }

    /// The next byte that is no space; stays before it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    /// Walks through an object: `take` gets each member's name, with the cursor before its value, and must pass it.
    pub(crate) fn members(&mut self, mut take: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        self.enter(b'{')?;
        if self.is_next(b'}')? {
            return self.leave();
        }
        loop {
            let name = self.name()?;
            take(self, &name)?;
            if self.is_next(b'}')? {
                return self.leave();
            }
            self.expect(b',')?;
        }
    }

    /// Walks through a list: `take` is called with the cursor before each value, and must pass it.
    pub(crate) fn items(&mut self, mut take: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.enter(b'[')?;
        if self.is_next(b']')? {
            return self.leave();
        }
        loop {
            take(self)?;
            if self.is_next(b']')? {
                return self.leave();
            }
            self.expect(b',')?;
        }
    }

    /// Passes a value and says what it is, if it is a scalar.
    pub(crate) fn scalar(&mut self) -> Option<Scalar<'a>> {
        Some(match self.peek()? {
            b'"' => Scalar::Text(self.string()?),
            b'-' | b'0'..=b'9' => {
                let from = self.at;
                self.pass_number()?;
                number(self.since(from))
            }
            b't' => self.word("true").map(|()| Scalar::Truth(true))?,
            b'f' => self.word("false").map(|()| Scalar::Truth(false))?,
            _ => self.pass().map(|()| Scalar::Nothing)?,
        })
    }

    /// Passes any value.
    pub(crate) fn pass(&mut self) -> Option<()> {
        let around = self.open.len();
        loop {
            match self.peek()? {
                b'"' => self.pass_string().map(drop)?,
                b'{' => {
                    self.enter(b'{')?;
                    if !self.is_next(b'}')? {
                        self.open.push(true);
                        self.name()?;
                        continue;
                    }
                    self.leave()?;
                }
                b'[' => {
                    self.enter(b'[')?;
                    if !self.is_next(b']')? {
                        self.open.push(false);
                        continue;
                    }
                    self.leave()?;
                }
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.pass_number()?,
            }
            // A value is over: perhaps those around it are as well.
            loop {
                if self.open.len() == around {
                    return Some(());
                }
                let is_object = self.open[self.open.len() - 1];
                if !self.is_next(if is_object { b'}' } else { b']' })? {
                    self.expect(b',')?;
                    if is_object {
                        self.name()?;
                    }
                    break;
                }
                self.open.pop();
                self.leave()?;
            }
        }
    }

    /// From here on, until [`Cursor::is_sound`] is asked for.
    pub(crate) fn mark(&mut self) -> usize {
        (self.deepest, self.is_odd) = (self.depth, false);
        self.depth
    }

    /// Whether all since [`Cursor::mark`] answered `mark` can be built as values.
    pub(crate) fn is_sound(&self, mark: usize) -> bool {
        !self.is_odd && self.deepest - mark <= DEEPEST
    }

    fn enter(&mut self, open: u8) -> Option<()> {
        self.expect(open)?;
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        Some(())
    }

    fn leave(&mut self) -> Option<()> {
        self.at += 1;
        self.depth -= 1;
        Some(())
    }

    fn is_next(&mut self, byte: u8) -> Option<bool> {
        self.peek().map(|next| next == byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A member's name and the colon after it.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        if self.peek()? != b'"' {
            return None;
        }
        let name = self.string()?;
        self.expect(b':')?;
        Some(name)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let from = self.at;
        let is_escaped = self.pass_string()?;
        let quoted = self.since(from);
        if !is_escaped {
            return Some(Cow::Borrowed(&quoted[1..quoted.len() - 1]));
        }
        // Half of a pair of surrogates is no text.
        Some(Cow::Owned(serde_json::from_str(quoted).unwrap_or_default()))
    }

    /// Passes a text; whether something in it is written in another way.
    fn pass_string(&mut self) -> Option<bool> {
        let bytes = self.text.as_bytes();
        let (mut at, mut is_escaped) = (self.at + 1, false);
        loop {
            while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
                let special = special(u64::from_le_bytes(*eight));
                if special != 0 {
                    at += special.trailing_zeros() as usize / 8;
                    break;
                }
                at += 8;
            }
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    at = self.pass_escape(at)?;
                }
                0..0x20 => return None,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Some(is_escaped)
    }

    /// Where what is written as an escape at `at` ends.
    fn pass_escape(&mut self, at: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        match bytes.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
            b'u' => {
                let high = unit(bytes, at)?;
                let is_pair = || unit(bytes, at + 6).is_some_and(|low| (0xdc00..0xe000).contains(&low));
                match high {
                    0xd800..0xdc00 if is_pair() => Some(at + 12),
                    0xd800..0xe000 => {
                        self.is_odd = true;
                        Some(at + 6)
                    }
                    _ => Some(at + 6),
                }
            }
            _ => None,
        }
    }

    fn pass_number(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        let from = self.at;
        let digits = |mut at: usize| {
            let first = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            (at > first).then_some(at)
        };
        let mut at = from + usize::from(bytes.get(from) == Some(&b'-'));
        at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
        let mut may_be_huge = at - from > 300;
        if bytes.get(at) == Some(&b'.') {
            at = digits(at + 1)?;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            at = digits(at)?;
            may_be_huge = true;
        }
        self.at = at;
        self.is_odd |= may_be_huge && self.since(from).parse::<f64>().is_ok_and(f64::is_infinite);
        Some(())
    }
}

/// The UTF-16 unit that is written as `\uXXXX` at `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = bytes.get(at..at + 6)? else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// The lowest bit that is set lies in the first of eight bytes that is a quote, a backslash or a control character.
fn special(eight: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGH;
    let is = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    is(b'"') | is(b'\\') | below(eight, 0x20)
}

fn number(text: &str) -> Scalar<'static> {
    let whole = text.parse().map(Scalar::Unsigned).ok();
    let signed = || text.parse().ok().filter(|number| *number != 0).map(Scalar::Signed);
    let float = || text.parse().map(Scalar::Float).unwrap_or_default();
    whole.or_else(signed).unwrap_or_else(float)
}

impl Scalar<'_> {
    /// As a person reads it.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Nothing => return None,
            Self::Text(text) => Cow::Borrowed(text),
            Self::Unsigned(number) => number.to_string().into(),
            Self::Signed(number) => number.to_string().into(),
            // With `.0` where it is whole, as JSON has it.
            Self::Float(number) => format!("{number:?}").into(),
            Self::Truth(truth) => truth.to_string().into(),
        })
    }

    /// Nanoseconds, written as text or as a number; 0 if they are not.
    pub(crate) fn nanoseconds(&self) -> u64 {
        match self {
            Self::Text(text) => text.parse().unwrap_or(0),
            Self::Unsigned(number) => *number,
            // Writers that keep numbers as floats lose the last digits, no more.
            Self::Float(number) => *number as u64,
            Self::Nothing | Self::Signed(_) | Self::Truth(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;

    use super::*;

    /// Whether `text` is one value and nothing after it, and whether that could be built.
    fn pass(text: &str) -> (bool, bool) {
        let mut cursor = Cursor::new(text);
        let mark = cursor.mark();
        let is_json = cursor.pass().is_some() && cursor.peek().is_none();
        (is_json, is_json && cursor.is_sound(mark))
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
        let can_be_built = serde_json::from_str::<Value>(text).is_ok();
        prop_assert_eq!(pass(text), (is_json, can_be_built), "{}", text);
        let scalar = Cursor::new(text).scalar();
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            let expected = match value {
                Value::String(text) => Some(text),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(truth) => Some(truth.to_string()),
                _ => None,
            };
            let told = scalar.unwrap().text().map(Cow::into_owned);
            // Floats are told with other exponents.
            let value = |text: &String| text.parse::<f64>().ok();
            prop_assert!(
                told == expected || told.as_ref().and_then(value) == expected.as_ref().and_then(value)
            );
        }
        Ok(())
    }

    #[test]
    fn what_is_json_is_what_serde_json_takes_for_it() {
        for text in [
            "",
            " ",
            "{}",
            "[]",
            "[[]]",
            "{\"a\":{}}",
            "{\"a\":1,}",
            "{,}",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{1:2}",
            "[1 2]",
            "nul",
            "null",
            "true",
            "tru",
            "falsee",
            "\"",
            "\"a",
            "\"a\"",
            "\"\\\"",
            "\"\\u12\"",
            "\"\\u00e9\"",
            "\"\\ud800\"",
            "\"\\ud83d\\ude00\"",
            "\"\\udc00\"",
            "\"\\x\"",
            "\"\n\"",
            "\"\u{7f}é\u{1f600}\"",
            "01",
            "-",
            "-0",
            "1.",
            ".5",
            "1.5e",
            "1e5",
            "1e999",
            "-1e-999",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            " [ 1 , {\"a\" : [ ] } ] ",
            "[}",
            "{]",
            "]",
            "}",
            "[[1],[2",
            "\"12345678\\n90123456\"",
            "{\"a\":1}x",
        ] {
            agrees(text).unwrap();
        }
        for depth in [126, 127, 128, 100_000] {
            agrees(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))).unwrap();
            agrees(&"{\"a\":".repeat(depth)).unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_as_by_serde_json(text in "[\\[\\]{}\",:0-9a-f.eE+\\-\\\\u\n truefalsn]{0,24}") {
            agrees(&text)?;
        }

        #[test]
        fn any_value_with_a_flaw_is_judged_as_by_serde_json(
            texts in proptest::collection::vec("[^\u{0}]{0,20}", 0..4),
            number in any::<f64>(),
            whole in any::<i64>(),
            at in 0..200_usize,
            flaw in proptest::option::of("[\\[\\]{}\",:\\\\]"),
        ) {
            let value = serde_json::json!({"a": texts, "b": {"c": number, "d": [whole, null, true, {}]}, "e": texts.concat()});
            let mut text = value.to_string();
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            if let Some(flaw) = flaw {
                text.insert_str(at, &flaw);
            }
            agrees(&text)?;
        }
    }
}
