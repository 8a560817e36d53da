//! The load: a batch of commands on random keys, kept as bytes of which only the keys' digits
//! change.

use std::fmt;

/// Keys of one MSET.
const MSET_KEYS: usize = 10;

/// Digits of a key's number, after its letters.
const DIGITS: usize = 12;

/// An argument that consists of digits only.
const NUMBER: &str = "";

/// A command to measure.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Workload {
    Get,
    Set,
    Incr,
    Mset,
    Hset,
    Lpush,
    Zadd,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Incr => "incr",
            Self::Mset => "mset",
            Self::Hset => "hset",
            Self::Lpush => "lpush",
            Self::Zadd => "zadd",
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
            Self::Hset => vec!["HSET", "hash:", "field:", &value],
            Self::Lpush => vec!["LPUSH", "list:", &value],
            Self::Zadd => vec!["ZADD", "zset:", NUMBER, "member:"],
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
    /// A batch of `count` SETs that [`Self::number`] gives their keys.
    pub(super) fn fill(count: usize, value_bytes: usize, ttl: bool) -> Self {
        let value = "x".repeat(value_bytes);
        let mut set = vec!["SET", "key:", &value];
        if ttl {
            set.extend(["EX", "1000000"]);
        }
        let mut batch = Self::default();
        for _ in 0..count {
            batch.push(&set);
        }
        batch
    }

    /// The first `count` commands of a fill, for the keys from this number on.
    pub(super) fn number(&mut self, from: usize, count: usize) -> &[u8] {
        for (&at, key) in self.digits.iter().zip(from..from + count) {
            write_digits(&mut self.bytes[at..at + DIGITS], key);
        }
        let all = self.digits.len();
        &self.bytes[..self.bytes.len() / all * count]
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

    /// Appends one command. An argument that ends with a colon is a key, a field or a member and
    /// gets digits of its own; so does [`NUMBER`].
    fn push(&mut self, arguments: &[&str]) {
        self.bytes
            .extend(format!("*{}\r\n", arguments.len()).bytes());
        for argument in arguments {
            let numbered = *argument == NUMBER || argument.ends_with(':');
            let digits = if numbered { DIGITS } else { 0 };
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

    pub(super) fn below(&mut self, limit: usize) -> usize {
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
    fn every_name_and_every_score_has_digits() {
        let mut batch = Workload::Zadd.batch(1, 3);
        batch.shuffle(&mut Random::new(1), 1);
        let zero = "0".repeat(DIGITS);
        let zadd = format!(
            "*4\r\n$4\r\nZADD\r\n$17\r\nzset:{zero}\r\n$12\r\n{zero}\r\n$19\r\nmember:{zero}\r\n"
        );
        assert_eq!(batch.bytes(), zadd.as_bytes());
    }

    #[test]
    fn a_fill_numbers_its_keys() {
        let mut fill = Batch::fill(3, 1, true);
        let text = String::from_utf8(fill.number(9, 2).to_vec()).unwrap();
        let set = |key| {
            format!("*5\r\n$3\r\nSET\r\n$16\r\n{key}\r\n$1\r\nx\r\n$2\r\nEX\r\n$7\r\n1000000\r\n")
        };
        assert_eq!(text, set("key:000000000009") + &set("key:000000000010"));
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
