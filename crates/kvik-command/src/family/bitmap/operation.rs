//! BITOP: strings combined bit by bit.
//!
//! The sources are folded one after the other into one or two buffers that are as long as the
//! longest source so far. All operations but NOT leave a zero where every source has one, so what a
//! shorter string lacks is zeros.

use kvik_store::{Expiry, IntText};

use crate::family::string::store_raw;
use crate::{Ctx, Error};

/// The bits that the result holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Set in all sources.
    And,
    /// Set in any source.
    Or,
    /// Set in an odd number of sources.
    Xor,
    /// Clear in the only source.
    Not,
    /// Set in the first source and in no other.
    Diff,
    /// Set in another source than the first, but not in the first.
    Diff1,
    /// Set in the first source and in another.
    AndOr,
    /// Set in exactly one source.
    One,
}

impl Operation {
    const NAMED: [(&'static str, Self); 8] = [
        ("AND", Self::And),
        ("OR", Self::Or),
        ("XOR", Self::Xor),
        ("NOT", Self::Not),
        ("DIFF", Self::Diff),
        ("DIFF1", Self::Diff1),
        ("ANDOR", Self::AndOr),
        ("ONE", Self::One),
    ];

    fn named(word: &[u8]) -> Option<(&'static str, Self)> {
        let mut all = Self::NAMED.into_iter();
        all.find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word))
    }

    /// Whether the first source stands apart from the others.
    fn singles_out_first(self) -> bool {
        matches!(self, Self::Diff | Self::Diff1 | Self::AndOr)
    }
}

pub(super) fn bitop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let (name, operation) = Operation::named(&args[1]).ok_or(Error::SYNTAX)?;
    let sources = args.len() - 3;
    if operation == Operation::Not && sources != 1 {
        return Err(Error::text(
            "BITOP NOT must be called with a single source key.",
        ));
    }
    if operation.singles_out_first() && sources < 2 {
        return Err(Error::new(format!(
            "BITOP {name} must be called with at least two source keys."
        )));
    }
    let mut folding = Folding::new(operation);
    for key in args.tail(3) {
        match ctx.keys.read_string(key)? {
            Some(string) => folding.add(&string.text(&mut IntText::default())),
            None => folding.add(&[]),
        }
    }
    let result = folding.result();
    if result.is_empty() {
        ctx.keys.delete(ctx.key(2));
    } else {
        store_raw(&mut ctx.keys, &args[2], &result, Expiry::Clear);
    }
    ctx.reply.integer(result.len() as i64);
    Ok(())
}

/// The sources so far.
struct Folding {
    operation: Operation,
    /// The first source, where it stands apart from the others.
    first: Option<Vec<u8>>,
    /// Sources combined; none before there is one.
    combined: Option<Vec<u8>>,
    /// Bits that more than one source has.
    repeated: Vec<u8>,
}

impl Folding {
    fn new(operation: Operation) -> Self {
        Self {
            operation,
            first: None,
            combined: None,
            repeated: Vec::new(),
        }
    }

    fn add(&mut self, source: &[u8]) {
        if self.operation.singles_out_first() && self.first.is_none() {
            self.first = Some(source.to_vec());
            return;
        }
        let Some(combined) = &mut self.combined else {
            self.combined = Some(source.to_vec());
            return;
        };
        lengthen(combined, source.len());
        match self.operation {
            Operation::And => {
                zip(combined, source, |bits, other| bits & other);
                combined[source.len()..].fill(0);
            }
            Operation::Xor => zip(combined, source, |bits, other| bits ^ other),
            Operation::One => {
                lengthen(&mut self.repeated, source.len());
                let pairs = self.repeated.iter_mut().zip(combined.iter().zip(source));
                pairs.for_each(|(repeated, (bits, other))| *repeated |= bits & other);
                zip(combined, source, |bits, other| bits | other);
            }
            _ => zip(combined, source, |bits, other| bits | other),
        }
    }

    fn result(self) -> Vec<u8> {
        let mut result = self.combined.unwrap_or_default();
        let mut first = self.first.unwrap_or_default();
        lengthen(&mut result, first.len());
        lengthen(&mut first, result.len());
        match self.operation {
            Operation::Not => result.iter_mut().for_each(|bits| *bits = !*bits),
            Operation::Diff => zip(&mut result, &first, |others, first| first & !others),
            Operation::Diff1 => zip(&mut result, &first, |others, first| others & !first),
            Operation::AndOr => zip(&mut result, &first, |others, first| others & first),
            Operation::One => zip(&mut result, &self.repeated, |bits, twice| bits & !twice),
            Operation::And | Operation::Or | Operation::Xor => {}
        }
        result
    }
}

fn lengthen(bytes: &mut Vec<u8>, len: usize) {
    if bytes.len() < len {
        bytes.resize(len, 0);
    }
}

/// Combines the bytes that both have.
fn zip(bytes: &mut [u8], others: &[u8], combine: impl Fn(u8, u8) -> u8) {
    bytes
        .iter_mut()
        .zip(others)
        .for_each(|(byte, other)| *byte = combine(*byte, *other));
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// One bit of the result, from that bit of the sources.
    fn expected(operation: Operation, bits: &[bool]) -> bool {
        let set = bits.iter().filter(|bit| **bit).count();
        let others = bits.iter().skip(1).any(|bit| *bit);
        match operation {
            Operation::And => set == bits.len(),
            Operation::Or => set > 0,
            Operation::Xor => set % 2 == 1,
            Operation::Not => !bits[0],
            Operation::Diff => bits[0] && !others,
            Operation::Diff1 => !bits[0] && others,
            Operation::AndOr => bits[0] && others,
            Operation::One => set == 1,
        }
    }

    fn is_set(bytes: &[u8], at: usize) -> bool {
        let byte = bytes.get(at / 8).copied().unwrap_or(0);
        byte & (0x80 >> (at % 8)) != 0
    }

    proptest! {
        #[test]
        fn every_bit_is_what_the_operation_says(
            sources in vec(vec(any::<u8>(), 0..40), 2..6), operation in 0..8_usize
        ) {
            let (_, operation) = Operation::NAMED[operation];
            let count = if operation == Operation::Not { 1 } else { sources.len() };
            let sources = &sources[..count];
            let mut folding = Folding::new(operation);
            sources.iter().for_each(|source| folding.add(source));
            let result = folding.result();
            prop_assert_eq!(result.len(), sources.iter().map(Vec::len).max().unwrap_or(0));
            for at in 0..result.len() * 8 {
                let bits: Vec<bool> = sources.iter().map(|source| is_set(source, at)).collect();
                prop_assert_eq!(is_set(&result, at), expected(operation, &bits), "bit {}", at);
            }
        }
    }
}
