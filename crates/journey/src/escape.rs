//! Text from data, made harmless for a terminal: nothing that it holds may move the cursor, change colours or turn the
//! direction of writing.

/// `text` with everything that a terminal would act on spelt out.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            _ if is_harmful(letter) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
            _ => shown.push(letter),
        }
    }
    shown
}

/// Control characters (C0, DEL, C1), line separators, and marks that change the direction of writing or are not seen.
pub(crate) fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        for (text, expected) in [
            ("plain – ünï 🚀", "plain – ünï 🚀"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("a\nb\r\tc\0\x7f\u{9b}", "a\\nb\\r\\tc\\u{0}\\u{7f}\\u{9b}"),
            ("abc\u{202e}fed\u{2066}", "abc\\u{202e}fed\\u{2066}"),
        ] {
            assert_eq!(visible(text), expected);
        }
    }
}
