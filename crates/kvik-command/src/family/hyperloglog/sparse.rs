//! Sparse registers: a run of equal ones is one or two bytes.
//!
//! ```text
//! 00llllll            1 to 64 registers that are 0
//! 01llllll llllllll   1 to 16384 registers that are 0
//! 1vvvvvll            1 to 4 registers that are 1 to 32
//! ```
//!
//! Lengths and values are stored less one. How runs are split and joined decides the bytes, and
//! those are to be Redis': a raised register becomes a run of its own, and then neighbours in the
//! few runs around it are joined.

use std::ops::Range;

use super::estimate::{REGISTERS, RegisterHistogram};
use super::sketch::{Corrupt, HEADER};

const MAX_VALUE: u8 = 32;
const MAX_VALUE_LEN: usize = 4;
const MAX_SHORT_ZEROS: usize = 64;
const LONG_ZEROS: u8 = 0x40;
const VALUE: u8 = 0x80;
/// Runs that are looked at for joining, from the one before a raised register on.
const JOINED: usize = 5;

/// A run at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    value: u8,
    /// Registers.
    len: usize,
    /// Bytes.
    width: usize,
}

/// What became of a register that was to be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    /// It was as high already.
    No,
    /// It was raised.
    Yes,
    /// This encoding cannot hold it.
    NoRoom,
}

impl Run {
    /// The run that `bytes` starts with.
    fn of(bytes: &[u8]) -> Result<Self, Corrupt> {
        let (first, rest) = bytes.split_first().ok_or(Corrupt)?;
        let (value, len, width) = match first {
            0..LONG_ZEROS => (0, usize::from(*first), 1),
            LONG_ZEROS..VALUE => {
                let low = rest.first().ok_or(Corrupt)?;
                (0, u16::from_be_bytes([first & 0x3f, *low]).into(), 2)
            }
            VALUE.. => ((first >> 2 & 0x1f) + 1, (first & 3).into(), 1),
        };
        Ok(Self {
            value,
            len: len + 1,
            width,
        })
    }

    fn is_value(self) -> bool {
        self.value > 0
    }
}

/// Appends a run that is neither empty nor longer than one run can be.
pub(super) fn write_run(bytes: &mut Vec<u8>, value: u8, len: usize) {
    let less_one = len - 1;
    match value {
        0 if len <= MAX_SHORT_ZEROS => bytes.push(less_one as u8),
        0 => bytes.extend([LONG_ZEROS | (less_one >> 8) as u8, less_one as u8]),
        _ => bytes.push(VALUE | (value - 1) << 2 | less_one as u8),
    }
}

/// Visits every run: its registers and their value.
///
/// # Errors
/// If the runs do not make up all registers, once those before the error have been visited.
pub(super) fn for_each(
    mut bytes: &[u8],
    mut visit: impl FnMut(Range<usize>, u8),
) -> Result<(), Corrupt> {
    let mut index = 0;
    while !bytes.is_empty() {
        let run = Run::of(bytes)?;
        let end = index + run.len;
        if end > REGISTERS {
            return Err(Corrupt);
        }
        visit(index..end, run.value);
        index = end;
        bytes = &bytes[run.width..];
    }
    if index == REGISTERS {
        Ok(())
    } else {
        Err(Corrupt)
    }
}

/// How many registers have which value.
pub(super) fn histogram(bytes: &[u8]) -> Result<RegisterHistogram, Corrupt> {
    let mut histogram = RegisterHistogram::new();
    for_each(bytes, |indices, value| {
        histogram.add(value, indices.len() as u32)
    })?;
    Ok(histogram)
}

/// Raises a register of a sketch, its header included, that is lower than `value`. There is no room
/// for values that are too large, nor for more bytes than `max`.
pub(super) fn raise(
    sketch: &mut Vec<u8>,
    index: usize,
    value: u8,
    max: usize,
) -> Result<Raised, Corrupt> {
    if value > MAX_VALUE {
        return Ok(Raised::NoRoom);
    }
    let FoundRun { before, at, first } = find(sketch, index)?;
    let run = Run::of(&sketch[at..])?;
    if run.value >= value {
        return Ok(Raised::No);
    }
    let mut parts = Vec::with_capacity(5);
    let (left, right) = (index - first, first + run.len - 1 - index);
    for (value, len) in [(run.value, left), (value, 1), (run.value, right)] {
        if len > 0 {
            write_run(&mut parts, value, len);
        }
    }
    if parts.len() > run.width && sketch.len() + parts.len() - run.width > max {
        return Ok(Raised::NoRoom);
    }
    sketch.splice(at..at + run.width, parts);
    join(sketch, before);
    Ok(Raised::Yes)
}

/// Where the run of a register is.
struct FoundRun {
    /// The run before it, or the first one.
    before: usize,
    at: usize,
    /// The run's first register.
    first: usize,
}

fn find(sketch: &[u8], index: usize) -> Result<FoundRun, Corrupt> {
    let mut found = FoundRun {
        before: HEADER,
        at: HEADER,
        first: 0,
    };
    loop {
        let run = Run::of(&sketch[found.at..])?;
        if index < found.first + run.len {
            return Ok(found);
        }
        found.before = found.at;
        found.at += run.width;
        found.first += run.len;
    }
}

/// Joins neighbours of one value, as far as one run can hold them, in a few runs from `at` on.
fn join(sketch: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED {
        let Ok(run) = Run::of(&sketch[at..]) else {
            return;
        };
        let next = Run::of(&sketch[at + run.width..]);
        let joined = next.ok().filter(|next| {
            run.is_value() && next.value == run.value && run.len + next.len <= MAX_VALUE_LEN
        });
        match joined {
            Some(next) => {
                sketch.remove(at);
                sketch[at] = VALUE | (run.value - 1) << 2 | (run.len + next.len - 1) as u8;
            }
            None => at += run.width,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_written_as_they_are_read() {
        let runs = [
            (0, 1),
            (0, 64),
            (0, 65),
            (0, REGISTERS),
            (1, 1),
            (32, 4),
            (7, 3),
        ];
        for (value, len) in runs {
            let mut bytes = Vec::new();
            write_run(&mut bytes, value, len);
            let width = bytes.len();
            assert_eq!(Run::of(&bytes), Ok(Run { value, len, width }));
        }
        assert_eq!(Run::of(&[]), Err(Corrupt));
        assert_eq!(Run::of(&[LONG_ZEROS]), Err(Corrupt));
    }

    #[test]
    fn runs_must_make_up_all_registers() {
        let count = |bytes: &[u8]| histogram(bytes).map(|_| ());
        assert_eq!(count(&[0x7f, 0xff]), Ok(()));
        assert_eq!(count(&[0x7f, 0xfe]), Err(Corrupt));
        assert_eq!(count(&[0x7f, 0xff, 0]), Err(Corrupt));
        assert_eq!(count(&[]), Err(Corrupt));
    }
}
