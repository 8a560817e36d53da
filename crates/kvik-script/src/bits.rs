//! `bit`: Mike Pall's BitOp, operations on 32-bit integers.

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::native::{self, Outcome};
use crate::numbers;
use crate::raise::Shape;

/// The module's functions.
pub(crate) fn functions(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    let add = |name: &'static str, operation: fn(&[i32]) -> i32, least: usize| {
        let function = lua.create_function(move |lua, values: MultiValue| {
            let outcome = arguments(&values, name, least).map(|it| number(operation(&it)));
            native::single(lua, outcome)
        })?;
        native::add(lua, &table, name, Shape::Text, function)
    };
    add("tobit", |it| it[0], 1)?;
    add("bnot", |it| !it[0], 1)?;
    add("band", |it| it.iter().fold(-1, |all, one| all & one), 1)?;
    add("bor", |it| it.iter().fold(0, |all, one| all | one), 1)?;
    add("bxor", |it| it.iter().fold(0, |all, one| all ^ one), 1)?;
    add("lshift", |it| it[0].wrapping_shl(it[1] as u32), 2)?;
    add(
        "rshift",
        |it| (it[0] as u32).wrapping_shr(it[1] as u32) as i32,
        2,
    )?;
    add("arshift", |it| it[0].wrapping_shr(it[1] as u32), 2)?;
    add("rol", |it| it[0].rotate_left(it[1] as u32 & 31), 2)?;
    add("ror", |it| it[0].rotate_right(it[1] as u32 & 31), 2)?;
    add("bswap", |it| it[0].swap_bytes(), 1)?;
    let tohex = lua.create_function(|lua, values: MultiValue| {
        let outcome = arguments(&values, "tohex", 1).map(|it| {
            let digits = it.get(1).copied().unwrap_or(8);
            hex(it[0] as u32, digits)
        });
        match outcome {
            Ok(text) => native::single(lua, Ok(Value::String(lua.create_string(text)?))),
            Err(text) => native::single(lua, Err(text)),
        }
    })?;
    native::add(lua, &table, "tohex", Shape::Text, tohex)?;
    Ok(table)
}

fn number(bits: i32) -> Value {
    Value::Number(bits.into())
}

fn arguments(values: &MultiValue, name: &str, least: usize) -> Outcome<Vec<i32>> {
    let count = values.len().max(least);
    let argument = |at: usize| {
        let value = values.get(at);
        let number = value.and_then(numbers::number);
        number
            .map(to_bits)
            .ok_or_else(|| native::wrong_type(value, at, name, "number"))
    };
    (0..count).map(argument).collect()
}

/// The low 32 bits of a number, rounded to the nearest integer.
fn to_bits(number: f64) -> i32 {
    let rounded = number.round_ties_even();
    // Numbers beyond 2^53 have no defined bits.
    if rounded.abs() < 9_007_199_254_740_992.0 {
        rounded as i64 as i32
    } else {
        0
    }
}

/// At most eight digits; a negative number of them asks for capital letters.
fn hex(bits: u32, digits: i32) -> String {
    let count = digits.unsigned_abs().min(8) as usize;
    let text = match digits < 0 {
        true => format!("{bits:08X}"),
        false => format!("{bits:08x}"),
    };
    text[8 - count..].to_owned()
}
