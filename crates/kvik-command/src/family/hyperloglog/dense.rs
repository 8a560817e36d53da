//! Dense registers: 6 bits each, one after the other from the least significant bit of the first
//! byte on.

use super::estimate::{REGISTERS, RegisterHistogram};

const BITS: usize = 6;
const MASK: u8 = (1 << BITS) - 1;

/// Bytes of all registers.
pub(super) const LEN: usize = REGISTERS * BITS / 8;

/// Where a register is.
#[derive(Clone, Copy)]
pub(super) struct Register {
    /// The byte in which it begins.
    pub(super) byte: usize,
    /// The bit in that byte.
    bit: usize,
}

impl Register {
    pub(super) fn at(index: usize) -> Self {
        Self {
            byte: index * BITS / 8,
            bit: index * BITS % 8,
        }
    }

    /// How many bytes it lies in: one or two.
    pub(super) fn width(self) -> usize {
        if self.bit <= 8 - BITS { 1 } else { 2 }
    }

    /// The register's value, given the byte in which it begins and the next one.
    fn value(self, bytes: [u8; 2]) -> u8 {
        (u16::from_le_bytes(bytes) >> self.bit) as u8 & MASK
    }

    /// The bytes with the register raised to `value`, unless it is as high already.
    pub(super) fn raise(self, bytes: [u8; 2], value: u8) -> Option<[u8; 2]> {
        let rest = u16::from_le_bytes(bytes) & !(u16::from(MASK) << self.bit);
        let raised = rest | u16::from(value & MASK) << self.bit;
        (value > self.value(bytes)).then(|| raised.to_le_bytes())
    }
}

/// Raises a register that is lower than `value`, and says whether it was.
pub(super) fn raise(registers: &mut [u8], index: usize, value: u8) -> bool {
    let register = Register::at(index);
    let place = &mut registers[register.byte..register.byte + register.width()];
    let mut bytes = [0; 2];
    bytes[..place.len()].copy_from_slice(place);
    let raised = register.raise(bytes, value);
    if let Some(bytes) = raised {
        place.copy_from_slice(&bytes[..place.len()]);
    }
    raised.is_some()
}

/// All registers in order.
pub(super) fn values(registers: &[u8]) -> impl Iterator<Item = u8> {
    let (groups, _) = registers.as_chunks::<3>();
    groups.iter().flat_map(four)
}

/// Raises `values`, a byte for each register, to these registers where they are lower.
pub(super) fn merge_into(registers: &[u8], values: &mut [u8]) {
    let (groups, _) = registers.as_chunks::<3>();
    let (fours, _) = values.as_chunks_mut::<4>();
    for (group, values) in groups.iter().zip(fours) {
        let raised = four(group);
        *values = std::array::from_fn(|at| values[at].max(raised[at]));
    }
}

/// Overwrites all registers with `values`, a byte for each, of which the low 6 bits count.
pub(super) fn write(registers: &mut [u8], values: &[u8]) {
    let (groups, _) = registers.as_chunks_mut::<3>();
    let (fours, _) = values.as_chunks::<4>();
    for (group, [a, b, c, d]) in groups.iter_mut().zip(fours) {
        let (a, b, c, d) = (a & MASK, b & MASK, c & MASK, d & MASK);
        *group = [a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2];
    }
}

/// How many registers have which value.
pub(super) fn histogram(registers: &[u8]) -> RegisterHistogram {
    let (groups, _) = registers.as_chunks::<3>();
    RegisterHistogram::of(groups.iter().map(four))
}

/// The four registers in three bytes.
fn four(&[a, b, c]: &[u8; 3]) -> [u8; 4] {
    [
        a & MASK,
        (a >> 6 | b << 2) & MASK,
        (b >> 4 | c << 4) & MASK,
        c >> 2,
    ]
}
