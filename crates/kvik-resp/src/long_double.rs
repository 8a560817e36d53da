//! The arithmetic behind `INCRBYFLOAT`: x87 extended precision, bit by bit.
//!
//! Redis adds in C's `long double`, on x86-64 a float with 64 bits of mantissa, and prints 17
//! digits behind the point without trailing zeros. That is why 0.1 + 0.2 is 0.3 there, when the
//! shortest form of the `f64` sum is 0.30000000000000004. Users, replicas and dumps see these
//! digits, so [`LongDouble`] computes exactly the same ones on every platform: parsing, adding and
//! printing are each rounded once, half to even, from the exact value.
//!
//! Parsing and printing are exact through [`Natural`] and cost a microsecond for usual numbers,
//! some hundred for the longest that are accepted (5 KB). There is no other arithmetic than the
//! addition.

mod general;

use std::cmp::Ordering;

use crate::natural::Natural;

/// A float with a 64-bit mantissa and a 15-bit exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Infinite,
    Finite(Scaled),
}

/// mantissa × 2^exponent. Rounded to a format, the mantissa's top bit is set or the exponent is the
/// least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scaled {
    mantissa: u64,
    exponent: i32,
}

/// A kind of binary float.
struct Format {
    mantissa_bits: i32,
    least_exponent: i32,
    /// All values are below 2^this.
    bound_exponent: i32,
}

const EXTENDED: Format = Format {
    mantissa_bits: 64,
    least_exponent: -16445,
    bound_exponent: 16384,
};
const DOUBLE: Format = Format {
    mantissa_bits: 53,
    least_exponent: -1074,
    bound_exponent: 1024,
};

/// Redis refuses longer texts.
const MAX_TEXT: usize = 5 * 1024;

/// Digits behind the point.
const FRACTION_DIGITS: usize = 17;

impl LongDouble {
    /// The number that `text` is, by the rules of [`crate::parse_f64`] but in this range and
    /// precision.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        let (negative, digits) = split_sign(text);
        let infinite =
            digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity");
        let magnitude = if infinite {
            Magnitude::Infinite
        } else {
            Magnitude::Finite(parse_magnitude(digits)?)
        };
        Some(Self {
            negative,
            magnitude,
        })
    }

    /// The nearest number to an integer.
    pub fn of_integer(n: i128) -> Self {
        let exact = Exact {
            bits: n.unsigned_abs(),
            exponent: 0,
            inexact: false,
        };
        let magnitude = exact.round(&EXTENDED);
        Self {
            negative: n < 0,
            magnitude: magnitude.map_or(Magnitude::Infinite, Magnitude::Finite),
        }
    }

    /// The integer that is left without the digits behind the point, if it has 64 bits.
    pub fn truncated(self) -> Option<i64> {
        let Magnitude::Finite(value) = self.magnitude else {
            return None;
        };
        let bits = i128::from(value.mantissa);
        let whole = match u32::try_from(value.exponent) {
            Ok(up @ 0..64) => bits << up,
            Ok(_) => return None,
            Err(_) => bits >> value.exponent.unsigned_abs().min(127),
        };
        i64::try_from(if self.negative { -whole } else { whole }).ok()
    }

    /// The order of two numbers.
    pub fn order(self, other: Self) -> Ordering {
        // Of two values in the same format the one with the larger exponent is not smaller.
        let key = |number: Self| match number.magnitude {
            Magnitude::Infinite => (i32::MAX, u64::MAX),
            Magnitude::Finite(value) => (value.exponent, value.mantissa),
        };
        let is_zero = |number: Self| key(number).1 == 0;
        match (self.negative, other.negative) {
            _ if is_zero(self) && is_zero(other) => Ordering::Equal,
            (false, false) => key(self).cmp(&key(other)),
            (true, true) => key(other).cmp(&key(self)),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }

    /// Whether it is a number: neither infinity.
    pub fn is_finite(self) -> bool {
        self.magnitude != Magnitude::Infinite
    }

    /// The sum, if it is finite.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (Magnitude::Finite(a), Magnitude::Finite(b)) = (self.magnitude, other.magnitude) else {
            return None;
        };
        // The sum has the sign of the larger magnitude. Exponents first: of two values in the same
        // format the one with the larger exponent is not smaller.
        let (large, small, negative) = if (a.exponent, a.mantissa) >= (b.exponent, b.mantissa) {
            (a, b, self.negative)
        } else {
            (b, a, other.negative)
        };
        let sum = add(large, small, self.negative != other.negative);
        let magnitude = Magnitude::Finite(sum.round(&EXTENDED)?);
        Some(Self {
            negative,
            magnitude,
        })
    }
}

