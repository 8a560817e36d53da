//! A HyperLogLog as Redis stores it: a header of 16 bytes and then the registers, dense or sparse.
//!
//! ```text
//! 0       4    5     8                16
//! | HYLL | enc | 000 | count, 8 bytes | registers
//! ```
//!
//! `enc` is 0 for dense and 1 for sparse. The count is that of the last PFCOUNT, little endian; its
//! highest bit says that elements came since.

use super::dense;
use super::estimate::{REGISTERS, RegisterHistogram, Registers};
use super::sparse::{self, Raised};

/// Bytes of the header.
pub(super) const HEADER: usize = 16;
/// The bit in the header's last byte that says that the count is of no use any more.
pub(super) const OUTDATED: u8 = 0x80;

const MAGIC: [u8; 4] = *b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const DENSE_LEN: usize = HEADER + dense::LEN;

/// The registers are not what the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

/// How the registers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// 6 bits each, see [`dense`].
    Dense,
    /// Runs of equal ones, see [`sparse`].
    Sparse,
}

impl Encoding {
    /// The encoding of a string of `len` bytes that starts with these, if that is a sketch.
    pub(super) fn of(start: [u8; 5], len: usize) -> Option<Self> {
        let [magic @ .., encoding] = start;
        match encoding {
            _ if magic != MAGIC => None,
            DENSE if len == DENSE_LEN => Some(Self::Dense),
            SPARSE if len >= HEADER => Some(Self::Sparse),
            _ => None,
        }
    }
}

/// The count in the header, unless it is outdated.
pub(super) fn known_count(bytes: [u8; 8]) -> Option<u64> {
    (bytes[7] & OUTDATED == 0).then(|| u64::from_le_bytes(bytes))
}

/// A sketch with its header.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    bytes: Vec<u8>,
    encoding: Encoding,
}

