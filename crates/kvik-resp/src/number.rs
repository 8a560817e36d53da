//! Which byte strings are numbers, and how numbers are printed: Redis' rules. The extended precision in which
//! `INCRBYFLOAT` adds is in [`crate::LongDouble`].

use std::num::FpCategory;

use crate::long_double::parse_hex_f64;

/// The integer that `text` is, if it is written the one way Redis prints it: no plus sign, no blanks, no leading
/// zeros, no `-0`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // 19 digits always fit into a u64.
    let mut magnitude: u64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// The float that `text` is by C's `strtod`, as far as Redis accepts it: `inf` and `infinity` with or without sign and
/// in any case, hexadecimal with `0x`; no blanks around, no NaN, nothing that overflows or vanishes to zero.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let Some(value) = std::str::from_utf8(text).ok()?.parse::<f64>().ok() else {
        return parse_hex_f64(text);
    };
    let in_range = match value.classify() {
        FpCategory::Nan => false,
        FpCategory::Infinite => text.iter().any(|byte| matches!(byte, b'i' | b'I')),
        FpCategory::Zero => is_zero(text),
        _ => true,
    };
    in_range.then_some(value)
}

/// Whether every digit before the exponent is zero.
fn is_zero(text: &[u8]) -> bool {
    let mantissa = text
        .split(|byte| matches!(byte, b'e' | b'E'))
        .next()
        .unwrap_or_default();
    !mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'))
}

/// A printed float, without allocation.
#[derive(Clone, Copy)]
pub struct FloatText {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl FloatText {
    /// 17 digits and what surrounds them: `-0.000000` before them, or `e-308` behind, or zeros up to 2^62.
    const MAX_LEN: usize = 32;

    /// The printed form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }

    /// The printed form as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("only ASCII is ever pushed")
    }

    fn empty() -> Self {
        Self {
            bytes: [0; Self::MAX_LEN],
            len: 0,
        }
    }

    fn push(&mut self, text: &[u8]) {
        let end = usize::from(self.len) + text.len();
        self.bytes[self.len.into()..end].copy_from_slice(text);
        self.len = end as u8;
    }

    fn push_zeros(&mut self, count: usize) {
        self.push(&[b'0'; Self::MAX_LEN][..count]);
    }
}

impl std::fmt::Display for FloatText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for FloatText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Prints a float as Redis 7.2 prints scores and doubles: the fewest digits that identify it, whole numbers below
/// 2^62 without exponent, `inf`, `-inf`, `nan`, `-0`.
pub fn format_f64(value: f64) -> FloatText {
    let mut text = FloatText::empty();
    if value.is_nan() {
        text.push(b"nan");
        return text;
    }
    if value.is_sign_negative() {
        text.push(b"-");
    }
    let magnitude = value.abs();
    if magnitude.is_infinite() {
        text.push(b"inf");
    } else if magnitude <= WHOLE_MAX && magnitude.trunc() == magnitude {
        text.push(itoa::Buffer::new().format(magnitude as u64).as_bytes());
    } else {
        push_shortest(&mut text, magnitude);
    }
    text
}

/// Whole numbers up to here are printed as integers.
const WHOLE_MAX: f64 = (1u64 << 62) as f64;

/// Digits d₁d₂…dₙ times 10^exponent, laid out as plain number where that is short and as `d₁.d₂…e±x` elsewhere.
fn push_shortest(text: &mut FloatText, magnitude: f64) {
    let mut buffer = zmij::Buffer::new();
    let mut digits = [0; 24];
    let (len, exponent) = split_digits(buffer.format_finite(magnitude).as_bytes(), &mut digits);
    let digits = &digits[..len];
    let point = len as i32 + exponent;
    let scientific = point - 1;
    if exponent >= 0 && scientific < len as i32 + 7 {
        text.push(digits);
        text.push_zeros(exponent as usize);
    } else if exponent < 0 && (exponent > -7 || scientific.abs() < 4) {
        push_fraction(text, digits, point);
    } else {
        push_scientific(text, digits, scientific);
    }
}

fn push_fraction(text: &mut FloatText, digits: &[u8], point: i32) {
    match usize::try_from(point) {
        Ok(whole) if whole > 0 => {
            text.push(&digits[..whole]);
            text.push(b".");
            text.push(&digits[whole..]);
        }
        _ => {
            text.push(b"0.");
            text.push_zeros(point.unsigned_abs() as usize);
            text.push(digits);
        }
    }
}

fn push_scientific(text: &mut FloatText, digits: &[u8], exponent: i32) {
    text.push(&digits[..1]);
    if digits.len() > 1 {
        text.push(b".");
        text.push(&digits[1..]);
    }
    text.push(if exponent < 0 { b"e-" } else { b"e+" });
    text.push(
        itoa::Buffer::new()
            .format(exponent.unsigned_abs())
            .as_bytes(),
    );
}

