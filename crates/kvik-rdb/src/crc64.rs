//! The checksum of RDB: CRC-64 with Jones' polynomial, reflected, from zero and without a final
//! inversion.
//!
//! Eight bytes a step by eight tables (Kounavis and Berry, "A systematic approach to building high
//! performance software-based CRC generators"), which are computed when the crate is compiled: 16
//! KiB, and one to two bytes for each cycle.

/// Jones' polynomial with its bits reversed.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// The polynomial x^8, as all polynomials here with the highest bit for x^0.
const X_8: u64 = 1 << 55;

/// `TABLES[n][byte]`: what `byte` contributes when `n` more bytes follow it in the same step.
static TABLES: [[u64; 256]; 8] = tables();

/// A checksum in the making.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc64(u64);

impl Crc64 {
    /// The checksum of all of `bytes`.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut crc = Self::default();
        crc.update(bytes);
        crc.value()
    }

    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        let (steps, tail) = bytes.as_chunks::<8>();
        let mut crc = self.0;
        for step in steps {
            // The bytes so far act on the next eight only through their checksum, so it is added to
            // these.
            let mixed = (crc ^ u64::from_le_bytes(*step)).to_le_bytes();
            // Each byte has its own table, which also counts the bytes behind it; lookups do not
            // wait for each other.
            crc = (0..8).fold(0, |crc, at| crc ^ TABLES[7 - at][usize::from(mixed[at])]);
        }
        for byte in tail {
            crc = TABLES[0][usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
        }
        self.0 = crc;
    }

    /// Goes on with so many zero bytes, in a time that grows with the digits of `count`.
    pub fn update_zeros(&mut self, count: u64) {
        // A byte of zeros multiplies by x^8; squaring gives the powers for 2, 4, 8 and so on bytes.
        let (mut power, mut left) = (X_8, count);
        while left > 0 {
            if left & 1 == 1 {
                self.0 = product(self.0, power);
            }
            power = product(power, power);
            left >>= 1;
        }
    }

    /// Goes on with `count` bytes that have this checksum by themselves.
    pub fn update_summed(&mut self, sum: Self, count: u64) {
        self.update_zeros(count);
        self.0 ^= sum.0;
    }

    /// The checksum of all bytes so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// The product of two polynomials modulo Jones'.
fn product(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    for bit in (0..u64::BITS).rev() {
        // From x^0 up: the highest bit comes first here.
        product ^= b * (a >> bit & 1);
        // From the factor's term x^n to x^(n + 1).
        b = (b >> 1) ^ (POLYNOMIAL * (b & 1));
    }
    product
}

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        // Table 0 holds the remainder of each byte, found bit by bit.
        let (mut crc, mut bit) = (byte as u64, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            // One more byte of zeros behind a byte: a step of the bytewise checksum.
            let before = tables[n - 1][byte];
            tables[n][byte] = tables[0][(before & 0xff) as usize] ^ (before >> 8);
            byte += 1;
        }
        n += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_value_of_the_polynomial() {
        assert_eq!(Crc64::of(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(Crc64::of(b""), 0);
    }

    proptest! {
        #[test]
        fn pieces_give_the_checksum_of_the_whole(bytes: Vec<u8>, cut: usize) {
            let cut = cut.checked_rem(bytes.len()).unwrap_or(0);
            let mut crc = Crc64::default();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            prop_assert_eq!(crc.value(), Crc64::of(&bytes));
        }

        #[test]
        fn sums_of_parts_make_the_sum_of_the_whole(head: Vec<u8>, tail: Vec<u8>, zeros in 0usize..5000) {
            let mut crc = Crc64::default();
            crc.update(&head);
            let mut part = Crc64::default();
            part.update(&tail);
            crc.update_zeros(zeros as u64);
            crc.update_summed(part, tail.len() as u64);
            let whole = [&head[..], &vec![0; zeros], &tail].concat();
            prop_assert_eq!(crc.value(), Crc64::of(&whole));
        }

        #[test]
        fn bits_one_by_one_give_the_same(bytes: Vec<u8>) {
            let slow = bytes.iter().fold(0u64, |crc, byte| {
                (0..8).fold(crc ^ u64::from(*byte), |crc, _| (crc >> 1) ^ (POLYNOMIAL * (crc & 1)))
            });
            prop_assert_eq!(Crc64::of(&bytes), slow);
        }
    }
}
