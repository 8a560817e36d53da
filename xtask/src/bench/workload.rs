//! What is sent: a batch of commands on random keys, kept as bytes of which only the keys' digits change.

use std::fmt;

/// Keys of one MSET.
const MSET_KEYS: usize = 10;

/// Digits of a key's number, after its four letters.
const DIGITS: usize = 12;

/// A command to measure.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Workload {
    Get,
    Set,
    Incr,
    Mset,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Incr => "incr",
            Self::Mset => "mset",
        })
    }
}

impl Workload {
    /// A batch of `pipeline` commands.
    pub(super) fn batch(self, pipeline: usize, value_bytes: usize) -> Batch {
        let value = "x".repeat(value_bytes);
        let mut command = match self {
            Self::Get => vec!["GET", "key:"],
            Self::Set => vec!["SET", "key:", &value],
            Self::Incr => vec!["INCR", "num:"],
            Self::Mset => vec!["MSET"],
        };
        if self == Self::Mset {
            command.extend(["key:", &value].repeat(MSET_KEYS));
        }
        let mut batch = Batch::default();
        for _ in 0..pipeline {
            batch.push(&command);
        }
        batch
    }
}

/// Commands ready to be sent.
#[derive(Clone, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where the digits of each key stand.
    digits: Vec<usize>,
}

impl Batch {
    /// The MSET that writes the keys numbered `from..to`.
    pub(super) fn fill(from: usize, to: usize, value_bytes: usize) -> Self {
        let value = "x".repeat(value_bytes);
        let mut batch = Self::default();
        let pairs = ["key:", &value].repeat(to - from);
        batch.push(&[&["MSET"], pairs.as_slice()].concat());
        for (&at, key) in batch.digits.iter().zip(from..) {
            write_digits(&mut batch.bytes[at..at + DIGITS], key);
        }
        batch
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Draws every key anew out of `keys`.
    pub(super) fn shuffle(&mut self, random: &mut Random, keys: usize) {
        for &at in &self.digits {
            write_digits(&mut self.bytes[at..at + DIGITS], random.below(keys));
        }
    }

    /// Appends one command; an argument that ends with a colon is a key and gets its digits.
    fn push(&mut self, arguments: &[&str]) {
        self.bytes
            .extend(format!("*{}\r\n", arguments.len()).bytes());
        for argument in arguments {
            let digits = if argument.ends_with(':') { DIGITS } else { 0 };
            self.bytes
                .extend(format!("${}\r\n{argument}", argument.len() + digits).bytes());
            if digits > 0 {
                self.digits.push(self.bytes.len());
                self.bytes.extend([b'0'; DIGITS]);
            }
            self.bytes.extend(b"\r\n");
        }
    }
}

fn write_digits(place: &mut [u8], mut number: usize) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A small, fast generator (xorshift64*); its quality only has to spread keys.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((high * limit as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_the_protocol() {
        let batch = Workload::Set.batch(2, 3);
        let one = "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$3\r\nxxx\r\n";
        assert_eq!(batch.bytes(), one.repeat(2).as_bytes());
    }

    #[test]
    fn a_fill_numbers_its_keys() {
        let text = String::from_utf8(Batch::fill(8, 11, 1).bytes).unwrap();
        assert!(text.starts_with("*7\r\n$4\r\nMSET\r\n$16\r\nkey:000000000008\r\n$1\r\nx\r\n"));
        assert!(text.contains("key:000000000010"));
    }

    #[test]
    fn keys_stay_in_their_range_and_cover_it() {
        let mut random = Random::new(7);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[random.below(10)] = true;
        }
        assert_eq!(seen, [true; 10]);
    }
}
