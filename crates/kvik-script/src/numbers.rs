//! Numbers between Lua and commands.

use mlua::Value;

/// A number as a command's argument: an integer where it is one.
pub(crate) fn argument(number: f64) -> Vec<u8> {
    match integer(number) {
        Some(number) => number.to_string().into_bytes(),
        None => kvik_resp::format_f64(number).as_bytes().to_vec(),
    }
}

/// A number that has no fraction and fits an integer exactly.
pub(crate) fn integer(number: f64) -> Option<i64> {
    const LIMIT: f64 = 4_611_686_018_427_387_904.0;
    let fits = number.fract() == 0.0 && number.abs() < LIMIT;
    // A negative zero is no integer to Redis.
    (fits && !(number == 0.0 && number.is_sign_negative())).then_some(number as i64)
}

/// A value as a number, as Lua turns strings into numbers.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(text) => parse(&text.as_bytes()),
        _ => None,
    }
}

/// A text as a number, as Lua reads it: decimal or hexadecimal, with blanks around it.
pub(crate) fn parse(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let number = if digits.len() > 2 && digits[..2].eq_ignore_ascii_case(b"0x") {
        let digits = std::str::from_utf8(&digits[2..]).ok()?;
        u64::from_str_radix(digits, 16).ok()? as f64
    } else if digits.first()?.is_ascii_digit() || digits.starts_with(b".") {
        std::str::from_utf8(digits).ok()?.parse().ok()?
    } else {
        return None;
    };
    Some(if negative { -number } else { number })
}

/// The name of a value's type, as error texts have it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) | Value::Number(_) => "number",
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}
