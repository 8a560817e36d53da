//! The checksum of RDB: CRC-64 with Jones' polynomial, reflected, from zero and without a final
//! inversion.
//!
//! Eight bytes a step by eight tables (Kounavis and Berry, "A systematic approach to building high
//! performance software-based CRC generators"), which are computed when the crate is compiled: 16
//! KiB, and one to two bytes for each cycle.

/// Jones' polynomial with its bits reversed.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

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
            let mixed = (crc ^ u64::from_le_bytes(*step)).to_le_bytes();
            crc = (0..8).fold(0, |crc, at| crc ^ TABLES[7 - at][usize::from(mixed[at])]);
        }
        for byte in tail {
            crc = TABLES[0][usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
        }
        self.0 = crc;
    }

    /// The checksum of all bytes so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
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
        fn bits_one_by_one_give_the_same(bytes: Vec<u8>) {
            let slow = bytes.iter().fold(0u64, |crc, byte| {
                (0..8).fold(crc ^ u64::from(*byte), |crc, _| (crc >> 1) ^ (POLYNOMIAL * (crc & 1)))
            });
            prop_assert_eq!(Crc64::of(&bytes), slow);
        }
    }
}
