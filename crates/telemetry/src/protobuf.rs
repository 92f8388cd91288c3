//! The wire format of Protocol Buffers, as much of it as writing OTLP needs: a message is written as its values are
//! met, and no message of owned values is put together first.
//!
//! Promises: what is written can be read by any implementation; the order of calls is that on the wire.
//! Refuses: leaving out what is zero. Where nothing may be said instead, the caller says nothing.

/// The bytes of a message, as far as it is written.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

/// How a value's end is found.
const VARINT: u32 = 0;
const EIGHT_BYTES: u32 = 1;
const LENGTH: u32 = 2;
const FOUR_BYTES: u32 = 5;

impl Writer {
    /// Nothing yet, and room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Writer {
        Writer(Vec::with_capacity(bytes))
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Any kind of integer, boolean or enumeration but the fixed ones and those that are called `sint`.
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        self.varint(value);
    }

    pub(crate) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, FOUR_BYTES);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, EIGHT_BYTES);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    /// Bytes, a text, or a message that is written already.
    pub(crate) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.parts(field, &[value]);
    }

    /// A text, unless it is empty, as it is when it is absent.
    pub(crate) fn text(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    /// A message of which parts are written already.
    pub(crate) fn parts(&mut self, field: u32, parts: &[&[u8]]) {
        self.key(field, LENGTH);
        self.varint(parts.iter().map(|part| part.len() as u64).sum());
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
    }

    /// A message, by what writes it.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer)) {
        self.key(field, LENGTH);
        // The length is known afterwards. Most often it fits the byte that is left for it.
        let place = self.0.len();
        self.0.push(0);
        write(self);
        let length = self.0.len() - place - 1;
        if length < 0x80 {
            self.0[place] = length as u8;
        } else {
            let mut longer = Writer::default();
            longer.varint(length as u64);
            self.0.splice(place..=place, longer.0);
        }
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
    use prost::Message as _;

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        for length in (0..300).chain(16_300..16_400).chain([3_000_000]) {
            let text = "x".repeat(length);
            let mut writer = Writer::with_capacity(16);
            writer.bytes(1, b"key");
            writer.message(2, |writer| writer.bytes(1, text.as_bytes()));
            writer.number(3, 300);
            let value = Some(AnyValue { value: Some(Value::StringValue(text)) });
            let expected = KeyValue { key: "key".to_owned(), value, key_strindex: 300 };
            assert_eq!(KeyValue::decode(&*writer.into_bytes()), Ok(expected), "{length}");
        }
    }

    #[test]
    fn numbers_of_every_kind_are_read_as_they_were_meant() {
        let check = |write: &dyn Fn(&mut Writer), expected: Value| {
            let mut writer = Writer::default();
            write(&mut writer);
            let expected = AnyValue { value: Some(expected) };
            assert_eq!(AnyValue::decode(&*writer.into_bytes()), Ok(expected));
        };
        for number in [0, 1, 127, 128, i64::MAX, -1, i64::MIN] {
            check(&|writer| writer.number(3, number as u64), Value::IntValue(number));
        }
        for number in [0.0, -1.5, f64::MAX] {
            check(&|writer| writer.double(4, number), Value::DoubleValue(number));
        }
        check(&|writer| writer.number(2, 1), Value::BoolValue(true));
    }
}
