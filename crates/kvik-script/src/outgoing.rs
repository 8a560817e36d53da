//! From a value of Lua to a reply.

use kvik_resp::{Protocol, Reply};
use mlua::{LuaString, Result, Table, Value};

/// How deep a reply may be nested: each level takes some of Lua's stack in Redis, which ends there.
const DEPTH: u32 = 500;

/// Writes a value. `protocol` is what the script has chosen for itself.
pub(crate) fn write(value: &Value, protocol: Protocol, reply: &mut Reply<'_>) -> Result<()> {
    write_nested(value, protocol, reply, DEPTH)
}

fn write_nested(
    value: &Value,
    protocol: Protocol,
    reply: &mut Reply<'_>,
    depth: u32,
) -> Result<()> {
    if depth == 0 {
        reply.error("ERR reached lua stack limit");
        return Ok(());
    }
    match value {
        Value::String(text) => reply.bulk(&text.as_bytes()),
        Value::Integer(number) => reply.integer(*number),
        Value::Number(number) => reply.integer(*number as i64),
        Value::Boolean(truth) if protocol == Protocol::Resp3 => reply.boolean(*truth),
        Value::Boolean(true) => reply.integer(1),
        Value::Table(table) => write_table(table, protocol, reply, depth)?,
        _ => reply.null(),
    }
    Ok(())
}

fn write_table(table: &Table, protocol: Protocol, reply: &mut Reply<'_>, depth: u32) -> Result<()> {
    // A list has none of the fields that mark other kinds, and looking for each takes time.
    if table.raw_len() > 0 && !has_fields(table)? {
        return write_list(table, protocol, reply, depth);
    }
    if let Some(text) = field(table, "err")? {
        reply.error_bytes(&text.as_bytes());
    } else if let Some(text) = field(table, "ok")? {
        reply.simple_bytes(&text.as_bytes());
    } else if let Some(number) = number(&table.raw_get::<Value>("double")?) {
        reply.double(number);
    } else if let Some(digits) = field(table, "big_number")? {
        reply.big_number(&one_line(&digits.as_bytes()));
    } else if !write_verbatim(table, reply)? {
        match (table.raw_get("map")?, table.raw_get("set")?) {
            (Value::Table(map), _) => write_map(&map, protocol, reply, depth)?,
            (_, Value::Table(set)) => write_set(&set, protocol, reply, depth)?,
            _ => write_list(table, protocol, reply, depth)?,
        }
    }
    Ok(())
}

/// Whether a table with list elements may have others. It has none if the entry behind the last
/// list element is the end.
fn has_fields(table: &Table) -> Result<bool> {
    const KINDS: [&str; 7] = [
        "err",
        "ok",
        "double",
        "big_number",
        "verbatim_string",
        "map",
        "set",
    ];
    for kind in KINDS {
        if !matches!(table.raw_get(kind)?, Value::Nil) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn field(table: &Table, name: &str) -> Result<Option<LuaString>> {
    Ok(match table.raw_get(name)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}

fn one_line(text: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| match byte {
        b'\r' | b'\n' => b' ',
        other => *other,
    };
    text.iter().map(plain).collect()
}

fn write_verbatim(table: &Table, reply: &mut Reply<'_>) -> Result<bool> {
    let Value::Table(parts) = table.raw_get("verbatim_string")? else {
        return Ok(false);
    };
    let (Some(format), Some(text)) = (field(&parts, "format")?, field(&parts, "string")?) else {
        return Ok(false);
    };
    // A format has three characters; a shorter one is filled up, a longer one is cut.
    let mut three = [b' '; 3];
    for (to, from) in three.iter_mut().zip(format.as_bytes().iter()) {
        *to = if from.is_ascii_graphic() { *from } else { b' ' };
    }
    let three = std::str::from_utf8(&three).unwrap_or("txt");
    reply.verbatim(three, &text.as_bytes());
    Ok(true)
}

fn write_map(map: &Table, protocol: Protocol, reply: &mut Reply<'_>, depth: u32) -> Result<()> {
    let (header, mut pairs) = (reply.deferred_map(), 0);
    map.for_each(|key: Value, value: Value| {
        pairs += 1;
        write_nested(&key, protocol, reply, depth - 1)?;
        write_nested(&value, protocol, reply, depth - 1)
    })?;
    reply.finish_map(header, pairs);
    Ok(())
}

fn write_set(set: &Table, protocol: Protocol, reply: &mut Reply<'_>, depth: u32) -> Result<()> {
    let (header, mut len) = (reply.deferred_set(), 0);
    set.for_each(|key: Value, _: Value| {
        len += 1;
        write_nested(&key, protocol, reply, depth - 1)
    })?;
    reply.finish_set(header, len);
    Ok(())
}

/// Writes elements up to the first nil.
fn write_list(list: &Table, protocol: Protocol, reply: &mut Reply<'_>, depth: u32) -> Result<()> {
    let (header, mut len) = (reply.deferred_array(), 0);
    loop {
        let element: Value = list.raw_get(len + 1)?;
        if element == Value::Nil {
            break;
        }
        write_nested(&element, protocol, reply, depth - 1)?;
        len += 1;
    }
    reply.finish_array(header, len);
    Ok(())
}
