//! Native functions that scripts see: how they take arguments and return results and errors.

use mlua::{Function, Lua, MultiValue, Result, Table, Value};

use crate::numbers;
use crate::raise::{self, Shape};

/// A result, or the text of an error.
pub(crate) type Outcome<T> = std::result::Result<T, Vec<u8>>;

/// Adds a function that scripts see.
pub(crate) fn add(
    lua: &Lua,
    raw: &Table,
    name: &str,
    shape: Shape,
    function: Function,
) -> Result<()> {
    raw.raw_set(name, raise::wrap(lua, function, shape)?)
}

/// The results of a function with one: the error first.
pub(crate) fn single(lua: &Lua, outcome: Outcome<Value>) -> Result<(Value, Value)> {
    Ok(match outcome {
        Ok(value) => (Value::Nil, value),
        Err(text) => (Value::String(lua.create_string(text)?), Value::Nil),
    })
}

/// The results of a function with several: the error first.
pub(crate) fn several(lua: &Lua, outcome: Outcome<Vec<Value>>) -> Result<MultiValue> {
    Ok(match outcome {
        Ok(values) => [Value::Nil].into_iter().chain(values).collect(),
        Err(text) => [Value::String(lua.create_string(text)?)]
            .into_iter()
            .collect(),
    })
}

/// An argument as an integer, as `luaL_checkint` wants it.
pub(crate) fn integer_argument(values: &MultiValue, at: usize, function: &str) -> Outcome<i64> {
    let value = values.get(at);
    value
        .and_then(numbers::number)
        .map(|it| it as i64)
        .ok_or_else(|| wrong_type(value, at, function, "number"))
}

/// The text of Lua for an argument of another type than a function wants.
pub(crate) fn wrong_type(
    value: Option<&Value>,
    at: usize,
    function: &str,
    expected: &str,
) -> Vec<u8> {
    let got = value.map_or("no value", numbers::type_name);
    let at = at + 1;
    format!("bad argument #{at} to '{function}' ({expected} expected, got {got})").into_bytes()
}
