//! Structured fields (RFC 9651), whole or not at all.

use http::{HeaderMap, HeaderName};
use sfv::{FieldType, Parser};

/// All lines of a field as one value; `None` where there is no line, or where they are not what is expected (§4.2).
pub(crate) fn read<T: FieldType>(fields: &HeaderMap, name: &HeaderName) -> Option<T> {
    let lines: Vec<&[u8]> = fields.get_all(name).iter().map(|line| line.as_bytes()).collect();
    if lines.is_empty() {
        return None;
    }
    Parser::new(&lines.join(&b", "[..])).parse().ok()
}
