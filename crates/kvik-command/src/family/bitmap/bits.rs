//! The loops over bits, by words wherever there are whole ones.

use std::ops::Range;

use kvik_rope::are_in_hole;

/// Bytes that are looked at together.
const BLOCK: usize = 32;

/// How many bits of `bits` are set. The range lies within the bytes.
pub(super) fn count(bytes: &[u8], bits: Range<usize>) -> u64 {
    let Some(parts) = Parts::of(bytes, bits).filter(|_| !are_in_hole(bytes)) else {
        return 0;
    };
    let edge = |edge: Option<EdgeByte>| edge.map_or(0, |edge| edge.byte.count_ones().into());
    edge(parts.head) + ones(parts.middle) + edge(parts.tail)
}

/// The first bit of `bits` that is `bit`. The range lies within the bytes.
pub(super) fn find(bytes: &[u8], bit: bool, bits: Range<usize>) -> Option<usize> {
    let parts = Parts::of(bytes, bits).filter(|_| !bit || !are_in_hole(bytes))?;
    // What is skipped; everything else holds the bit.
    let skipped = if bit { 0 } else { 0xff };
    let in_byte = |byte: u8| (byte ^ skipped).leading_zeros() as usize;
    let in_edge = |edge: Option<EdgeByte>| {
        let edge = edge?;
        let sought = (edge.byte ^ skipped) & edge.mask;
        (sought != 0).then(|| edge.at * 8 + sought.leading_zeros() as usize)
    };
    in_edge(parts.head)
        .or_else(|| {
            let at = first_other(parts.middle, skipped)?;
            Some((parts.middle_at + at) * 8 + in_byte(parts.middle[at]))
        })
        .or_else(|| in_edge(parts.tail))
}

/// A range of bits as whole bytes and what is left of a byte before and behind them.
struct Parts<'a> {
    head: Option<EdgeByte>,
    middle: &'a [u8],
    middle_at: usize,
    tail: Option<EdgeByte>,
}

/// A byte of which only some bits count; the others are cleared.
#[derive(Clone, Copy)]
struct EdgeByte {
    at: usize,
    byte: u8,
    mask: u8,
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8], bits: Range<usize>) -> Option<Self> {
        if bits.is_empty() {
            return None;
        }
        let (first, last) = (bits.start / 8, (bits.end - 1) / 8);
        let (from_first, to_last) = (0xff >> (bits.start % 8), !0 << (7 - (bits.end - 1) % 8));
        let edge = |at: usize, mask: u8| EdgeByte {
            at,
            byte: bytes[at] & mask,
            mask,
        };
        if first == last {
            return Some(Self {
                head: Some(edge(first, from_first & to_last)),
                middle: &[],
                middle_at: first,
                tail: None,
            });
        }
        let (head, tail) = (from_first != 0xff, to_last != 0xff);
        let middle_at = first + usize::from(head);
        Some(Self {
            head: head.then(|| edge(first, from_first)),
            middle: &bytes[middle_at..last + usize::from(!tail)],
            middle_at,
            tail: tail.then(|| edge(last, to_last)),
        })
    }
}

/// How many bits are set.
fn ones(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let in_block = |block: &[u8; BLOCK]| words(block).map(u64::count_ones).iter().sum::<u32>();
    let in_blocks: u64 = blocks.iter().map(|block| u64::from(in_block(block))).sum();
    let in_rest: u32 = rest.iter().map(|byte| byte.count_ones()).sum();
    in_blocks + u64::from(in_rest)
}

/// The first byte that differs from `skipped`.
fn first_other(bytes: &[u8], skipped: u8) -> Option<usize> {
    let same = u64::from_ne_bytes([skipped; 8]);
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let is_same =
        |block: &&[u8; BLOCK]| words(block).iter().fold(0, |or, word| or | (word ^ same)) == 0;
    let passed = BLOCK * blocks.iter().take_while(is_same).count();
    let rest = bytes[passed..].iter();
    rest.copied()
        .position(|byte| byte != skipped)
        .map(|at| passed + at)
}

fn words(block: &[u8; BLOCK]) -> [u64; BLOCK / 8] {
    let (words, _) = block.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_ne_bytes(words[at]))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn is_set(bytes: &[u8], at: usize) -> bool {
        bytes[at / 8] & (0x80 >> (at % 8)) != 0
    }

    /// Bytes that are mostly alike, so that whole blocks are passed over.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = |usual: u8| prop_oneof![60 => Just(usual), 1 => any::<u8>()];
        prop_oneof![
            vec(byte(0), 0..300),
            vec(byte(0xff), 0..300),
            vec(any::<u8>(), 0..80)
        ]
    }

    proptest! {
        #[test]
        fn any_range_is_counted_and_searched_bit_by_bit(
            bytes in bytes(), start in 0..2400_usize, len in 0..2400_usize, bit: bool
        ) {
            let start = start.min(bytes.len() * 8);
            let bits = start..(start + len).min(bytes.len() * 8);
            let set = bits.clone().filter(|&at| is_set(&bytes, at)).count();
            prop_assert_eq!(count(&bytes, bits.clone()), set as u64);
            let first = bits.clone().find(|&at| is_set(&bytes, at) == bit);
            prop_assert_eq!(find(&bytes, bit, bits), first);
        }
    }
}
