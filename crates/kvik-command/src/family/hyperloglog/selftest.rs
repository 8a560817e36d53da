//! PFSELFTEST: whether registers keep what they are given, and how far estimates are off.

use super::estimate::{self, REGISTERS};
use super::sketch::{Corrupt, Encoding, Sketch};
use super::{dense, sparse_max};
use crate::{Ctx, Error, Random};

const ROUNDS: usize = 100;
const ELEMENTS: u64 = 1_000_000;

pub(super) fn pfselftest(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let max = sparse_max(ctx);
    test_registers(ctx.random)?;
    test_estimates(ctx.random, max)?;
    ctx.reply.ok();
    Ok(())
}

/// Every register keeps any value beside any others.
fn test_registers(random: &mut Random) -> Result<(), Error> {
    for _ in 0..ROUNDS {
        let mut registers = vec![0; dense::LEN];
        let values: Vec<u8> = (0..REGISTERS).map(|_| random.below(64) as u8).collect();
        for (index, value) in values.iter().enumerate() {
            dense::raise(&mut registers, index, *value);
        }
        let kept = dense::values(&registers);
        let wrong = values
            .iter()
            .zip(kept)
            .position(|(value, kept)| *value != kept);
        if let Some(index) = wrong {
            return Err(Error::new(format!(
                "TESTFAILED Register {index} should be {} but is not",
                values[index]
            )));
        }
    }
    Ok(())
}

/// Both encodings estimate the same, and at every power of ten not much more or less than there is.
fn test_estimates(random: &mut Random, max: usize) -> Result<(), Error> {
    let seed = random.bits();
    let (mut sparse, mut dense) = (Sketch::new(), Sketch::new());
    dense.make_dense()?;
    let mut checkpoint = 1;
    for number in 1..=ELEMENTS {
        let (index, rank) = estimate::place(&(number ^ seed).to_le_bytes());
        sparse.raise(index, rank, max)?;
        dense.raise(index, rank, max)?;
        if number == checkpoint {
            check(&sparse, &dense, number, max)?;
            checkpoint *= 10;
        }
    }
    Ok(())
}

fn check(sparse: &Sketch, dense: &Sketch, count: u64, max: usize) -> Result<(), Error> {
    if count < max as u64 / 2 && sparse.encoding() != Encoding::Sparse {
        return Err(Error::text("TESTFAILED sparse encoding not used"));
    }
    let estimate = |sketch: &Sketch| -> Result<u64, Corrupt> { Ok(sketch.histogram()?.estimate()) };
    let estimated = estimate(dense)?;
    if estimate(sparse)? != estimated {
        return Err(Error::text("TESTFAILED dense/sparse disagree"));
    }
    // Six times the standard error; a few elements may well share a register.
    let standard_error = 1.04 / (REGISTERS as f64).sqrt();
    let allowed = (6.0 * standard_error * count as f64).ceil().max(1.0);
    let error = estimated.abs_diff(count);
    if error as f64 > allowed {
        return Err(Error::new(format!(
            "TESTFAILED Too big error. card:{count} abserr:{error}"
        )));
    }
    Ok(())
}
