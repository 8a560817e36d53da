//! LZF, the compression of strings in RDB.
//!
//! The compressed form is a sequence of two kinds of pieces. A control byte below 32 is followed by
//! that many literal bytes and one more. Any other refers back: its upper three bits and, if those
//! are all set, another byte give the length less 2, its lower five bits and the last byte the
//! distance less 1. So 264 bytes come from at least three, and a reference reaches back 8 KiB.
//!
//! The compressor looks at the last place with the same three bytes and takes what it finds. Its
//! output need not be what Redis would have written, only what Redis reads.

use crate::Corrupt;

/// Most literal bytes of one piece.
const LITERALS_MAX: usize = 32;

/// Longest distance of a reference.
const DISTANCE_MAX: usize = 1 << 13;

/// Longest reference: 2 + 7 + 255.
const REFERENCE_MAX: usize = 264;

/// Shortest reference: shorter ones save nothing.
const REFERENCE_MIN: usize = 3;

/// Bits of the largest table of places.
const TABLE_BITS_MAX: u32 = 14;

/// Longest input whose places fit into a table on the stack.
const SHORT_MAX: usize = 256;

/// Compresses `input` to at most `limit` bytes; `None` when that many do not suffice.
pub fn compress(input: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(limit.min(input.len()));
    compress_onto(input, limit, &mut out).then_some(out)
}

/// Appends the compressed form of `input` to `out` and says whether at most `limit` bytes suffice;
/// if not, `out` is as before. Nothing is allocated for an input of up to 256 bytes.
pub(crate) fn compress_onto(input: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let limit = start.saturating_add(limit);
    let fits = if input.len() <= SHORT_MAX {
        compress_with(&mut Places::new([0; SHORT_MAX]), input, limit, out)
    } else {
        // Places are kept in 32 bits; longer strings stay as they are.
        let places = input.len().next_power_of_two().min(1 << TABLE_BITS_MAX);
        u32::try_from(input.len()).is_ok()
            && compress_with(&mut Places::new(vec![0; places]), input, limit, out)
    };
    if !fits {
        out.truncate(start);
    }
    fits
}

/// Appends the compressed form until `out` has `limit` bytes, and says whether all of it is there.
fn compress_with<T: AsMut<[u32]>>(
    places: &mut Places<T>,
    input: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> bool {
    let (mut literals, mut at) = (0, 0);
    while at + REFERENCE_MIN <= input.len() {
        match repetition(places, input, at) {
            // Literals are only counted: one piece holds them all once a reference follows.
            None => at += 1,
            Some((distance, len)) => {
                put_literals(out, &input[literals..at]);
                put_reference(out, distance, len);
                at += len;
                literals = at;
                places.remember_end(input, at);
            }
        }
        // Text that does not shrink is given up early, not at its end.
        if out.len() + (at - literals) > limit {
            return false;
        }
    }
    put_literals(out, &input[literals..]);
    out.len() <= limit
}

/// Expands `input` to exactly `len` bytes.
///
/// # Errors
/// When it expands to fewer or more, or refers to what is not there. Nothing is allocated for a
/// length that the input cannot reach.
pub fn decompress(input: &[u8], len: usize) -> Result<Vec<u8>, Corrupt> {
    let mut out = Vec::new();
    decompress_into(input, len, &mut out)?;
    Ok(out)
}

/// [`decompress`] in place of what `out` holds, whose room is used again.
pub(crate) fn decompress_into(input: &[u8], len: usize, out: &mut Vec<u8>) -> Result<(), Corrupt> {
    // A piece of three bytes expands to 264: nothing longer can follow, and no room is made for it.
    if len > input.len().saturating_mul(REFERENCE_MAX) {
        return Err(Corrupt::InvalidCompression);
    }
    out.clear();
    out.reserve(len);
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        rest = expand(control, after, out, len).ok_or(Corrupt::InvalidCompression)?;
    }
    if out.len() == len {
        Ok(())
    } else {
        Err(Corrupt::InvalidCompression)
    }
}

/// Expands one piece and returns what follows it.
fn expand<'a>(control: u8, input: &'a [u8], out: &mut Vec<u8>, limit: usize) -> Option<&'a [u8]> {
    if usize::from(control) < LITERALS_MAX {
        let (literals, rest) = input.split_at_checked(usize::from(control) + 1)?;
        if literals.len() > limit - out.len() {
            return None;
        }
        out.extend_from_slice(literals);
        return Some(rest);
    }
    // All three bits set: the length goes on in the next byte, before the distance.
    let (more, input) = match control >> 5 {
        7 => input.split_first()?,
        _ => (&0, input),
    };
    let (&low, rest) = input.split_first()?;
    let len = usize::from(control >> 5) + usize::from(*more) + 2;
    let distance = (usize::from(control & 0x1f) << 8 | usize::from(low)) + 1;
    // A distance beyond the start refers to nothing.
    let start = out.len().checked_sub(distance)?;
    if len > limit - out.len() {
        return None;
    }
    copy_within(out, start, len);
    Some(rest)
}