/// 17 digits behind the point, without trailing zeros; never an exponent and never `-0`.
impl std::fmt::Display for LongDouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A value with an exponent of at least 0 is whole, and has no digits behind the point.
        let text = match self.magnitude {
            Magnitude::Infinite => "inf".to_owned(),
            Magnitude::Finite(value) if value.exponent < 0 => print_fraction(value),
            Magnitude::Finite(value) => {
                let mut whole = Natural::new(value.mantissa);
                whole.shl(value.exponent.unsigned_abs());
                whole.into_decimal()
            }
        };
        let sign = if self.negative && text != "0" {
            "-"
        } else {
            ""
        };
        write!(f, "{sign}{text}")
    }
}

/// Prints a value with a negative exponent: mantissa × 10^17 fits into 121 bits.
fn print_fraction(value: Scaled) -> String {
    const SCALE: u128 = 10u128.pow(FRACTION_DIGITS as u32);
    let scaled = Exact {
        bits: u128::from(value.mantissa) * SCALE,
        exponent: value.exponent,
        inexact: false,
    };
    // Rounded to units of 10^-17, once, from the exact product.
    let units = scaled.shift_right(value.exponent.unsigned_abs());
    let text = format!(
        "{}.{:0width$}",
        units / SCALE,
        units % SCALE,
        width = FRACTION_DIGITS
    );
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A value before rounding: bits × 2^exponent, and a little more if `inexact`.
struct Exact {
    bits: u128,
    exponent: i32,
    inexact: bool,
}

impl Exact {
    /// The nearest value of a format, ties to the even mantissa; `None` when it is out of range.
    /// Where this is called an inexact value has more bits than any mantissa.
    fn round(&self, format: &Format) -> Option<Scaled> {
        let bit_len = 128 - self.bits.leading_zeros() as i32;
        if bit_len == 0 {
            return Some(Scaled {
                mantissa: 0,
                exponent: format.least_exponent,
            });
        }
        // Bits to drop: as many as the mantissa has too many, or more for a value so small that the
        // format has no exponent for it (a subnormal).
        let mut shift = (bit_len - format.mantissa_bits).max(format.least_exponent - self.exponent);
        let mut mantissa = match u32::try_from(shift) {
            Ok(right) => self.shift_right(right),
            Err(_) => self.bits << shift.unsigned_abs(),
        };
        // Rounding up all ones gave one bit more: 0b1111 became 0b10000.
        if mantissa >> format.mantissa_bits != 0 {
            mantissa >>= 1;
            shift += 1;
        }
        let exponent = self.exponent + shift;
        let value_bits = 128 - mantissa.leading_zeros() as i32;
        (exponent + value_bits <= format.bound_exponent).then_some(Scaled {
            mantissa: mantissa as u64,
            exponent,
        })
    }

    /// bits / 2^count, rounded half to even.
    fn shift_right(&self, count: u32) -> u128 {
        if count == 0 {
            return self.bits;
        }
        // checked: a count of 128 or more leaves nothing, and then all bits are below the half.
        let kept = self.bits.checked_shr(count).unwrap_or(0);
        let half = 1u128.checked_shl(count - 1).unwrap_or(0);
        let rest = self.bits ^ kept.checked_shl(count).unwrap_or(0);
        // Exactly half and nothing below it goes to the even neighbour. `inexact` is such a
        // something.
        let up = half != 0 && (rest > half || (rest == half && (self.inexact || kept & 1 == 1)));
        kept + u128::from(up)
    }
}

/// The exact sum or difference of two values, but for what lies far below any mantissa's last bit.
fn add(large: Scaled, small: Scaled, opposite: bool) -> Exact {
    const HEADROOM: i32 = 63;
    let distance = large.exponent.abs_diff(small.exponent);
    // Both are aligned with 63 bits below the larger one's mantissa. If the smaller one reaches
    // below those, its bits can only decide a tie, for which a sticky flag is enough.
    let wide = u128::from(small.mantissa) << HEADROOM;
    let aligned = wide.checked_shr(distance).unwrap_or(0);
    let inexact = aligned.checked_shl(distance).unwrap_or(0) != wide;
    let large_bits = u128::from(large.mantissa) << HEADROOM;
    // The exact difference lies a little below the one of the cut value: one unit less and inexact.
    let bits = if opposite {
        large_bits - aligned - u128::from(inexact)
    } else {
        large_bits + aligned
    };
    Exact {
        bits,
        exponent: large.exponent - HEADROOM,
        inexact,
    }
}

/// The `f64` that a hexadecimal literal such as `0x1.8p3` is.
pub(crate) fn parse_hex_f64(text: &[u8]) -> Option<f64> {
    if text.len() >= MAX_TEXT {
        return None;
    }
    let (negative, digits) = split_sign(text);
    // Decimal literals never come here: the standard library reads those.
    let literal = Literal::hexadecimal(digits)?;
    let Scaled { mantissa, exponent } = literal.round(&DOUBLE)?;
    // Two exact steps, as 2^-1074 is not reached by multiplying with one normal power of two.
    let half = exponent / 2;
    let value = mantissa as f64 * 2f64.powi(half) * 2f64.powi(exponent - half);
    Some(if negative { -value } else { value })
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

fn parse_magnitude(text: &[u8]) -> Option<Scaled> {
    Literal::hexadecimal(text)
        .or_else(|| Literal::decimal(text))?
        .round(&EXTENDED)
}

/// A number as it is written: digits with a point among them, and an exponent.
struct Literal<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    /// Of ten, or of two in a hexadecimal literal.
    exponent: i64,
    radix: u32,
}

impl<'a> Literal<'a> {
    fn decimal(text: &'a [u8]) -> Option<Self> {
        Self::split(text, 10, b'e')
    }

    fn hexadecimal(text: &'a [u8]) -> Option<Self> {
        match text {
            [b'0', b'x' | b'X', digits @ ..] => Self::split(digits, 16, b'p'),
            _ => None,
        }
    }

    fn split(text: &'a [u8], radix: u32, marker: u8) -> Option<Self> {
        let (digits, exponent) = match text
            .iter()
            .position(|byte| byte.to_ascii_lowercase() == marker)
        {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &[][..]),
        };
        let literal = Self {
            whole,
            fraction,
            exponent,
            radix,
        };
        let empty = whole.is_empty() && fraction.is_empty();
        // Underscores, blanks and signs among the digits are no digits, so all is refused here.
        let valid = !empty
            && literal
                .digits()
                .all(|byte| char::from(*byte).is_digit(radix));
        valid.then_some(literal)
    }

    fn digits(&self) -> impl Iterator<Item = &'a u8> + Clone {
        self.whole.iter().chain(self.fraction)
    }

    /// The nearest value of a format; `None` when the literal overflows it or is not zero but
    /// vanishes.
    fn round(&self, format: &Format) -> Option<Scaled> {
        let significant = self.digits().skip_while(|digit| **digit == b'0');
        let count = significant.clone().count() as i64;
        if count == 0 {
            return Some(Scaled {
                mantissa: 0,
                exponent: format.least_exponent,
            });
        }
        // Values out of any range are refused before they become numbers of a million digits. Both
        // ranges are a little wider than the formats', whose own bounds round() checks.
        let (bits_per_digit, magnitudes) = if self.radix == 10 {
            (1, -4970..4940)
        } else {
            (4, -16_500..16_400)
        };
        let below_point = bits_per_digit * self.fraction.len() as i64;
        if !magnitudes.contains(&(bits_per_digit * count - below_point + self.exponent)) {
            return None;
        }
        // Small now, as the number of digits is limited and the magnitude is.
        let power = (self.exponent - below_point) as i32;
        let mut numerator = Natural::from_digits(significant, self.radix);
        // numerator / denominator is the literal's exact value. A power of two only moves the
        // exponent; a power of ten has to be multiplied out.
        let exact = if self.radix == 16 {
            divide(numerator, Natural::new(1), power)
        } else if power >= 0 {
            numerator.mul_pow10(power.unsigned_abs());
            divide(numerator, Natural::new(1), 0)
        } else {
            let mut denominator = Natural::new(1);
            denominator.mul_pow10(power.unsigned_abs());
            divide(numerator, denominator, 0)
        };
        exact.round(format).filter(|value| value.mantissa != 0)
    }
}

