//! `cmsgpack`: MessagePack, with the results and the error texts of lua-cmsgpack 0.4.

use mlua::{Lua, LuaString, MultiValue, Result, Table, Value};

use crate::link::Link;
use crate::native::{self, Outcome};
use crate::numbers;
use crate::raise::Shape;

/// Deeper tables are written as nil.
const WRITTEN_DEPTH: u32 = 16;
/// Deeper ones are not read.
const READ_DEPTH: u32 = 500;

const MISSING: &[u8] = b"Missing bytes in input.";
const BAD: &[u8] = b"Bad data format in input.";

/// Adds the functions whose names begin with `msgpack_`.
pub(crate) fn add(lua: &Lua, link: &Link, raw: &Table) -> Result<()> {
    let shared = link.clone();
    let pack = lua.create_function(move |lua, values: MultiValue| {
        if values.is_empty() {
            let text = b"bad argument #0 to 'pack' (MessagePack pack needs input.)";
            return native::single(lua, Err(text.to_vec()));
        }
        let mut packed = Vec::new();
        for value in &values {
            if let Err(text) = write(value, &mut packed, 0, &shared) {
                return native::single(lua, Err(text));
            }
        }
        native::single(lua, Ok(Value::String(lua.create_string(packed)?)))
    })?;
    native::add(lua, raw, "msgpack_pack", Shape::Text, pack)?;
    let unpack = lua.create_function(|lua, values: MultiValue| {
        let outcome = text(&values, "unpack").map(|text| (text, 0, 0));
        unpack(lua, outcome, true)
    })?;
    native::add(lua, raw, "msgpack_unpack", Shape::Text, unpack)?;
    let one = lua.create_function(|lua, values: MultiValue| {
        let outcome = text(&values, "unpack_one").and_then(|text| {
            let offset = optional(&values, 1, "unpack_one")?;
            Ok((text, 1, offset))
        });
        unpack_from(lua, outcome)
    })?;
    native::add(lua, raw, "msgpack_unpack_one", Shape::Text, one)?;
    let limit = lua.create_function(|lua, values: MultiValue| {
        let outcome = text(&values, "unpack_limit").and_then(|text| {
            let limit = native::integer_argument(&values, 1, "unpack_limit")?;
            let offset = optional(&values, 2, "unpack_limit")?;
            Ok((text, limit, offset))
        });
        unpack_from(lua, outcome)
    })?;
    native::add(lua, raw, "msgpack_unpack_limit", Shape::Text, limit)
}

fn text(values: &MultiValue, name: &str) -> Outcome<LuaString> {
    match values.front() {
        Some(Value::String(text)) => Ok(text.clone()),
        other => Err(native::wrong_type(other, 0, name, "string")),
    }
}

fn optional(values: &MultiValue, at: usize, name: &str) -> Outcome<i64> {
    match values.get(at) {
        None | Some(Value::Nil) => Ok(0),
        Some(_) => native::integer_argument(values, at, name),
    }
}

/// A text, how many values to read from it (0 for all), and where to begin.
type Request = Outcome<(LuaString, i64, i64)>;

/// Unpacks and returns the offset behind what was read before the values.
fn unpack_from(lua: &Lua, request: Request) -> Result<MultiValue> {
    unpack(lua, request, false)
}

fn unpack(lua: &Lua, request: Request, is_whole: bool) -> Result<MultiValue> {
    let (text, limit, offset) = match request {
        Ok(request) => request,
        Err(text) => return native::several(lua, Err(text)),
    };
    let bytes = &*text.as_bytes();
    if offset < 0 || limit < 0 {
        let text = format!(
            "Invalid request to unpack with offset of {offset} and limit of {}.",
            bytes.len()
        );
        return native::several(lua, Err(text.into_bytes()));
    }
    let Some(rest) = usize::try_from(offset).ok().and_then(|it| bytes.get(it..)) else {
        let text = format!(
            "Start offset {offset} greater than input length {}.",
            bytes.len()
        );
        return native::several(lua, Err(text.into_bytes()));
    };
    let mut reader = PackReader { lua, rest };
    let mut values = Vec::new();
    while !reader.rest.is_empty() && (limit == 0 || (values.len() as i64) < limit) {
        match reader.value(READ_DEPTH)? {
            Ok(value) => values.push(value),
            Err(text) => return native::several(lua, Err(text.to_vec())),
        }
    }
    if !is_whole {
        // -1 says that everything has been read.
        let after = match reader.rest.len() {
            0 => -1,
            left => (bytes.len() - left) as i64,
        };
        values.insert(0, Value::Integer(after));
    }
    native::several(lua, Ok(values))
}

