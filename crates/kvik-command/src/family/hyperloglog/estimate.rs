//! From elements to registers, and from registers to a count.
//!
//! An element's hash names a register by 14 bits; the others give its rank, the position of the
//! first bit that is set. A register holds the highest rank it has seen. The estimate from a
//! histogram of the registers is that of Ertl ("New cardinality estimation algorithms for
//! HyperLogLog sketches", arXiv:1702.01284, algorithm 6), which needs no tables and no thresholds.
//! Its steps are taken in the order in which Redis takes them, so that the counts are the same.

use std::ops::Range;

const INDEX_BITS: u32 = 14;
/// Bits of the hash that the rank is taken from.
const RANK_BITS: usize = 64 - INDEX_BITS as usize;

/// Registers of a sketch.
pub(super) const REGISTERS: usize = 1 << INDEX_BITS;

/// The seed of all sketches.
const SEED: u64 = 0xadc8_3b19;

/// The register that an element belongs to, and its rank there.
pub(super) fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64(element);
    let index = hash as usize % REGISTERS;
    // The bit above the hash ends the search, so a rank is RANK_BITS + 1 at most.
    let rank = ((hash >> INDEX_BITS) | 1 << RANK_BITS).trailing_zeros() + 1;
    (index, rank as u8)
}

/// MurmurHash2 for 64 bits, variant A (Austin Appleby, 2008), over little-endian words.
fn murmur64(bytes: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mix = |word: u64| {
        let word = word.wrapping_mul(M);
        (word ^ word >> 47).wrapping_mul(M)
    };
    // Whole words are mixed before they go in; the rest is only multiplied.
    let (words, rest) = bytes.as_chunks::<8>();
    let start = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let mut hash = words.iter().fold(start, |hash, word| {
        (hash ^ mix(u64::from_le_bytes(*word))).wrapping_mul(M)
    });
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 47).wrapping_mul(M);
    hash ^ hash >> 47
}

/// One byte per register: what several sketches have seen together.
pub(super) struct Registers(Vec<u8>);

impl Registers {
    pub(super) fn new() -> Self {
        Self(vec![0; REGISTERS])
    }

    /// Raises the registers at `indices` that are lower than `value`.
    pub(super) fn raise(&mut self, indices: Range<usize>, value: u8) {
        if value > 0 {
            let registers = &mut self.0[indices];
            registers.iter_mut().for_each(|old| *old = value.max(*old));
        }
    }

    /// All registers in order.
    pub(super) fn values(&self) -> &[u8] {
        &self.0
    }

    /// The same to be changed.
    pub(super) fn values_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The estimated number of elements.
    pub(super) fn estimate(&self) -> u64 {
        let (fours, _) = self.0.as_chunks::<4>();
        RegisterHistogram::of(fours.iter().copied()).estimate()
    }
}

/// A number of different elements that is estimated while they pass.
pub(in crate::family) struct ElementSketch(Registers);

impl ElementSketch {
    /// A sketch that has seen nothing.
    pub(in crate::family) fn new() -> Self {
        Self(Registers::new())
    }

    /// Sees an element.
    pub(in crate::family) fn add(&mut self, element: &[u8]) {
        let (index, value) = place(element);
        self.0.raise(index..index + 1, value);
    }

    /// The estimated number of different elements, as PFCOUNT has it.
    pub(in crate::family) fn estimate(&self) -> u64 {
        self.0.estimate()
    }
}

/// How many registers have which value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegisterHistogram([u32; 64]);

impl RegisterHistogram {
    pub(super) fn new() -> Self {
        Self([0; 64])
    }

    /// Counts registers of values below 64, four at a time. Four counters for each value keep one
    /// that is common from waiting for itself.
    pub(super) fn of(registers: impl Iterator<Item = [u8; 4]>) -> Self {
        let mut counters = [[0_u32; 64]; 4];
        for four in registers {
            for (counters, value) in counters.iter_mut().zip(four) {
                counters[usize::from(value % 64)] += 1;
            }
        }
        Self(std::array::from_fn(|value| {
            counters.iter().map(|counters| counters[value]).sum()
        }))
    }

    /// Counts `count` registers of a value below 64.
    pub(super) fn add(&mut self, value: u8, count: u32) {
        self.0[usize::from(value)] += count;
    }

    /// The estimated number of elements.
    pub(super) fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let of = |value: usize| f64::from(self.0[value]);
        // Horner's scheme from the highest rank down: each rank weighs half of the one below it.
        let mut z = m * tau((m - of(RANK_BITS + 1)) / m);
        for value in (1..=RANK_BITS).rev() {
            z = (z + of(value)) * 0.5;
        }
        z += m * sigma(of(0) / m);
        // 0.5 / ln 2
        (0.721_347_520_444_481_7 * m * m / z).round() as u64
    }
}

/// x + x² + 2x⁴ + 4x⁸ + ..., for 0 to 1.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// A third of 1 - x - (1 - √x)²/2 - (1 - ⁴√x)²/4 - ..., for 0 to 1.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_belong_where_redis_puts_them() {
        assert_eq!(place(b""), (5938, 2));
        assert_eq!(place(b"a"), (12_711, 2));
        assert_eq!(place(b"12345678"), (10_579, 3));
        assert_eq!(place(b"hello world"), (9399, 4));
    }

    #[test]
    fn odd_registers_have_an_estimate() {
        let mut histogram = RegisterHistogram::new();
        histogram.add(0, REGISTERS as u32);
        assert_eq!(histogram.estimate(), 0);
        for value in 1..64 {
            let mut histogram = RegisterHistogram::new();
            histogram.add(value, REGISTERS as u32);
            assert!(histogram.estimate() > 0, "{value}");
        }
    }
}
