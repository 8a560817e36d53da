//! Writing JSON.

use mlua::{Table, Value};

use super::{Invalid, JsonSettings, is_null};
use crate::link::Link;
use crate::native::Outcome;
use crate::numbers;

/// A value as JSON.
pub(super) fn encode(value: &Value, settings: &JsonSettings, link: &Link) -> Outcome<Vec<u8>> {
    let mut writer = JsonWriter {
        text: Vec::new(),
        settings,
        link,
    };
    writer.value(value, 0)?;
    Ok(writer.text)
}

struct JsonWriter<'a> {
    text: Vec<u8>,
    settings: &'a JsonSettings,
    link: &'a Link,
}

impl JsonWriter<'_> {
    fn value(&mut self, value: &Value, depth: i64) -> Outcome<()> {
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(number) => self.number(*number as f64)?,
            Value::Number(number) => self.number(*number)?,
            Value::Boolean(true) => self.text.extend_from_slice(b"true"),
            Value::Boolean(false) => self.text.extend_from_slice(b"false"),
            Value::Nil => self.text.extend_from_slice(b"null"),
            Value::Table(table) => self.table(table, depth + 1)?,
            other if is_null(other) => self.text.extend_from_slice(b"null"),
            other => return Err(unsupported(numbers::type_name(other), "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: i64) -> Outcome<()> {
        if depth > self.settings.encode_depth {
            return Err(format!("Cannot serialise, excessive depth ({depth})").into_bytes());
        }
        self.link
            // A table may refer to itself, or be large: its elements count as steps.
            .with(|shared| shared.step(1 + table.raw_len() as u32))
            .map_err(|ending| Vec::from(ending.text()))?;
        match self.array_length(table)? {
            Some(length) if length > 0 => self.array(table, length, depth),
            _ => self.object(table, depth),
        }
    }

    /// The length of a table that is an array.
    fn array_length(&self, table: &Table) -> Outcome<Option<i64>> {
        let (mut max, mut items) = (0, 0);
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair.map_err(failed)?;
            let position = match key {
                Value::Integer(position) => position,
                Value::Number(number) if number.fract() == 0.0 => number as i64,
                _ => return Ok(None),
            };
            if position < 1 {
                return Ok(None);
            }
            max = max.max(position);
            items += 1;
        }
        let JsonSettings {
            sparse_ratio,
            sparse_safe,
            sparse_converts,
            ..
        } = *self.settings;
        // A few elements with huge positions would become millions of nulls.
        if sparse_ratio > 0 && max > items * sparse_ratio && max > sparse_safe {
            return match sparse_converts {
                true => Ok(None),
                false => Err(unsupported("table", "excessively sparse array")),
            };
        }
        Ok(Some(max))
    }

    fn array(&mut self, table: &Table, length: i64, depth: i64) -> Outcome<()> {
        self.text.push(b'[');
        for position in 1..=length {
            if position > 1 {
                self.text.push(b',');
            }
            let element: Value = table.raw_get(position).map_err(failed)?;
            self.value(&element, depth)?;
        }
        self.text.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i64) -> Outcome<()> {
        self.text.push(b'{');
        let mut is_first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(failed)?;
            if !std::mem::take(&mut is_first) {
                self.text.push(b',');
            }
            match &key {
                Value::String(text) => self.string(&text.as_bytes()),
                Value::Integer(_) | Value::Number(_) => {
                    self.text.push(b'"');
                    self.number(numbers::number(&key).unwrap_or(0.0))?;
                    self.text.push(b'"');
                }
                _ => {
                    return Err(unsupported("table", "table key must be a number or string"));
                }
            }
            self.text.push(b':');
            self.value(&value, depth)?;
        }
        self.text.push(b'}');
        Ok(())
    }

    fn number(&mut self, number: f64) -> Outcome<()> {
        if !number.is_finite() {
            match self.settings.encode_invalid {
                Invalid::Refused => {
                    return Err(unsupported("number", "must not be NaN or Inf"));
                }
                Invalid::Null => self.text.extend_from_slice(b"null"),
                Invalid::Written => {
                    let text: &[u8] = match number {
                        _ if number.is_nan() => b"nan",
                        _ if number > 0.0 => b"inf",
                        _ => b"-inf",
                    };
                    self.text.extend_from_slice(text);
                }
            }
            return Ok(());
        }
        self.text
            .extend_from_slice(general(number, self.settings.precision).as_bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.text.push(b'"');
        for &byte in text {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'/' => b"\\/",
                8 => b"\\b",
                9 => b"\\t",
                10 => b"\\n",
                12 => b"\\f",
                13 => b"\\r",
                0..=31 | 127 => {
                    self.text
                        .extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                plain => {
                    self.text.push(plain);
                    continue;
                }
            };
            self.text.extend_from_slice(escape);
        }
        self.text.push(b'"');
    }
}

fn unsupported(kind: &str, why: &str) -> Vec<u8> {
    format!("Cannot serialise {kind}: {why}").into_bytes()
}

fn failed(error: mlua::Error) -> Vec<u8> {
    error.to_string().into_bytes()
}

/// A number as C's `%.{precision}g` prints it.
pub(crate) fn general(number: f64, precision: usize) -> String {
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    // Whole numbers of up to 14 digits print the same either way, and much faster as integers.
    if number.fract() == 0.0 && number.abs() < 1e14 && precision >= 14 {
        return (number as i64).to_string();
    }
    let scientific = format!("{number:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // The rule of C for choosing the shorter form.
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{number:.decimals$}")).to_owned()
}

/// Without zeros at the end of a fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_c_prints_them() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e13, "10000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345_680.0, "1.2345678901235e+17"),
            (1.0 / 3.0, "0.33333333333333"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (5e-324, "4.9406564584125e-324"),
            (99_999_999_999_999.9, "1e+14"),
        ];
        for (number, text) in cases {
            assert_eq!(general(number, 14), text);
        }
    }
}
