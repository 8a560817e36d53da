//! The random numbers of scripts: the generator of `drand48`, whose numbers for a seed are the same
//! everywhere.

/// A linear congruential generator of 48 bits.
pub(crate) struct ScriptRandom(u64);

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// The low bits of a state that a seed begins.
const LOW: u64 = 0x330E;
/// The largest number.
const MAX: u32 = i32::MAX as u32;

impl ScriptRandom {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed & MASK)
    }

    /// Begins again from a seed.
    pub(crate) fn seed(&mut self, seed: i32) {
        self.0 = (u64::from(seed.cast_unsigned()) << 16) + LOW;
    }

    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        (self.0 >> 17) as u32
    }

    /// A number from 0 to less than 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        f64::from(self.next() % MAX) / f64::from(MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_of_lrand48() {
        let mut random = ScriptRandom::new(0);
        random.seed(0);
        let first: Vec<u32> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [366_850_414, 1_610_402_240, 206_956_554]);
    }
}
