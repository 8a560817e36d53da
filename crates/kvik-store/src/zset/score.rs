//! Scores: how they compare, and how few bytes they take.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::text::StringRef;
use crate::text::Text;

/// Whole numbers up to here are stored as integers in a listpack.
const WHOLE_MAX: f64 = (1u64 << 62) as f64;

/// How scores compare; there is no NaN among them. Both zeros are the same.
pub(super) fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// The integer that a score is; -0 is 0.
pub(super) fn whole(score: f64) -> Option<i64> {
    (score.abs() <= WHOLE_MAX && score.trunc() == score).then_some(score as i64)
}

/// A score as the value of a member: an integer, or the bytes of the float up to the last that is
/// not zero.
#[derive(Clone, Copy)]
pub(super) struct ScoreValue {
    int: Option<i64>,
    bytes: [u8; 8],
}

impl ScoreValue {
    pub(super) fn new(score: f64) -> Self {
        let is_negative_zero = score == 0.0 && score.is_sign_negative();
        Self {
            int: whole(score).filter(|_| !is_negative_zero),
            bytes: score.to_be_bytes(),
        }
    }

    pub(super) fn text(&self) -> Text<'_> {
        if let Some(n) = self.int {
            return Text::Int(n);
        }
        let zeros = u64::from_be_bytes(self.bytes).trailing_zeros() as usize / 8;
        Text::Bytes {
            bytes: Cow::Borrowed(&self.bytes[..8 - zeros]),
            raw: false,
        }
    }
}

/// The score that a member's value is.
pub(super) fn read(value: StringRef<'_>) -> f64 {
    match value {
        StringRef::Int(n) => n as f64,
        StringRef::Bytes(bytes) => {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            f64::from_be_bytes(whole)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(score: f64) -> (f64, usize) {
        let stored = ScoreValue::new(score);
        match stored.text() {
            Text::Int(n) => (read(StringRef::Int(n)), 0),
            Text::Bytes { bytes, .. } => (read(StringRef::Bytes(&bytes)), bytes.len()),
            Text::Rope { .. } => unreachable!("a score is short"),
        }
    }

    #[test]
    fn short_scores_take_few_bytes() {
        for (score, bytes) in [
            (7.0, 0),
            (1e15, 0),
            (0.5, 2),
            (-0.0, 1),
            (f64::INFINITY, 2),
            (0.1, 8),
        ] {
            let (read, taken) = round_trip(score);
            assert_eq!((read.to_bits(), taken), (score.to_bits(), bytes));
        }
    }

    proptest! {
        #[test]
        fn scores_are_read_as_written(bits: u64) {
            let score = f64::from_bits(bits);
            prop_assume!(!score.is_nan());
            prop_assert_eq!(round_trip(score).0.to_bits(), bits);
        }
    }
}