fn write(value: &Value, out: &mut Vec<u8>, depth: u32, link: &Link) -> Outcome<()> {
    match value {
        Value::String(text) => write_bytes(&text.as_bytes(), out),
        Value::Boolean(truth) => out.push(0xc2 + u8::from(*truth)),
        Value::Integer(number) => write_integer(*number, out),
        // Lua has floating point only: whole numbers go as integers.
        Value::Number(number) => match numbers::integer(*number) {
            Some(integer) => write_integer(integer, out),
            None => write_float(*number, out),
        },
        Value::Table(table) if depth < WRITTEN_DEPTH => write_table(table, out, depth, link)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn write_table(table: &Table, out: &mut Vec<u8>, depth: u32, link: &Link) -> Outcome<()> {
    let failed = |error: mlua::Error| error.to_string().into_bytes();
    // Pairs are looked at twice: Lua has no room for references to those of a large table.
    let (mut count, mut max, mut is_array) = (0, 0, true);
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair.map_err(failed)?;
        // An array has the keys 1 to n and no others.
        let position = match &key {
            Value::Integer(position) => *position,
            Value::Number(number) => numbers::integer(*number).unwrap_or(0),
            _ => 0,
        };
        is_array &= position > 0;
        max = max.max(position);
        count += 1;
    }
    // A script's time includes what it has written for it.
    link.with(|shared| shared.step(1 + count as u32))
        .map_err(|ending| Vec::from(ending.text()))?;
    if is_array && max == count as i64 {
        write_head(count, (0x90, 15), None, 0xdc, out);
        for position in 1..=max {
            let element: Value = table.raw_get(position).map_err(failed)?;
            write(&element, out, depth + 1, link)?;
        }
        return Ok(());
    }
    write_head(count, (0x80, 15), None, 0xde, out);
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(failed)?;
        write(&key, out, depth + 1, link)?;
        write(&value, out, depth + 1, link)?;
    }
    Ok(())
}

/// Writes a length: in the first byte, or behind one for 8, 16 or 32 bits.
fn write_head(
    count: usize,
    (short, short_max): (u8, usize),
    byte: Option<u8>,
    wide: u8,
    out: &mut Vec<u8>,
) {
    if count <= short_max {
        out.push(short | count as u8);
    } else if let (Some(code), Ok(count)) = (byte, u8::try_from(count)) {
        out.extend([code, count]);
    } else if let Ok(count) = u16::try_from(count) {
        out.push(wide);
        out.extend(count.to_be_bytes());
    } else {
        out.push(wide + 1);
        out.extend((count as u32).to_be_bytes());
    }
}

fn write_bytes(text: &[u8], out: &mut Vec<u8>) {
    write_head(text.len(), (0xa0, 31), Some(0xd9), 0xda, out);
    out.extend_from_slice(text);
}

