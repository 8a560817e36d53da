//! How C prints a `long double` with `%.17Lg`: 17 digits that count, and an exponent where the
//! number is very large or very small.

use super::{LongDouble, Magnitude, Scaled};
use crate::natural::Natural;

/// Digits that count.
const DIGITS: usize = 17;

impl LongDouble {
    /// The number with 17 digits that count, without trailing zeros.
    pub fn general(self) -> String {
        let text = match self.magnitude {
            Magnitude::Infinite => "inf".to_owned(),
            Magnitude::Finite(value) => print(value),
        };
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{text}")
    }
}

fn print(value: Scaled) -> String {
    if value.mantissa == 0 {
        return "0".to_owned();
    }
    let (digits, exponent) = decimal(value);
    let (digits, exponent) = round(digits, exponent);
    let digits = digits.trim_end_matches('0');
    match exponent {
        -4..0 => {
            let zeros = "0".repeat((-1 - exponent) as usize);
            format!("0.{zeros}{digits}")
        }
        0..17 => {
            let whole = exponent as usize + 1;
            match digits.split_at_checked(whole) {
                Some((whole, "")) => whole.to_owned(),
                Some((whole, fraction)) => format!("{whole}.{fraction}"),
                None => format!("{digits:0<whole$}"),
            }
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{first}{point}{rest}e{sign}{:02}", exponent.unsigned_abs())
        }
    }
}

/// All digits of a number that is not zero, and the power of ten of the first one.
fn decimal(value: Scaled) -> (String, i32) {
    let mut digits = Natural::new(value.mantissa);
    // A binary fraction is a decimal one: 2^-n is 5^n / 10^n.
    let behind_point = match u32::try_from(value.exponent) {
        Ok(up) => {
            digits.shl(up);
            0
        }
        Err(_) => {
            digits.mul_pow5(value.exponent.unsigned_abs());
            value.exponent.unsigned_abs() as i32
        }
    };
    let digits = digits.into_decimal();
    let exponent = digits.len() as i32 - 1 - behind_point;
    (digits, exponent)
}

/// The same with as many digits as count, rounded half to even.
fn round(digits: String, exponent: i32) -> (String, i32) {
    let Some((kept, rest)) = digits.split_at_checked(DIGITS) else {
        return (digits, exponent);
    };
    let half = rest.trim_end_matches('0').cmp("5");
    let is_odd = kept.ends_with(['1', '3', '5', '7', '9']);
    if half.is_lt() || (half.is_eq() && !is_odd) {
        return (kept.to_owned(), exponent);
    }
    // 17 digits are below 2^64.
    let up = kept.parse::<u64>().unwrap_or(0) + 1;
    let text = up.to_string();
    let carried = i32::from(text.len() > DIGITS);
    (text, exponent + carried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let number = LongDouble::parse(text.as_bytes()).expect(text);
        assert_eq!(number.general(), expected, "{text}");
    }

    // The expected texts are what printf of glibc says on x86-64.

    #[test]
    fn numbers_are_printed_as_c_does() {
        for same in [
            "0",
            "1",
            "-1",
            "60.5",
            "10.25",
            "12345678901234567",
            "0.0001",
            "-0.5",
        ] {
            check(same, same);
        }
        check("100", "100");
        check("0.3", "0.3");
        check("123456789012345678", "1.2345678901234568e+17");
        check("1152921504606846976", "1.152921504606847e+18");
        check("1e20", "1e+20");
        check("0.00001", "1e-05");
        check("0.000012345", "1.2345e-05");
        check("99999999999999999.9", "1e+17");
        check("9.9999999999999999999", "10");
        check("1e-4930", "1e-4930");
        check("inf", "inf");
        check("-inf", "-inf");
    }
}
