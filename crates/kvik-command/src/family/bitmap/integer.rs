//! The integers of BITFIELD: of any width up to 64 bits, at any bit of a string, the most
//! significant bit first.

use kvik_resp::parse_i64;

/// What becomes of a number that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Overflow {
    /// Its low bits are kept.
    #[default]
    Wrap,
    /// The nearest number that fits is taken.
    Saturate,
    /// Nothing is written.
    Fail,
}

impl Overflow {
    pub(super) fn named(word: &[u8]) -> Option<Self> {
        let named = [
            ("WRAP", Self::Wrap),
            ("SAT", Self::Saturate),
            ("FAIL", Self::Fail),
        ];
        let same = |(name, _): &(&str, Self)| name.as_bytes().eq_ignore_ascii_case(word);
        named.into_iter().find(same).map(|(_, overflow)| overflow)
    }
}

/// A type: `i1` to `i64` or `u1` to `u63`, so that every number of it is an `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer {
    signed: bool,
    bits: u32,
}

/// The bytes that an integer may touch: 64 bits that begin at any bit of the first one.
pub(super) type Window = [u8; 9];

impl Integer {
    /// The type that `word` names.
    pub(super) fn named(word: &[u8]) -> Option<Self> {
        let (signed, bits) = match word {
            [b'i', bits @ ..] => (true, bits),
            [b'u', bits @ ..] => (false, bits),
            _ => return None,
        };
        let widest = if signed { 64 } else { 63 };
        let bits = parse_i64(bits).filter(|bits| (1..=widest).contains(bits))?;
        Some(Self {
            signed,
            bits: bits as u32,
        })
    }

    /// The width in bits.
    pub(super) fn bits(self) -> usize {
        self.bits as usize
    }

    /// How many bytes an integer touches that begins at bit `at` of the first one.
    pub(super) fn bytes(self, at: usize) -> usize {
        (at + self.bits()).div_ceil(8)
    }

    /// The integer at bit `at` of the window's first byte.
    pub(super) fn read(self, window: Window, at: usize) -> i64 {
        self.wrap((wide(window) >> self.shift(at)) as u64)
    }

    /// The window with `value` written at bit `at` of its first byte.
    pub(super) fn write(self, window: Window, at: usize, value: i64) -> Window {
        let shift = self.shift(at);
        let mask = u128::from(self.mask());
        let rest = wide(window) & !(mask << shift);
        let bits = rest | ((u128::from(value as u64) & mask) << shift);
        let bytes = bits.to_be_bytes();
        std::array::from_fn(|at| bytes[bytes.len() - window.len() + at])
    }

    /// What SET stores for the number that a client sent: as an unsigned integer a negative one is
    /// very large.
    pub(super) fn set(self, value: i64, overflow: Overflow) -> Option<i64> {
        let exact = if self.signed {
            i128::from(value)
        } else {
            i128::from(value as u64)
        };
        self.fit(exact, overflow)
    }

    /// The sum of a stored integer and an increment.
    pub(super) fn add(self, value: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        self.fit(i128::from(value) + i128::from(increment), overflow)
    }

    /// The number that stands for `exact`, or none where it is not to be written.
    fn fit(self, exact: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = if self.signed {
            (-1 << (self.bits - 1), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        };
        let fits = exact.clamp(least, most) == exact;
        match overflow {
            Overflow::Fail if !fits => None,
            Overflow::Saturate => Some(exact.clamp(least, most) as i64),
            _ => Some(self.wrap(exact as u64)),
        }
    }

    /// The number whose low bits these are.
    fn wrap(self, bits: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed {
            ((bits << unused) as i64) >> unused
        } else {
            (bits & self.mask()) as i64
        }
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// How many bits of the window follow the integer.
    fn shift(self, at: usize) -> u32 {
        Window::BITS - at as u32 - self.bits
    }
}

trait Bits {
    const BITS: u32;
}

impl Bits for Window {
    const BITS: u32 = 8 * size_of::<Self>() as u32;
}

fn wide(window: Window) -> u128 {
    window
        .iter()
        .fold(0, |bits, byte| (bits << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn integer() -> impl Strategy<Value = Integer> {
        (any::<bool>(), 1..=64_u32).prop_map(|(signed, bits)| Integer {
            signed,
            bits: bits.min(if signed { 64 } else { 63 }),
        })
    }

    fn overflow() -> impl Strategy<Value = Overflow> {
        prop_oneof![
            Just(Overflow::Wrap),
            Just(Overflow::Saturate),
            Just(Overflow::Fail)
        ]
    }

    /// The bits of an integer, one after the other.
    fn bit_by_bit(integer: Integer, window: Window, at: usize) -> i64 {
        let bits = (at..at + integer.bits()).map(|at| window[at / 8] >> (7 - at % 8) & 1);
        let value = bits.fold(0_i128, |value, bit| value << 1 | i128::from(bit));
        let negative = integer.signed && value >> (integer.bits - 1) == 1;
        let sign = i128::from(negative) << integer.bits;
        (value - sign) as i64
    }

    #[test]
    fn types_have_a_sign_and_a_width() {
        for (word, signed, bits) in [("i1", true, 1), ("i64", true, 64), ("u63", false, 63)] {
            assert_eq!(
                Integer::named(word.as_bytes()),
                Some(Integer { signed, bits })
            );
        }
        for word in [
            "", "i", "i0", "i65", "u64", "u-1", "I8", "a8", "8", "u08", "i 8", "i\0",
        ] {
            assert_eq!(Integer::named(word.as_bytes()), None, "{word:?}");
        }
    }

    #[test]
    fn a_negative_number_is_a_large_one_without_sign() {
        let byte = Integer::named(b"u8").expect("a type");
        assert_eq!(byte.set(-1, Overflow::Saturate), Some(255));
        assert_eq!(byte.set(-2, Overflow::Wrap), Some(254));
        assert_eq!(byte.set(-1, Overflow::Fail), None);
        assert_eq!(byte.add(1, -2, Overflow::Saturate), Some(0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_else_changes(
            integer in integer(), window: Window, at in 0..8_usize, value: i64
        ) {
            prop_assert_eq!(integer.read(window, at), bit_by_bit(integer, window, at));
            let written = integer.write(window, at, value);
            prop_assert_eq!(Some(integer.read(written, at)), integer.set(value, Overflow::Wrap));
            let restored = integer.write(written, at, integer.read(window, at));
            prop_assert_eq!(restored, window);
        }

        #[test]
        fn a_sum_is_exact_or_handled_as_an_overflow(
            integer in integer(), value: i64, increment: i64, overflow in overflow()
        ) {
            let value = integer.wrap(value as u64);
            let exact = i128::from(value) + i128::from(increment);
            let sum = integer.add(value, increment, overflow);
            let kept = integer.wrap(exact as u64);
            if i128::from(kept) == exact {
                prop_assert_eq!(sum, Some(kept));
            } else {
                let least = if integer.signed { i64::MIN >> (64 - integer.bits) } else { 0 };
                let most = (integer.mask() >> u32::from(integer.signed)) as i64;
                let nearest = if exact < 0 { least } else { most };
                prop_assert_eq!(sum, match overflow {
                    Overflow::Wrap => Some(kept),
                    Overflow::Saturate => Some(nearest),
                    Overflow::Fail => None,
                });
            }
        }
    }
}