fn write_integer(number: i64, out: &mut Vec<u8>) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend([0xcc, number as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend((number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend((number as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend(number.to_be_bytes());
        }
        -32..=-1 => out.push(number as i8 as u8),
        -0x80..=-33 => out.extend([0xd0, number as i8 as u8]),
        -0x8000..=-0x81 => {
            out.push(0xd1);
            out.extend((number as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend((number as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend(number.to_be_bytes());
        }
    }
}

fn write_float(number: f64, out: &mut Vec<u8>) {
    // Half the bytes where nothing is lost.
    let short = number as f32;
    if f64::from(short) == number {
        out.push(0xca);
        out.extend(short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend(number.to_be_bytes());
    }
}

struct PackReader<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

/// A value, or what is wrong with the bytes.
type Unpacked<T> = std::result::Result<T, &'static [u8]>;

impl<'a> PackReader<'a> {
    fn bytes(&mut self, len: usize) -> Unpacked<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(MISSING)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Unpacked<[u8; N]> {
        let bytes = self.bytes(N)?;
        Ok(bytes.try_into().expect("it has so many bytes"))
    }

    fn length(&mut self, width: u32) -> Unpacked<usize> {
        Ok(match width {
            1 => u8::from_be_bytes(self.array()?).into(),
            2 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?) as usize,
        })
    }

    fn value(&mut self, depth: u32) -> Result<Unpacked<Value>> {
        let Some((&code, rest)) = self.rest.split_first() else {
            return Ok(Err(MISSING));
        };
        self.rest = rest;
        // The depth is limited before the stack is.
        if depth == 0 {
            return Ok(Err(BAD));
        }
        match code {
            0x80..=0x8f => self.map((code & 15).into(), depth),
            0xde | 0xdf => match self.length(2 * u32::from(code - 0xdd)) {
                Ok(length) => self.map(length, depth),
                Err(problem) => Ok(Err(problem)),
            },
            0x90..=0x9f => self.list((code & 15).into(), depth),
            0xdc | 0xdd => match self.length(2 * u32::from(code - 0xdb)) {
                Ok(length) => self.list(length, depth),
                Err(problem) => Ok(Err(problem)),
            },
            0xa0..=0xbf => self.text((code & 31).into()),
            0xc4 | 0xd9 => self.long_text(1),
            0xc5 | 0xda => self.long_text(2),
            0xc6 | 0xdb => self.long_text(4),
            _ => Ok(self.simple(code)),
        }
    }

    fn simple(&mut self, code: u8) -> Unpacked<Value> {
        let number = match code {
            0x00..=0x7f => f64::from(code),
            0xe0..=0xff => f64::from(code.cast_signed()),
            0xc0 => return Ok(Value::Nil),
            0xc2 => return Ok(Value::Boolean(false)),
            0xc3 => return Ok(Value::Boolean(true)),
            0xca => f32::from_be_bytes(self.array()?).into(),
            0xcb => f64::from_be_bytes(self.array()?),
            0xcc => u8::from_be_bytes(self.array()?).into(),
            0xcd => u16::from_be_bytes(self.array()?).into(),
            0xce => u32::from_be_bytes(self.array()?).into(),
            0xcf => u64::from_be_bytes(self.array()?) as f64,
            0xd0 => i8::from_be_bytes(self.array()?).into(),
            0xd1 => i16::from_be_bytes(self.array()?).into(),
            0xd2 => i32::from_be_bytes(self.array()?).into(),
            0xd3 => i64::from_be_bytes(self.array()?) as f64,
            _ => return Err(BAD),
        };
        Ok(Value::Number(number))
    }

    fn long_text(&mut self, width: u32) -> Result<Unpacked<Value>> {
        match self.length(width) {
            Ok(length) => self.text(length),
            Err(problem) => Ok(Err(problem)),
        }
    }

    fn text(&mut self, len: usize) -> Result<Unpacked<Value>> {
        Ok(match self.bytes(len) {
            Ok(text) => Ok(Value::String(self.lua.create_string(text)?)),
            Err(problem) => Err(problem),
        })
    }

    fn list(&mut self, len: usize, depth: u32) -> Result<Unpacked<Value>> {
        // A length is only a promise.
        let room = len.min(self.rest.len());
        let table = self.lua.create_table_with_capacity(room, 0)?;
        for position in 1..=len {
            match self.value(depth - 1)? {
                Ok(value) => table.raw_set(position, value)?,
                Err(problem) => return Ok(Err(problem)),
            }
        }
        Ok(Ok(Value::Table(table)))
    }

    fn map(&mut self, len: usize, depth: u32) -> Result<Unpacked<Value>> {
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let (key, value) = match (self.value(depth - 1)?, self.value(depth - 1)?) {
                (Ok(key), Ok(value)) => (key, value),
                (Err(problem), _) | (_, Err(problem)) => return Ok(Err(problem)),
            };
            // Lua refuses these as keys, and what bytes from elsewhere hold must not raise an error
            // of its own.
            let is_key = match &key {
                Value::Nil => false,
                Value::Number(number) => !number.is_nan(),
                _ => true,
            };
            if !is_key {
                return Ok(Err(BAD));
            }
            table.raw_set(key, value)?;
        }
        Ok(Ok(Value::Table(table)))
    }
}
