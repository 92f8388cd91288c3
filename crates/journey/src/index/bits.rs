//! Bits into bytes and back: fixed numbers of them, and codes that are short for small numbers.
//!
//! The codes are Elias' gamma and exponential Golomb codes: no number, however far from the usual ones, takes more than
//! about twice its bits.

/// Bits that are being written, the first one the lowest of the first byte.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// Bits of the last byte that are taken; 0 stands for all.
    taken: u32,
}

impl Writer {
    /// Adds the lowest `count` bits of `value`, at most 64.
    pub(super) fn put(&mut self, mut value: u64, mut count: u32) {
        while count > 0 {
            if self.taken == 0 {
                self.bytes.push(0);
            }
            let room = (8 - self.taken).min(count);
            let low = (value & ((1 << room) - 1)) as u8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= low << self.taken;
            }
            value >>= room;
            count -= room;
            self.taken = (self.taken + room) % 8;
        }
    }

    /// Adds `value`, at least 1: as many zeros as it has bits after its first one, then its bits.
    pub(super) fn put_gamma(&mut self, value: u64) {
        let after = value.max(1).ilog2();
        self.put(0, after);
        self.put(1, 1);
        self.put(value, after);
    }

    /// Adds `value`, below 2^63: what is beyond `low` bits as gamma, then those.
    pub(super) fn put_golomb(&mut self, value: u64, low: u32) {
        self.put_gamma((value >> low) + 1);
        self.put(value, low);
    }

    /// What was written, filled up with zeros to a whole byte.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Bits that are being read; `None` where they end too early or are no code.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 64.
    pub(super) fn take(&mut self, count: u32) -> Option<u64> {
        let mut value = 0;
        let mut done = 0;
        while done < count {
            let byte = u64::from(*self.bytes.get(self.at / 8)?);
            let from = (self.at % 8) as u32;
            let some = (8 - from).min(count - done);
            value |= (byte >> from & ((1 << some) - 1)) << done;
            done += some;
            self.at += some as usize;
        }
        Some(value)
    }

    /// As [`Writer::put_gamma`].
    pub(super) fn gamma(&mut self) -> Option<u64> {
        let mut after = 0;
        while self.take(1)? == 0 {
            after += 1;
            if after == 64 {
                return None;
            }
        }
        Some(1 << after | self.take(after)?)
    }

    /// As [`Writer::put_golomb`].
    pub(super) fn golomb(&mut self, low: u32) -> Option<u64> {
        let beyond = self.gamma()? - 1;
        let value = beyond.checked_shl(low).filter(|value| value >> low == beyond)?;
        Some(value | self.take(low)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let numbers = [0, 1, 2, 3, 7, 8, 255, 256, 1 << 20, (1 << 50) - 1, (1 << 62) + 5];
        let mut writer = Writer::default();
        for number in numbers {
            writer.put(number, 63);
            writer.put(number, 1);
            writer.put_gamma(number + 1);
            (0..50).step_by(7).for_each(|low| writer.put_golomb(number, low));
        }
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        for number in numbers {
            assert_eq!(reader.take(63), Some(number));
            assert_eq!(reader.take(1), Some(number & 1));
            assert_eq!(reader.gamma(), Some(number + 1));
            (0..50).step_by(7).for_each(|low| assert_eq!(reader.golomb(low), Some(number), "{low}"));
        }
        assert!(reader.take(7).is_none_or(|rest| rest == 0), "only what fills the last byte is left");
        assert_eq!(reader.take(8), None);
    }

    #[test]
    fn what_is_no_code_is_refused() {
        assert_eq!(Reader::new(&[0; 100]).gamma(), None, "no number has so many bits");
        assert_eq!(Reader::new(&[0]).gamma(), None, "too short");
        let mut writer = Writer::default();
        writer.put_gamma(1 << 62);
        assert_eq!(Reader::new(&writer.finish()).golomb(40), None, "more than 64 bits");
        assert_eq!(Reader::new(&[]).take(0), Some(0));
    }
}
