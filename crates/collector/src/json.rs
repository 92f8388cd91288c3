//! JSON written straight into bytes: texts, numbers, ids, and the commas between members.
//!
//! Promises: what is written is valid JSON on one line, and holds no control character in any encoding, so that a
//! line stays one line and a terminal that shows it does nothing but show it. Numbers have the form that Go gives
//! them, because the Collector is written in Go and a reader may compare bytes.
//! Refuses: a document model. Who writes knows the order of the members.

use std::io::Write as _;

use base64::Engine as _;

/// Which bytes may not stand as they are: 1 always escaped, 2 the lead byte of a character that may have to be.
const SPECIAL: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = 1;
        byte += 1;
    }
    table[b'"' as usize] = 1;
    table[b'\\' as usize] = 1;
    table[0x7f] = 1;
    // U+0080–U+00BF, of which the first half are controls; and U+2000–U+2FFF with the line separators.
    table[0xc2] = 2;
    table[0xe2] = 2;
    table
};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// `"text"`, with every control character and the Unicode line separators escaped.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let length = match SPECIAL[bytes[at] as usize] {
            0 => 0,
            1 => 1,
            _ => match bytes[at..] {
                [0xc2, 0x80..=0x9f, ..] => 2,
                [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
                _ => 0,
            },
        };
        if length == 0 {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        escape(out, &bytes[at..at + length]);
        at += length;
        copied = at;
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, character: &[u8]) {
    let code = match *character {
        [b'"'] => return out.extend_from_slice(b"\\\""),
        [b'\\'] => return out.extend_from_slice(b"\\\\"),
        [b'\n'] => return out.extend_from_slice(b"\\n"),
        [b'\r'] => return out.extend_from_slice(b"\\r"),
        [b'\t'] => return out.extend_from_slice(b"\\t"),
        [one] => u16::from(one),
        // 0xc2 leads U+0080–U+00BF, whose last byte is the code itself; the rest is U+2028 and U+2029.
        [_, last] => u16::from(last),
        [_, _, last] => 0x2000 | u16::from(last & 0x3f),
        _ => unreachable!("the table knows characters of one to three bytes"),
    };
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[usize::from(code >> shift & 0xf)]);
    }
}

/// The comma where one is due, and `"name":`. Names are ours and need no escaping.
pub(crate) fn key(out: &mut Vec<u8>, name: &str) {
    comma(out);
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A comma, unless an object or array has just been opened. No value ends in an opening bracket: texts end in `"`.
pub(crate) fn comma(out: &mut Vec<u8>) {
    if !matches!(out.last(), None | Some(b'{' | b'[' | b'\n')) {
        out.push(b',');
    }
}

/// An integer as a number.
pub(crate) fn integer(out: &mut Vec<u8>, number: impl Into<i128>) {
    write!(out, "{}", number.into()).expect("a vector takes every byte");
}

/// A number as Go writes it: shortest form, no exponent between 1e-6 and 1e21; what JSON cannot say as text.
pub(crate) fn float(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    let written = if number.is_nan() {
        out.write_all(b"\"NaN\"")
    } else if number.is_infinite() {
        out.write_all(if number > 0.0 { b"\"+Inf\"" } else { b"\"-Inf\"" })
    } else if size >= 1e21 {
        write!(out, "{}", format!("{number:e}").replace('e', "e+"))
    } else if size != 0.0 && size < 1e-6 {
        write!(out, "{number:e}")
    } else {
        write!(out, "{number}")
    };
    written.expect("a vector takes every byte");
}

/// Bytes as lower-case hex digits in quotes.
pub(crate) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 0xf)]);
    }
    out.push(b'"');
}

/// Bytes as standard base64 in quotes.
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_hold_no_control_character() {
        fn check(input: &str, expected: &str) {
            assert_eq!(written(|out| text(out, input)), expected, "{input:?}");
            assert_eq!(serde_json::from_str::<String>(expected).unwrap(), input);
        }
        check("", r#""""#);
        check("plain ünï → 漢 🦀", r#""plain ünï → 漢 🦀""#);
        check("a\"b\\c/d", r#""a\"b\\c/d""#);
        check("two\nlines\r\tand", r#""two\nlines\r\tand""#);
        check("\0\u{8}\u{1b}[31m", r#""\u0000\u0008\u001b[31m""#);
        check("\u{7f}\u{80}\u{9b}\u{a0}¿", "\"\\u007f\\u0080\\u009b\u{a0}¿\"");
        check("\u{2027}\u{2028}\u{2029}\u{202a}", "\"\u{2027}\\u2028\\u2029\u{202a}\"");
        check("<&>'", r#""<&>'""#);
    }

    #[test]
    fn numbers_have_gos_form() {
        fn check(input: f64, expected: &str) {
            assert_eq!(written(|out| float(out, input)), expected);
        }
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(1.25, "1.25");
        check(-0.000001, "-0.000001");
        check(0.00000012, "1.2e-7");
        check(123_456_789_012_345_680_000.0, "123456789012345680000");
        check(1e21, "1e+21");
        check(-1.5e300, "-1.5e+300");
        check(f64::MIN_POSITIVE, "2.2250738585072014e-308");
        check(f64::NAN, "\"NaN\"");
        check(f64::INFINITY, "\"+Inf\"");
        check(f64::NEG_INFINITY, "\"-Inf\"");
    }

    #[test]
    fn commas_stand_between_members_only() {
        let object = written(|out| {
            out.push(b'{');
            key(out, "a");
            text(out, "{");
            key(out, "b");
            out.push(b'[');
            for number in [1_u32, 2] {
                comma(out);
                integer(out, number);
            }
            out.extend_from_slice(b"]}");
        });
        assert_eq!(object, r#"{"a":"{","b":[1,2]}"#);
    }
}
