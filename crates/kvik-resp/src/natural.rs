//! Natural numbers of any size: just what exact conversion between decimal and binary floats needs.

use std::cmp::Ordering;

/// A natural number; limbs in little-endian order, the last one not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Natural {
    limbs: Vec<u64>,
}

impl Natural {
    pub(crate) fn new(value: u64) -> Self {
        let mut limbs = vec![value];
        limbs.truncate(usize::from(value != 0));
        Self { limbs }
    }

    /// `digits` read in base `radix`, 10 or 16; every byte is such a digit.
    pub(crate) fn from_digits<'a>(digits: impl Iterator<Item = &'a u8>, radix: u32) -> Self {
        const PER_LIMB: u32 = 15; // 16^15 < 2^64
        let radix = u64::from(radix);
        let mut number = Self::new(0);
        // Digits are gathered to a limb's worth first, so that the number is multiplied once for 15
        // of them.
        let (mut chunk, mut len) = (0, 0);
        for digit in digits {
            chunk = chunk * radix + u64::from(char::from(*digit).to_digit(16).unwrap_or(0));
            len += 1;
            if len == PER_LIMB {
                number.mul_add(radix.pow(len), chunk);
                (chunk, len) = (0, 0);
            }
        }
        number.mul_add(radix.pow(len), chunk);
        number
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    pub(crate) fn bit_len(&self) -> i32 {
        match self.limbs.last() {
            None => 0,
            Some(last) => self.limbs.len() as i32 * 64 - last.leading_zeros() as i32,
        }
    }

    pub(crate) fn mul_pow10(&mut self, mut exponent: u32) {
        while exponent > 0 {
            // 10^19 is the largest power of ten in a limb.
            let step = exponent.min(19);
            self.mul_add(10u64.pow(step), 0);
            exponent -= step;
        }
    }

    pub(crate) fn mul_pow5(&mut self, mut exponent: u32) {
        while exponent > 0 {
            // 5^27 is the largest power of five in a limb.
            let step = exponent.min(27);
            self.mul_add(5u64.pow(step), 0);
            exponent -= step;
        }
    }

    fn mul_add(&mut self, factor: u64, addend: u64) {
        // limb * factor + carry < 2^128: the product is at most (2^64 - 1)^2.
        let mut carry = u128::from(addend);
        for limb in &mut self.limbs {
            carry += u128::from(*limb) * u128::from(factor);
            *limb = carry as u64;
            carry >>= 64;
        }
        if carry > 0 {
            self.limbs.push(carry as u64);
        }
    }

    pub(crate) fn shl(&mut self, bits: u32) {
        if self.is_zero() {
            return;
        }
        // Bits within a limb by multiplication, whole limbs by moving.
        self.mul_add(1 << (bits % 64), 0);
        self.limbs
            .splice(..0, std::iter::repeat_n(0, (bits / 64) as usize));
    }

    /// Subtracts `other` if it is not larger, and tells whether it did.
    pub(crate) fn try_sub(&mut self, other: &Self) -> bool {
        if *self < *other {
            return false;
        }
        let mut borrow = false;
        for (i, limb) in self.limbs.iter_mut().enumerate() {
            // Only one of the two subtractions can borrow: after a first borrow the limb is not 0.
            let (less, first) = limb.overflowing_sub(other.limbs.get(i).copied().unwrap_or(0));
            let (less, second) = less.overflowing_sub(borrow.into());
            (*limb, borrow) = (less, first | second);
        }
        self.trim();
        true
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    /// Divides by `divisor` and returns the remainder.
    fn div_rem(&mut self, divisor: u64) -> u64 {
        let mut rest = 0;
        // Long division from the top, a limb for a digit.
        for limb in self.limbs.iter_mut().rev() {
            let dividend = (rest << 64) | u128::from(*limb);
            *limb = (dividend / u128::from(divisor)) as u64;
            rest = dividend % u128::from(divisor);
        }
        self.trim();
        rest as u64
    }

    pub(crate) fn into_decimal(mut self) -> String {
        const CHUNK: u64 = 10u64.pow(19);
        let mut chunks = Vec::new();
        while !self.is_zero() {
            chunks.push(self.div_rem(CHUNK));
        }
        // Chunks came from the lowest up. The highest has no leading zeros, all others have 19
        // digits.
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:019}"));
        }
        text
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_len = self.limbs.len().cmp(&other.limbs.len());
        by_len.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn natural(digits: &str) -> Natural {
        Natural::from_digits(digits.as_bytes().iter(), 10)
    }

    #[test]
    fn decimal_digits_come_back() {
        for digits in [
            "0",
            "7",
            "18446744073709551616",
            "340282366920938463463374607431768211456000000000000001",
        ] {
            assert_eq!(natural(digits).into_decimal(), digits);
        }
        assert_eq!(
            Natural::from_digits(b"ffFFffffffffffff0".iter(), 16).into_decimal(),
            "295147905179352825840"
        );
    }

    #[test]
    fn shifting_multiplies() {
        let mut number = Natural::new(3);
        number.shl(130);
        assert_eq!(
            number.clone().into_decimal(),
            "4083388403051261561560495289181218537472"
        );
        assert_eq!(number.bit_len(), 132);
        number.mul_pow10(25);
        assert_eq!(
            number.into_decimal(),
            "40833884030512615615604952891812185374720000000000000000000000000"
        );
    }

    #[test]
    fn subtraction_borrows_and_refuses_to_go_below_zero() {
        let mut number = natural("18446744073709551616");
        assert!(!number.try_sub(&natural("18446744073709551617")));
        assert!(number.try_sub(&Natural::new(1)));
        assert_eq!(number, Natural::new(u64::MAX));
        assert!(number.try_sub(&Natural::new(u64::MAX)));
        assert!(number.is_zero());
    }
}
