//! An error as it is written down: `exception.type` and `exception.message` with the whole chain of causes.
//!
//! Promises: bounded work and bounded text, whatever the error's `Display` and `Debug` do with their space.

use std::{
    error::Error,
    fmt::{self, Write},
};

/// More of a message than this is cut: no error needs it, and a line must stay a line that one can read.
const LONGEST_MESSAGE: usize = 4096;
/// An error that is its own cause must not hold a request forever.
const LONGEST_CHAIN: usize = 32;

/// An error's type and its chain of causes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    /// The name the error's own `Debug` begins with: a trait object does not know its type any more.
    pub(crate) kind: String,
    /// The error and its causes, outermost first, joined by `: `.
    pub(crate) message: String,
}

impl Exception {
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Exception {
        let mut kind = Bounded { text: String::new(), room: 128, until_name_ends: true };
        // Both writers answer `Err` when they have enough; that is no failure.
        let _ = write!(kind, "{error:?}");
        let mut message = Bounded { text: String::new(), room: LONGEST_MESSAGE, until_name_ends: false };
        let causes = std::iter::successors(Some(error), |&error| error.source()).take(LONGEST_CHAIN);
        for (depth, cause) in causes.enumerate() {
            let separator = if depth == 0 { "" } else { ": " };
            if write!(message, "{separator}{cause}").is_err() {
                break;
            }
        }
        Exception { kind: kind.text, message: message.text }
    }
}

/// Collects text up to a bound, then refuses more, which stops the formatting behind it.
struct Bounded {
    text: String,
    room: usize,
    until_name_ends: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let ends =
                self.until_name_ends && !(character.is_alphanumeric() || matches!(character, '_' | ':'));
            if ends || self.room < character.len_utf8() {
                return Err(fmt::Error);
            }
            self.room -= character.len_utf8();
            self.text.push(character);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot reach `{replica}`")]
    struct Unreachable {
        replica: &'static str,
        #[source]
        cause: std::io::Error,
    }

    #[test]
    fn message_tells_the_whole_chain_and_type_is_the_errors_name() {
        let cause = std::io::Error::other("refused");
        let error = Unreachable { replica: "a:1", cause };
        let expected =
            Exception { kind: "Unreachable".into(), message: "cannot reach `a:1`: refused".into() };
        assert_eq!(Exception::of(&error), expected);
    }

    #[test]
    fn a_message_without_end_is_cut() {
        #[derive(Debug)]
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (0..1_000_000).try_for_each(|_| f.write_str("né"))
            }
        }
        impl Error for Endless {}
        let message = Exception::of(&Endless).message;
        assert!((LONGEST_MESSAGE - 1..=LONGEST_MESSAGE).contains(&message.len()), "{}", message.len());
    }
}
