//! Floats as text, the way Redis prints scores and doubles.
//!
//! A double of a reply and a score that is stored as text are the same bytes, so the wire and the
//! store both print with this. Nothing here allocates.

#![forbid(unsafe_code)]

/// A printed float, without allocation.
#[derive(Clone, Copy)]
pub struct FloatText {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl FloatText {
    /// 17 digits with `-0.000000` before them, or `e-308` behind, or zeros up to 2^62.
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

/// Prints a float as Redis 7.2 prints scores and doubles: the fewest digits that identify it, whole
/// numbers below 2^62 without exponent, `inf`, `-inf`, `nan`, `-0`.
///
/// ```
/// use kvik_float::format_f64;
///
/// assert_eq!(format_f64(0.1 + 0.2).as_str(), "0.30000000000000004");
/// assert_eq!(format_f64(3.0).as_str(), "3");
/// assert_eq!(format_f64(1e21).as_str(), "1e+21");
/// ```
pub fn format_f64(value: f64) -> FloatText {
    let mut text = FloatText::empty();
    if value.is_nan() {
        text.push(b"nan");
        return text;
    }
    // The sign is apart from the magnitude, so that -0 keeps it.
    if value.is_sign_negative() {
        text.push(b"-");
    }
    let magnitude = value.abs();
    if magnitude.is_infinite() {
        text.push(b"inf");
    // Redis prints what is a whole number as one; this is also the fast way for most scores.
    } else if magnitude <= WHOLE_MAX && magnitude.trunc() == magnitude {
        text.push(itoa::Buffer::new().format(magnitude as u64).as_bytes());
    } else {
        push_shortest(&mut text, magnitude);
    }
    text
}

/// Whole numbers up to here are printed as integers.
const WHOLE_MAX: f64 = (1u64 << 62) as f64;

/// Digits d₁d₂…dₙ times 10^exponent, laid out as plain number where that is short and as
/// `d₁.d₂…e±x` elsewhere.
fn push_shortest(text: &mut FloatText, magnitude: f64) {
    let mut buffer = zmij::Buffer::new();
    let mut digits = [0; 24];
    let (len, exponent) = split_digits(buffer.format_finite(magnitude).as_bytes(), &mut digits);
    let digits = &digits[..len];
    // Digits before the decimal point, which are none where this is not positive.
    let point = len as i32 + exponent;
    let scientific = point - 1;
    // Redis' fpconv: zeros are appended while the text stays short, then an exponent follows.
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
            // 0.00125 has digits 125 and its point two places before them.
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

/// Takes a printed float such as `0.00125` or `1.25e-3` apart: the significant digits into
/// `digits`; returns how many they are and the power of ten of the last one.
fn split_digits(printed: &[u8], digits: &mut [u8; 24]) -> (usize, i32) {
    let (mut len, mut exponent, mut after_point) = (0, 0, false);
    for (i, byte) in printed.iter().enumerate() {
        match byte {
            b'.' => after_point = true,
            b'e' => {
                let written = std::str::from_utf8(&printed[i + 1..])
                    .ok()
                    .and_then(|text| text.parse::<i32>().ok());
                // zmij prints an exponent only where it is short; both forms lead to the same
                // digits.
                exponent += written.expect("a printed float has a numeric exponent");
                break;
            }
            digit => {
                // Each digit behind the point makes the last one worth a tenth.
                exponent -= i32::from(after_point);
                // Leading zeros carry no digits; those at the end are counted back below.
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
    use super::*;
    use proptest::prelude::*;

    /// Valkey 9.1 answers these to ZSCORE.
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
        fn what_is_printed_is_that_float(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(format_f64(value).as_str().parse::<f64>(), Ok(value));
        }
    }
}
