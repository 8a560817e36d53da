//! BITOP: strings combined bit by bit.
//!
//! The sources are folded one after the other into one or two buffers, a window of all of them at a
//! time: as long as the chunks of large strings are, so that nothing but the result takes memory,
//! and what is zero in all of them takes none either. All operations but NOT leave a zero where
//! every source has one, so what a shorter string lacks is zeros.

use std::borrow::Cow;
use std::ops::Range;

use kvik_rope::{CHUNK_BYTES, Rope, are_in_hole};
use kvik_store::{Expiry, Guard, IntText, NewString, TextRef, ValueRef};

use crate::family::string::store_raw;
use crate::{Ctx, Error};

/// Bytes of a source that count as an element, and those that are combined while the stripes are
/// held once.
const ELEMENT_BYTES: usize = 1024;
const SLICE_BYTES: usize = 4 * CHUNK_BYTES;

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
    let mut len = 0;
    for key in args.tail(3) {
        let string = ctx.keys.read_string(key)?;
        len = len.max(string.map_or(0, |string| string.len()));
    }
    match len {
        0 => {
            ctx.keys.delete(ctx.key(2));
        }
        1..=CHUNK_BYTES => {
            let result = fold(ctx, operation, 0..len);
            store_raw(&mut ctx.keys, &args[2], &result, Expiry::Clear);
        }
        _ => {
            ctx.weigh(sources * (len / ELEMENT_BYTES))?;
            let mut result = Rope::new();
            while result.len() < len {
                if !result.is_empty() && result.len().is_multiple_of(SLICE_BYTES) {
                    ctx.breathe()?;
                }
                let window = result.len()..len.min(result.len() + CHUNK_BYTES);
                if operation != Operation::Not && is_hole(ctx, &window) {
                    result.append_zeros(window.len());
                } else {
                    result.append(&fold(ctx, operation, window));
                }
            }
            if result.is_sparse() {
                store_parts(&mut ctx.keys, &args[2], &result);
            } else {
                let string = NewString::Rope(&result);
                ctx.keys.entry(ctx.key(2)).set(string, Expiry::Clear);
            }
        }
    }
    ctx.reply.integer(len as i64);
    Ok(())
}

/// Stores a string part by part without its holes, so its effects are no longer than its contents.
fn store_parts(keys: &mut Guard<'_>, key: &[u8], string: &Rope) {
    const LONGEST: &str = "nothing is longer than memory";
    // The first one replaces what is there, and says so; the others are no more news.
    store_raw(keys, key, &[string.byte(0)], Expiry::Clear);
    let Some(mut stored) = keys.entry(key).occupied() else {
        return;
    };
    let last = string.len() - 1;
    stored.unnoted(|stored| {
        let mut at = 0;
        for part in string.slices(0..string.len()) {
            if !are_in_hole(part) {
                stored.set_range(at, part, usize::MAX).expect(LONGEST);
            }
            at += part.len();
        }
        stored
            .set_range(last, &[string.byte(last)], usize::MAX)
            .expect(LONGEST);
    });
}

/// Whether no source has anything in a window but zeros that take no memory.
fn is_hole(ctx: &mut Ctx<'_>, window: &Range<usize>) -> bool {
    let args = ctx.args;
    args.tail(3).iter().all(|key| {
        let mut room = IntText::default();
        match ctx.keys.peek(key).map(|view| view.value()) {
            Some(ValueRef::String(string)) => {
                let part = part(string, window.clone(), &mut room);
                part.is_empty() || are_in_hole(&part)
            }
            _ => true,
        }
    })
}

/// A window of the result, which some source reaches the end of.
fn fold(ctx: &mut Ctx<'_>, operation: Operation, window: Range<usize>) -> Vec<u8> {
    let args = ctx.args;
    let mut folding = Folding::new(operation);
    for key in args.tail(3) {
        let view = ctx.keys.peek(key);
        let mut room = IntText::default();
        let part = match view.map(|view| view.value()) {
            Some(ValueRef::String(string)) => part(string, window.clone(), &mut room),
            _ => Cow::Borrowed(&[][..]),
        };
        folding.add(&part);
    }
    folding.result()
}

/// The part of a window that a string has.
fn part<'b>(string: TextRef<'b>, window: Range<usize>, room: &'b mut IntText) -> Cow<'b, [u8]> {
    let len = string.len();
    let mut slices = string.slices(window.start.min(len)..window.end.min(len), room);
    // A window of a rope is one of its chunks.
    let first = slices.next().unwrap_or_default();
    match slices.next() {
        None => Cow::Borrowed(first),
        Some(second) => {
            let rest = slices.flatten();
            Cow::Owned(first.iter().chain(second).chain(rest).copied().collect())
        }
    }
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
        // Diff, Diff1 and AndOr compare the first source with the union of the others, so it stays
        // apart.
        if self.operation.singles_out_first() && self.first.is_none() {
            self.first = Some(source.to_vec());
            return;
        }
        let Some(combined) = &mut self.combined else {
            self.combined = Some(source.to_vec());
            return;
        };
        // A shorter source counts as filled up with zero bytes, which only AND has to write.
        lengthen(combined, source.len());
        match self.operation {
            Operation::And => {
                zip(combined, source, |bits, other| bits & other);
                combined[source.len()..].fill(0);
            }
            Operation::Xor => zip(combined, source, |bits, other| bits ^ other),
            Operation::One => {
                // A bit is repeated once a source has it that an earlier one had.
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
