//! Replies as JSON: one text per reply, on one line.
//!
//! Text is a string, maps are objects, sets are arrays. What JSON has no form for becomes an object
//! with one field: an error `{"error":"ERR ..."}`, bytes that are not UTF-8 `{"base64":"..."}`.
//! (redis-cli prints `error:"..."` and the raw bytes there, which no JSON parser takes.) Infinities
//! are strings; so are numbers beyond 64 bits, which parsers would round. A key of an object that
//! is no string is the text of its JSON.

use kvik_client::Value;
use serde_json::{Map, Number, Value as Json, json};

/// Appends `reply` and a line end.
pub(super) fn render(out: &mut Vec<u8>, reply: &Value) {
    out.extend_from_slice(to_json(reply).to_string().as_bytes());
    out.push(b'\n');
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Error(text) => json!({ "error": to_string(text.as_bytes()) }),
        Value::Integer(integer) => json!(integer),
        Value::Double(double) => to_number(*double),
        Value::Boolean(boolean) => json!(boolean),
        Value::Simple(text) => to_string(text.as_bytes()),
        Value::BigNumber(digits) => json!(digits),
        Value::Bulk(bytes) | Value::Verbatim { text: bytes, .. } => to_string(bytes),
        Value::Array(values) | Value::Set(values) | Value::Push(values) => {
            values.iter().map(to_json).collect()
        }
        Value::Map(pairs) => Json::Object(to_object(pairs)),
        Value::Attributed { value, .. } => to_json(value),
    }
}

fn to_object(pairs: &[(Value, Value)]) -> Map<String, Json> {
    let to_key = |key: &Value| match to_json(key) {
        Json::String(text) => text,
        other => other.to_string(),
    };
    pairs
        .iter()
        .map(|(key, value)| (to_key(key), to_json(value)))
        .collect()
}

/// Whole numbers stay whole (`3`, not `3.0`), as RESP writes them.
fn to_number(double: f64) -> Json {
    let text = super::raw::double(double);
    match text.parse::<i64>() {
        Ok(integer) => json!(integer),
        Err(_) => Number::from_f64(double).map_or(Json::String(text), Json::Number),
    }
}

fn to_string(bytes: &[u8]) -> Json {
    match str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": base64(bytes) }),
    }
}

/// RFC 4648 with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    // Three bytes are four symbols of six bits; missing bytes count as zero and are padded.
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, index| {
            bits << 8 | u32::from(chunk.get(index).copied().unwrap_or(0))
        });
        for sextet in 0..4 {
            let symbol = ALPHABET[(bits >> (18 - 6 * sextet) & 63) as usize];
            text.push(if sextet <= chunk.len() {
                char::from(symbol)
            } else {
                '='
            });
        }
    }
    text
}