/// Takes a printed float such as `0.00125` or `1.25e-3` apart: the significant digits into `digits`; returns how many
/// they are and the power of ten of the last one.
fn split_digits(printed: &[u8], digits: &mut [u8; 24]) -> (usize, i32) {
    let (mut len, mut exponent, mut after_point) = (0, 0, false);
    for (i, byte) in printed.iter().enumerate() {
        match byte {
            b'.' => after_point = true,
            b'e' => {
                let written = std::str::from_utf8(&printed[i + 1..])
                    .ok()
                    .and_then(|text| text.parse::<i32>().ok());
                exponent += written.expect("a printed float has a numeric exponent");
                break;
            }
            digit => {
                exponent -= i32::from(after_point);
                if len > 0 || *digit != b'0' {
                    digits[len] = *digit;
                    len += 1;
                }
            }
        }
    }
    let zeros = digits[..len]
        .iter()
        .rev()
        .take_while(|digit| **digit == b'0')
        .count();
    (len - zeros, exponent + zeros as i32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_integer_has_one_spelling() {
        for good in [
            "0",
            "7",
            "-1",
            "10",
            "9223372036854775807",
            "-9223372036854775808",
        ] {
            assert_eq!(
                parse_i64(good.as_bytes())
                    .map(|value| value.to_string())
                    .as_deref(),
                Some(good)
            );
        }
        let bad = [
            "", "-", "-0", "00", "01", "-01", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "a", "--1",
        ];
        let too_large = [
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "100000000000000000000",
        ];
        for text in bad.iter().chain(&too_large) {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_float_is_what_strtod_reads_whole() {
        let good = [
            ("1", 1.0),
            ("-1.5", -1.5),
            ("+3", 3.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e2", 100.0),
            ("1E-2", 0.01),
        ];
        let hexadecimal = [("0x10", 16.0), ("-0X1p-1", -0.5)];
        let extreme = [
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("+INF", f64::INFINITY),
            ("4e-324", 5e-324),
        ];
        for (text, value) in good.iter().chain(&hexadecimal).chain(&extreme) {
            assert_eq!(parse_f64(text.as_bytes()), Some(*value), "{text}");
        }
        assert_eq!(parse_f64(b"0e-999999"), Some(0.0));
    }

    #[test]
    fn blanks_nan_and_values_out_of_range_are_no_floats() {
        for text in [
            "", " 1", "1 ", "\t1", "nan", "NaN", "-nan", "1e400", "-1e400", "1e-400", "1x", "0x",
            "1_0", ".", "e5", "in",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_f64(b"\xff"), None);
        assert_eq!(parse_f64(b"1\0"), None);
    }

    /// What Valkey 9.1 answers to ZSCORE.
    #[test]
    fn floats_are_laid_out_as_redis_does() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (3.25, "3.25"),
            (-99.995, "-99.995"),
            (0.001, "0.001"),
            (0.0000001, "1e-7"),
            (0.000015, "0.000015"),
            (0.00001234567, "1.234567e-5"),
            (1.234567e-8, "1.234567e-8"),
            (1e17, "100000000000000000"),
            (4e18, "4000000000000000000"),
            (4.7e18, "4.7e+18"),
            (1.5e-6, "1.5e-6"),
            (0.0001234567, "1.234567e-4"),
            (0.00123456789, "0.00123456789"),
            (1234.12345678901, "1234.12345678901"),
            (12345.12345678901, "1.234512345678901e+4"),
            (5.1234567891e18, "5.1234567891e+18"),
            (5.12345678912e18, "5123456789120000000"),
            (123456789012345678901.0, "123456789012345680000"),
            (1e19, "1e+19"),
            (1.5e300, "1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-5e-324, "-5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, text) in cases {
            assert_eq!(format_f64(value).as_str(), text);
        }
    }

    proptest! {
        #[test]
        fn integers_come_back(value: i64) {
            prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn floats_come_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(parse_f64(format_f64(value).as_bytes()), Some(value));
        }

        #[test]
        fn decimal_floats_come_back(mantissa in -99_999i64..99_999, exponent in -25i32..25) {
            let value: f64 = format!("{mantissa}e{exponent}").parse().unwrap();
            prop_assert_eq!(parse_f64(format_f64(value).as_bytes()), Some(value));
        }

        #[test]
        fn any_bytes_are_a_number_or_not(text in "[-+0-9a-fx.pinPINEe]{0,12}") {
            let _ = (parse_i64(text.as_bytes()), parse_f64(text.as_bytes()));
        }
    }
}