impl Sketch {
    /// A sketch that has seen nothing.
    pub(super) fn new() -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        bytes[MAGIC.len()] = SPARSE;
        sparse::write_run(&mut bytes, 0, REGISTERS);
        Self {
            bytes,
            encoding: Encoding::Sparse,
        }
    }

    /// The sketch in these bytes, if the header says that they are one.
    pub(super) fn of(bytes: Vec<u8>) -> Option<Self> {
        let start = bytes.first_chunk()?;
        let encoding = Encoding::of(*start, bytes.len())?;
        Some(Self { bytes, encoding })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The bytes behind the header.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }

    /// Marks the count as outdated.
    pub(super) fn invalidate_count(&mut self) {
        self.bytes[HEADER - 1] |= OUTDATED;
    }

    /// How many registers have which value.
    pub(super) fn histogram(&self) -> Result<RegisterHistogram, Corrupt> {
        match self.encoding {
            Encoding::Dense => Ok(dense::histogram(self.body())),
            Encoding::Sparse => sparse::histogram(self.body()),
        }
    }

    /// Raises registers to those of this sketch where they are lower.
    pub(super) fn merge_into(&self, registers: &mut Registers) -> Result<(), Corrupt> {
        match self.encoding {
            Encoding::Dense => dense::merge_into(self.body(), registers.values_mut()),
            Encoding::Sparse => sparse::for_each(self.body(), |indices, value| {
                registers.raise(indices, value);
            })?,
        }
        Ok(())
    }

    /// Keeps the registers densely from here on.
    pub(super) fn make_dense(&mut self) -> Result<(), Corrupt> {
        if self.encoding == Encoding::Dense {
            return Ok(());
        }
        let mut bytes = vec![0; DENSE_LEN];
        let (header, body) = bytes.split_at_mut(HEADER);
        header.copy_from_slice(&self.bytes[..HEADER]);
        header[MAGIC.len()] = DENSE;
        sparse::for_each(self.body(), |indices, value| {
            if value > 0 {
                indices.for_each(|index| {
                    dense::raise(body, index, value);
                });
            }
        })?;
        self.bytes = bytes;
        self.encoding = Encoding::Dense;
        Ok(())
    }

    /// Raises a register that is lower than `value`, and says whether it was. A sparse sketch
    /// becomes dense where the value is too large for it or it would become longer than `max`
    /// bytes.
    pub(super) fn raise(&mut self, index: usize, value: u8, max: usize) -> Result<bool, Corrupt> {
        if self.encoding == Encoding::Sparse {
            match sparse::raise(&mut self.bytes, index, value, max)? {
                Raised::No => return Ok(false),
                Raised::Yes => {
                    self.invalidate_count();
                    return Ok(true);
                }
                Raised::NoRoom => self.make_dense()?,
            }
        }
        Ok(dense::raise(&mut self.bytes[HEADER..], index, value))
    }

    /// Raises all registers to these, none of which is lower.
    pub(super) fn raise_all(&mut self, registers: &Registers, max: usize) -> Result<(), Corrupt> {
        for (index, value) in registers.values().iter().enumerate() {
            if self.encoding == Encoding::Dense {
                dense::write(&mut self.bytes[HEADER..], registers.values());
                break;
            }
            if *value > 0 {
                self.raise(index, *value, max)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn registers(sketch: &Sketch) -> Vec<u8> {
        let mut registers = Registers::new();
        sketch.merge_into(&mut registers).expect("well-formed");
        registers.values().to_vec()
    }

    fn raises() -> impl Strategy<Value = Vec<(usize, u8)>> {
        // Few registers, close together, so that runs are split and joined in all ways.
        let index = prop_oneof![4 => 0..40_usize, 1 => 0..REGISTERS, 1 => REGISTERS - 9..REGISTERS];
        vec((index, prop_oneof![9 => 1..5_u8, 1 => 1..33_u8]), 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn sparse_and_dense_keep_the_same_registers(raises in raises(), max in 0..120_usize) {
            let mut model = vec![0; REGISTERS];
            let mut sparse = Sketch::new();
            let mut dense = Sketch::new();
            dense.make_dense().expect("well-formed");
            for (index, value) in raises {
                let raised = model[index] < value;
                model[index] = model[index].max(value);
                prop_assert_eq!(sparse.raise(index, value, max), Ok(raised));
                prop_assert_eq!(dense.raise(index, value, max), Ok(raised));
            }
            prop_assert_eq!(&registers(&sparse), &model);
            prop_assert_eq!(&registers(&dense), &model);
            prop_assert_eq!(sparse.histogram(), dense.histogram());
            let mut merged = Registers::new();
            sparse.merge_into(&mut merged).expect("well-formed");
            prop_assert_eq!(Ok(merged.estimate()), sparse.histogram().map(|all| all.estimate()));
            for dense_first in [false, true] {
                let mut copy = Sketch::new();
                if dense_first {
                    copy.make_dense().expect("well-formed");
                }
                copy.raise_all(&merged, max).expect("well-formed");
                prop_assert_eq!(&registers(&copy), &model);
            }
            if sparse.encoding() == Encoding::Sparse {
                prop_assert!(sparse.bytes().len() <= max.max(HEADER + 2));
            }
        }

        #[test]
        fn no_bytes_are_too_odd(
            body in vec(any::<u8>(), 0..60), encoding in 0..3_u8, raises in raises()
        ) {
            let mut bytes = b"HYLL".to_vec();
            bytes.push(encoding);
            bytes.extend([0; 11]);
            bytes.extend(&body);
            if encoding == DENSE {
                bytes.resize(DENSE_LEN, body.first().copied().unwrap_or(0xff));
            }
            let Some(mut sketch) = Sketch::of(bytes) else {
                return Ok(());
            };
            let _ = sketch.histogram().map(|histogram| histogram.estimate());
            let _ = sketch.merge_into(&mut Registers::new());
            for (index, value) in raises {
                let _ = sketch.raise(index, value, 3000);
            }
            let _ = sketch.make_dense();
        }
    }
}