/// numerator / denominator × 2^exponent to 66 bits or one more: enough to round any format from.
/// Both are not zero.
fn divide(mut numerator: Natural, mut denominator: Natural, exponent: i32) -> Exact {
    const FRACTION_BITS: i32 = 66;
    // Equal bit lengths first, so that the quotient begins with its first or second bit.
    let scale = numerator.bit_len() - denominator.bit_len();
    if scale > 0 {
        denominator.shl(scale.unsigned_abs());
    } else {
        numerator.shl(scale.unsigned_abs());
    }
    // Now the quotient is between 1/2 and 2.
    let mut bits = 0;
    // Schoolbook division: each step subtracts or does not, and that is the next bit.
    for _ in 0..=FRACTION_BITS {
        bits = (bits << 1) | u128::from(numerator.try_sub(&denominator));
        numerator.shl(1);
    }
    Exact {
        bits,
        exponent: exponent + scale - FRACTION_BITS,
        inexact: !numerator.is_zero(),
    }
}

/// Digits with or without a sign. Absurdly large ones saturate: they only decide whether a number
/// is out of range.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    const LIMIT: i64 = 1 << 40;
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0, |value: i64, digit| {
        (value * 10 + i64::from(digit - b'0')).min(LIMIT)
    });
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_sum(a: &str, b: &str, expected: &str) {
        let parse = |text: &str| LongDouble::parse(text.as_bytes()).expect(text);
        assert_eq!(
            parse(a).checked_add(parse(b)).expect("finite").to_string(),
            expected,
            "{a} + {b}"
        );
    }

    // The expected sums below are what redis-server 7.0.15 on x86-64 answers.

    #[test]
    fn sums_of_decimals_look_as_users_expect() {
        check_sum("10.5", "0.1", "10.6");
        check_sum("5.0e3", "2.0e2", "5200");
        check_sum("3", "1.1", "4.1");
        check_sum("0.1", "0.2", "0.3");
        check_sum("1", "-1.5", "-0.5");
        check_sum("1", "-0.9", "0.1");
        check_sum("100", "-0.1", "99.9");
        check_sum(
            "3.14159265358979323846",
            "2.71828182845904523536",
            "5.85987448204883847",
        );
        check_sum("1.0e-17", "1", "1.00000000000000001");
        check_sum("0x1P-3", "0x.8", "0.625");
    }

    #[test]
    fn sums_show_the_same_inexact_digits() {
        check_sum("853933", "34546.10075001302", "888479.10075001301999009");
        check_sum(
            "-24.599034903e-1094",
            "111781.66613952187",
            "111781.66613952187000081",
        );
        check_sum(
            "-961605.4324357519",
            "766529592776095.",
            "766529591814489.56756591796875",
        );
        check_sum(
            "479.374008731e-2985",
            "68295506971461484881513.",
            "68295506971461484879872",
        );
        check_sum(
            "17179869184.000000001",
            "0",
            "17179869184.00000000186264515",
        );
    }

    #[test]
    fn the_64th_bit_is_rounded_half_to_even() {
        check_sum("9223372036854775807", "1", "9223372036854775808");
        check_sum("18446744073709551616", "1", "18446744073709551616");
        check_sum("36893488147419103232", "2", "36893488147419103232");
        check_sum("36893488147419103232", "3", "36893488147419103236");
        check_sum("18446744073709551616", "-0.5", "18446744073709551616");
        check_sum(
            "18446744073709551616",
            "-0.50000000000000000006",
            "18446744073709551615",
        );
        check_sum("1e18", "0.5", "1000000000000000000.5");
        check_sum("1e19", "0.5", "10000000000000000000");
        check_sum(
            "-45341833068598580342",
            "0xd87796681b94f1471",
            "204227786264273633280",
        );
    }

    #[test]
    fn the_17th_digit_is_rounded_from_the_exact_value() {
        check_sum("5e-18", "0", "0");
        check_sum("15e-18", "0", "0.00000000000000002");
        check_sum("25e-18", "0", "0.00000000000000002");
        check_sum("0.5", "1e-19", "0.5");
        check_sum("-1e-20", "0", "0");
        check_sum("-0", "-0", "0");
        check_sum("-0.3", "0.3", "0");
    }

    #[test]
    fn the_ends_of_the_range_are_exact() {
        let max = LongDouble::parse(b"1.18973149535723176502e4932").expect("largest finite value");
        assert_eq!(max.checked_add(max), None);
        assert_eq!(
            max.checked_add(LongDouble::parse(b"-1e4931").expect("finite"))
                .map(|sum| sum.to_string().len()),
            Some(4933)
        );
        check_sum("1e4932", "-1e4932", "0");
        assert!(LongDouble::parse(b"1.2e4932").is_none());
        assert!(LongDouble::parse(b"3.6e-4951").is_some());
        assert!(LongDouble::parse(b"1.8e-4951").is_none());
        assert!(LongDouble::parse(b"0e999999999999999999999").is_some());
        assert!(LongDouble::parse(b"0x1.fffffffffffffffep16383").is_some());
        assert!(LongDouble::parse(b"0x1.ffffffffffffffffp16383").is_none());
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", " 1", "1 ", "1_0", ".", "-.", "e5", "1e", "1e+", "0x", "0x.", "0x1p", "nan",
            "-nan", "+-1", "1,5", "\u{661}",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(LongDouble::parse(&[b'1'; 5 * 1024]), None);
    }

    #[test]
    fn infinity_is_a_number_but_no_sum() {
        let one = LongDouble::parse(b"1").expect("a number");
        for text in ["inf", "-INF", "+Infinity"] {
            let infinite = LongDouble::parse(text.as_bytes()).expect(text);
            assert_eq!(infinite.checked_add(one), None);
            assert_eq!(one.checked_add(infinite), None);
        }
    }

    #[test]
    fn hexadecimal_doubles_are_rounded_once() {
        assert_eq!(parse_hex_f64(b"0x10"), Some(16.0));
        assert_eq!(parse_hex_f64(b"-0X.8P+1"), Some(-1.0));
        assert_eq!(parse_hex_f64(b"0x1.00000000000008"), Some(1.0));
        assert_eq!(
            parse_hex_f64(b"0x1.000000000000080000000000000000000001"),
            Some(1.0 + f64::EPSILON)
        );
        assert_eq!(parse_hex_f64(b"0x1p-1074"), Some(5e-324));
        assert_eq!(parse_hex_f64(b"0x1p-1075"), None);
        assert_eq!(parse_hex_f64(b"0x1.fffffffffffffp1023"), Some(f64::MAX));
        assert_eq!(parse_hex_f64(b"0x1p1024"), None);
    }
}