/// Appends `len` bytes from `start` on; they may be among those that are appended.
fn copy_within(out: &mut Vec<u8>, start: usize, mut len: usize) {
    while len > 0 {
        // A reference may overlap its own output, which repeats: the part that exists doubles with
        // each round.
        let run = len.min(out.len() - start);
        out.extend_from_within(start..start + run);
        len -= run;
    }
}

fn put_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

fn put_reference(out: &mut Vec<u8>, distance: usize, len: usize) {
    let (distance, len) = (distance - 1, len - 2);
    let high = (distance >> 8) as u8;
    if len < 7 {
        out.push((len as u8) << 5 | high);
    } else {
        out.extend_from_slice(&[7 << 5 | high, (len - 7) as u8]);
    }
    out.push(distance as u8);
}

/// How far back the bytes at `at` have been before, and how many of them.
fn repetition<T: AsMut<[u32]>>(
    places: &mut Places<T>,
    input: &[u8],
    at: usize,
) -> Option<(usize, usize)> {
    // The table forgets older places of the same hash, and does not compare: a place is only a
    // hint.
    let place = places.replace(input, at)?;
    let distance = at - place;
    if distance > DISTANCE_MAX {
        return None;
    }
    let len = common(&input[place..], &input[at..]);
    (len >= REFERENCE_MIN).then_some((distance, len))
}

/// How many bytes the two have in common, as far as a reference can say.
fn common(earlier: &[u8], later: &[u8]) -> usize {
    let pairs = earlier.iter().zip(later).take(REFERENCE_MAX);
    pairs.take_while(|(a, b)| a == b).count()
}

/// Where three bytes were last seen, by their hash.
struct Places<T> {
    /// One more than the place; zero where there is none.
    table: T,
    shift: u32,
}

impl<T: AsMut<[u32]>> Places<T> {
    /// No places yet: `table` has zeros, as many as a power of two.
    fn new(mut table: T) -> Self {
        let shift = u32::BITS - table.as_mut().len().ilog2();
        Self { table, shift }
    }

    /// The last place of a hash like that of the three bytes at `at`, which replaces it.
    fn replace(&mut self, input: &[u8], at: usize) -> Option<usize> {
        // Fibonacci hashing: the upper bits of the product depend on all three bytes.
        let three = [input[at], input[at + 1], input[at + 2], 0];
        let hash = u32::from_le_bytes(three).wrapping_mul(0x9e37_79b1) >> self.shift;
        let place = std::mem::replace(&mut self.table.as_mut()[hash as usize], at as u32 + 1);
        (place as usize).checked_sub(1)
    }

    /// Remembers the last two places before `end`: the others within a reference are not worth it.
    fn remember_end(&mut self, input: &[u8], end: usize) {
        for at in end - 2..end {
            if at + REFERENCE_MIN <= input.len() {
                self.replace(input, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_run_of_one_byte_is_a_literal_and_references() {
        let packed = compress(&[b'a'; 100], 96).unwrap();
        assert_eq!(packed, b"\x00a\xe0\x5a\x00");
        assert_eq!(decompress(&packed, 100).unwrap(), [b'a'; 100]);
    }

    #[test]
    fn what_does_not_shrink_is_left_alone() {
        assert_eq!(compress(b"abcdefghijklmnopqrstuvwxyz", 22), None);
        assert_eq!(compress(b"", 0), Some(Vec::new()));
    }

    #[test]
    fn contradictions_are_found() {
        for (input, len) in [
            (&b"\x00"[..], 1),
            (b"\x00a\xe0", 9),
            (b"\x00a\xe0\x5a", 100),
            (b"\x00a\x20\x01", 4),
            (b"\x00a\x20\x00", 3),
            (b"\x00a\x20\x00", 5),
            (b"\x00a", usize::MAX),
        ] {
            assert_eq!(
                decompress(input, len),
                Err(Corrupt::InvalidCompression),
                "{input:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(input in repetitive(), spare in 0usize..8) {
            if let Some(packed) = compress(&input, input.len() + spare) {
                prop_assert!(packed.len() <= input.len() + spare);
                prop_assert_eq!(decompress(&packed, input.len()).unwrap(), input);
            }
        }

        #[test]
        fn any_bytes_expand_or_are_refused(input: Vec<u8>, len in 0usize..5000) {
            if let Ok(out) = decompress(&input, len) {
                prop_assert_eq!(out.len(), len);
            }
        }
    }

    /// Bytes in which the same words come again, near and far.
    fn repetitive() -> impl Strategy<Value = Vec<u8>> {
        let word = prop::collection::vec(0u8..4, 1..40);
        let words = prop::collection::vec(word, 1..300);
        (words, 1usize..40).prop_map(|(words, times)| words.concat().repeat(times))
    }
}
