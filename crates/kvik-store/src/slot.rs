//! The hash slots of Redis Cluster: which of 16,384 a key belongs to, and how many keys each has.
//!
//! A slot is the CRC16 (XMODEM) of the key, or of what stands between its first `{` and the next
//! `}`, so that clients can have keys of one tag in one slot. Where a store is laid out by slots
//! ([`Layout::by_slots`](crate::Layout::by_slots)), the leading bits of the slot choose the stripe:
//! a stripe holds a run of slots, all keys of them and no others. The slot has no part in the
//! position within the stripe, so one slot with many keys is spread over a table as any keys are.

/// Number of hash slots.
pub const SLOTS: u16 = 16_384;

/// Bits of the number of a slot.
pub(crate) const SLOT_BITS: u32 = SLOTS.trailing_zeros();

/// The polynomial of CRC16-XMODEM.
const POLYNOMIAL: u16 = 0x1021;

/// Bytes taken at a time.
const STEP: usize = 4;

/// The effect of a byte with so many others of its step behind it.
static TABLES: [[u16; 256]; STEP] = tables();

const fn tables() -> [[u16; 256]; STEP] {
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= POLYNOMIAL;
            }
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut at = 0;
    while at < 256 * (STEP - 1) {
        let (behind, byte) = (at / 256, at % 256);
        let crc: u16 = tables[behind][byte];
        tables[behind + 1][byte] = crc << 8 ^ tables[0][(crc >> 8) as usize];
        at += 1;
    }
    tables
}

fn crc16(bytes: &[u8]) -> u16 {
    let effect = |byte: u8, behind: usize| TABLES[behind][usize::from(byte)];
    let steps = bytes.chunks_exact(STEP);
    let rest = steps.remainder();
    let crc = steps.fold(0, |crc: u16, step| {
        let [high, low] = crc.to_be_bytes();
        effect(high ^ step[0], 3)
            ^ effect(low ^ step[1], 2)
            ^ effect(step[2], 1)
            ^ effect(step[3], 0)
    });
    rest.iter().fold(crc, |crc, byte| {
        crc << 8 ^ effect((crc >> 8) as u8 ^ byte, 0)
    })
}

/// The hash slot of a key, as every client of a Redis Cluster computes it.
///
/// ```
/// use kvik_store::key_slot;
///
/// assert_eq!(key_slot(b"123456789"), 0x31C3);
/// assert_eq!(key_slot(b"{user:1}.name"), key_slot(b"{user:1}.age"));
/// ```
pub fn key_slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS
}

/// The part of a key that its slot depends on.
fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = || {
        let start = key.iter().position(|byte| *byte == b'{')? + 1;
        let len = key[start..].iter().position(|byte| *byte == b'}')?;
        // `{}` is no tag: such keys would all be in one slot.
        (len > 0).then(|| &key[start..start + len])
    };
    tag().unwrap_or(key)
}

/// How many keys of a table each slot of its stripe has: 4 bytes a slot.
#[derive(Clone, Debug)]
pub(crate) struct SlotCounts(Box<[u32]>);

impl SlotCounts {
    /// The counts of so many slots, a power of two.
    pub(crate) fn new(slots: usize) -> Self {
        Self(vec![0; slots].into())
    }

    /// The same before there are keys.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.0.len())
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Counts a key that has come.
    pub(crate) fn add(&mut self, key: &[u8]) {
        *self.of_key(key) += 1;
    }

    /// Counts a key that has gone.
    pub(crate) fn take(&mut self, key: &[u8]) {
        *self.of_key(key) -= 1;
    }

    /// The keys of a slot of this stripe.
    pub(crate) fn of(&self, slot: u16) -> usize {
        self.0[self.index(slot)] as usize
    }

    fn of_key(&mut self, key: &[u8]) -> &mut u32 {
        let index = self.index(key_slot(key));
        &mut self.0[index]
    }

    /// The leading bits of a slot are the stripe's.
    fn index(&self, slot: u16) -> usize {
        usize::from(slot) & (self.0.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // As `CLUSTER KEYSLOT` of Redis answers.
        for (key, slot) in [
            ("", 0),
            ("a", 15_495),
            ("foo", 12_182),
            ("somekey", 11_058),
            ("foo{hash_tag}", 2_515),
            ("{user1000}.following", 3_443),
            ("{user1000}.followers", 3_443),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
            ("foo{bar}{zap}", 5_061),
            ("foo{bar", 15_278),
        ] {
            assert_eq!(key_slot(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn steps_give_what_single_bits_give() {
        let bit_by_bit = |bytes: &[u8]| {
            bytes.iter().fold(0_u16, |crc, &byte| {
                (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
                    crc << 1 ^ if crc & 0x8000 != 0 { POLYNOMIAL } else { 0 }
                })
            })
        };
        let bytes: Vec<u8> = (0..=255).map(|n: u8| n.wrapping_mul(167)).collect();
        for len in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..len]), bit_by_bit(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn counts_follow_keys() {
        let mut counts = SlotCounts::new(1024);
        counts.add(b"a");
        counts.add(b"x{a}");
        assert_eq!(counts.of(15_495), 2);
        counts.take(b"a");
        assert_eq!((counts.of(15_495), counts.of(15_494)), (1, 0));
        assert_eq!(counts.emptied().of(15_495), 0);
    }
}
