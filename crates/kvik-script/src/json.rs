//! `cjson`: JSON to and from Lua's values, with the results and the error texts of lua-cjson 2.1.

mod decode;
mod encode;

use mlua::{LightUserData, Lua, MultiValue, Result, Table, Value};

use crate::link::Link;
use crate::native::{self, Outcome};
use crate::numbers;
use crate::raise::Shape;

/// The settings of the module, which begin anew with each script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonSettings {
    /// Holes are filled up to this position whatever the ratio is.
    sparse_safe: i64,
    /// An array with more than so many times as many positions as elements is sparse; 0 for none.
    sparse_ratio: i64,
    /// A sparse array becomes an object instead of an error.
    sparse_converts: bool,
    encode_depth: i64,
    decode_depth: i64,
    /// Significant digits of numbers.
    precision: usize,
    /// The treatment of numbers that JSON lacks.
    encode_invalid: Invalid,
    decode_invalid: bool,
}

/// The treatment of a number that JSON lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for JsonSettings {
    fn default() -> Self {
        Self {
            sparse_safe: 10,
            sparse_ratio: 2,
            sparse_converts: false,
            encode_depth: 1000,
            decode_depth: 1000,
            precision: 14,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

/// `cjson.null`.
fn null() -> Value {
    Value::LightUserData(LightUserData(std::ptr::null_mut()))
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::LightUserData(pointer) if pointer.0.is_null())
}

/// Adds `json_encode`, `json_decode`, `json_null` and `json_settings`.
pub(crate) fn add(lua: &Lua, link: &Link, raw: &Table) -> Result<()> {
    let shared = link.clone();
    let encode = lua.create_function(move |lua, values: MultiValue| {
        if values.len() != 1 {
            return native::single(lua, Err(expected(1, "encode")));
        }
        let settings = shared.with(|shared| shared.json);
        match encode::encode(&values[0], &settings, &shared) {
            Ok(text) => native::single(lua, Ok(Value::String(lua.create_string(text)?))),
            Err(text) => native::single(lua, Err(text)),
        }
    })?;
    native::add(lua, raw, "json_encode", Shape::Text, encode)?;
    let shared = link.clone();
    let decode = lua.create_function(move |lua, values: MultiValue| {
        if values.len() != 1 {
            return native::single(lua, Err(expected(1, "decode")));
        }
        let settings = shared.with(|shared| shared.json);
        let Some(text) = lua.coerce_string(values[0].clone())? else {
            let wrong = native::wrong_type(values.front(), 0, "decode", "string");
            return native::single(lua, Err(wrong));
        };
        let decoded = decode::decode(lua, &text.as_bytes(), &settings)?;
        native::single(lua, decoded)
    })?;
    native::add(lua, raw, "json_decode", Shape::Text, decode)?;
    raw.raw_set("json_null", null())?;
    raw.raw_set("json_settings", settings(lua, link)?)
}

fn expected(count: usize, name: &str) -> Vec<u8> {
    format!("bad argument #{count} to '{name}' (expected {count} argument)").into_bytes()
}

/// A setting: reads its arguments and returns its values.
type Setting = fn(&mut JsonSettings, &MultiValue) -> Outcome<Vec<Value>>;

fn settings(lua: &Lua, link: &Link) -> Result<Table> {
    let table = lua.create_table()?;
    let add = |name: &'static str, setting: Setting| {
        let shared = link.clone();
        let function = lua.create_function(move |lua, values: MultiValue| {
            let outcome = shared.with(|shared| setting(&mut shared.json, &values));
            native::several(lua, outcome)
        })?;
        native::add(lua, &table, name, Shape::Text, function)
    };
    add("encode_sparse_array", |settings, values| {
        if let Some(converts) = boolean(values, 0)? {
            settings.sparse_converts = converts;
        }
        settings.sparse_ratio = integer(values, 1, 0, settings.sparse_ratio)?;
        settings.sparse_safe = integer(values, 2, 0, settings.sparse_safe)?;
        Ok(vec![
            Value::Boolean(settings.sparse_converts),
            Value::Integer(settings.sparse_ratio),
            Value::Integer(settings.sparse_safe),
        ])
    })?;
    add("encode_max_depth", |settings, values| {
        settings.encode_depth = integer(values, 0, 1, settings.encode_depth)?.min(MAX_DEPTH);
        Ok(vec![Value::Integer(settings.encode_depth)])
    })?;
    add("decode_max_depth", |settings, values| {
        settings.decode_depth = integer(values, 0, 1, settings.decode_depth)?.min(MAX_DEPTH);
        Ok(vec![Value::Integer(settings.decode_depth)])
    })?;
    add("encode_number_precision", |settings, values| {
        let precision = integer(values, 0, 1, settings.precision as i64)?;
        if precision > 16 {
            return Err(b"bad argument #1 to '?' (expected integer between 1 and 16)".to_vec());
        }
        settings.precision = precision as usize;
        Ok(vec![Value::Integer(precision)])
    })?;
    add("encode_keep_buffer", |_, values| {
        let keeps = boolean(values, 0)?.unwrap_or(true);
        Ok(vec![Value::Boolean(keeps)])
    })?;
    add("encode_invalid_numbers", |settings, values| {
        let is_null =
            matches!(values.front(), Some(Value::String(it)) if *it.as_bytes() == *b"null");
        if is_null {
            settings.encode_invalid = Invalid::Null;
        } else if let Some(written) = boolean(values, 0)? {
            settings.encode_invalid = match written {
                true => Invalid::Written,
                false => Invalid::Refused,
            };
        }
        Ok(vec![Value::Boolean(
            settings.encode_invalid != Invalid::Refused,
        )])
    })?;
    add("decode_invalid_numbers", |settings, values| {
        if let Some(accepted) = boolean(values, 0)? {
            settings.decode_invalid = accepted;
        }
        Ok(vec![Value::Boolean(settings.decode_invalid)])
    })?;
    Ok(table)
}

/// Deeper values are refused whatever the setting says: each level takes some of the stack.
const MAX_DEPTH: i64 = 1000;

fn integer(values: &MultiValue, at: usize, least: i64, default: i64) -> Outcome<i64> {
    match values.get(at) {
        None | Some(Value::Nil) => Ok(default),
        Some(value) => match numbers::number(value) {
            Some(number) if number as i64 >= least => Ok(number as i64),
            Some(_) => {
                let at = at + 1;
                let text = format!(
                    "bad argument #{at} to '?' (expected integer between {least} and 2147483647)"
                );
                Err(text.into_bytes())
            }
            None => Err(native::wrong_type(Some(value), at, "?", "number")),
        },
    }
}

fn boolean(values: &MultiValue, at: usize) -> Outcome<Option<bool>> {
    match values.get(at) {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Boolean(truth)) => Ok(Some(*truth)),
        Some(Value::String(text)) if *text.as_bytes() == *b"on" => Ok(Some(true)),
        Some(Value::String(text)) if *text.as_bytes() == *b"off" => Ok(Some(false)),
        other => Err(native::wrong_type(other, at, "?", "boolean")),
    }
}
