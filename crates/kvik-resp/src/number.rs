//! Which byte strings are numbers: Redis' rules. How floats are printed is in `kvik-float`, the
//! extended precision in which `INCRBYFLOAT` adds in [`crate::LongDouble`].

use std::num::FpCategory;

use crate::long_double::parse_hex_f64;

/// The integer that `text` is, if it is written the one way Redis prints it: no plus sign, no
/// blanks, no leading zeros, no `-0`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        // i64::MAX has 19 digits; a longer text is out of range whatever its digits are.
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

/// The float that `text` is by C's `strtod`, as far as Redis accepts it: `inf` and `infinity` with
/// or without sign and in any case, hexadecimal with `0x`; no blanks around, no NaN, nothing that
/// overflows or vanishes to zero.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let Some(value) = std::str::from_utf8(text).ok()?.parse::<f64>().ok() else {
        return parse_hex_f64(text);
    };
    let in_range = match value.classify() {
        FpCategory::Nan => false,
        // A number too large for a float parses as infinity. The word itself has an `i`, digits and
        // an exponent have none.
        FpCategory::Infinite => text.iter().any(|byte| matches!(byte, b'i' | b'I')),
        // So does one too small parse as zero, which only zeros may.
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

#[cfg(test)]
mod tests {
    use kvik_float::format_f64;
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
