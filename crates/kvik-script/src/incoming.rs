//! From the encoded reply of a command to a value of Lua, in one pass.

use mlua::{Lua, Result, Table, Value};

/// How deep a reply may be nested. Replies of commands are not nested as deeply.
const DEPTH: u32 = 64;

/// A reply as Lua's value, and whether it is an error.
pub(crate) fn value(lua: &Lua, reply: &[u8]) -> Result<(Value, bool)> {
    let is_error = reply.first() == Some(&b'-');
    let mut reader = ReplyReader { lua, rest: reply };
    Ok((reader.value(DEPTH)?, is_error))
}

struct ReplyReader<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> ReplyReader<'a> {
    /// The rest of the line, whose end is passed.
    fn line(&mut self) -> &'a [u8] {
        let end = self.rest.windows(2).position(|pair| pair == b"\r\n");
        let end = end.unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    fn integer(&mut self) -> i64 {
        kvik_resp::parse_i64(self.line()).unwrap_or(0)
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let len = len.min(self.rest.len());
        let bytes = &self.rest[..len];
        self.rest = self.rest.get(len + 2..).unwrap_or_default();
        bytes
    }

    fn text(&self, text: &[u8]) -> Result<Value> {
        Ok(Value::String(self.lua.create_string(text)?))
    }

    /// A table with one field.
    fn field(&self, name: &str, value: Value) -> Result<Value> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    }

    fn value(&mut self, depth: u32) -> Result<Value> {
        let Some((&kind, rest)) = self.rest.split_first() else {
            return Ok(Value::Nil);
        };
        self.rest = rest;
        if depth == 0 {
            return Err(mlua::Error::runtime("reached lua stack limit"));
        }
        Ok(match kind {
            b':' => Value::Number(self.integer() as f64),
            b'$' => match usize::try_from(self.integer()) {
                Ok(len) => {
                    let bytes = self.bytes(len);
                    self.text(bytes)?
                }
                Err(_) => Value::Boolean(false),
            },
            b'*' | b'>' => match usize::try_from(self.integer()) {
                Ok(len) => Value::Table(self.array(len, depth)?),
                Err(_) => Value::Boolean(false),
            },
            b'+' => {
                let text = self.line();
                self.field("ok", self.text(text)?)?
            }
            b'-' => {
                let text = self.line();
                Value::Table(error_table(self.lua, text)?)
            }
            b'_' => {
                self.line();
                Value::Nil
            }
            b'#' => Value::Boolean(self.line() == b"t"),
            b',' => {
                let number = kvik_resp::parse_f64(self.line()).unwrap_or(f64::NAN);
                self.field("double", Value::Number(number))?
            }
            b'(' => {
                let digits = self.line();
                self.field("big_number", self.text(digits)?)?
            }
            b'=' => self.verbatim()?,
            b'%' => self.map(depth)?,
            b'~' => self.set(depth)?,
            b'|' => {
                // Scripts do not see attributes.
                for _ in 0..2 * self.integer() {
                    self.value(depth - 1)?;
                }
                self.value(depth - 1)?
            }
            _ => Value::Nil,
        })
    }

    fn array(&mut self, len: usize, depth: u32) -> Result<Table> {
        // Every element takes at least three bytes.
        let table = self
            .lua
            .create_table_with_capacity(len.min(self.rest.len()), 0)?;
        for at in 1..=len {
            let element = self.value(depth - 1)?;
            table.raw_set(at, element)?;
        }
        Ok(table)
    }

    fn map(&mut self, depth: u32) -> Result<Value> {
        let pairs = usize::try_from(self.integer()).unwrap_or(0);
        let table = self
            .lua
            .create_table_with_capacity(0, pairs.min(self.rest.len()))?;
        for _ in 0..pairs {
            let (key, value) = (self.value(depth - 1)?, self.value(depth - 1)?);
            table.raw_set(key, value)?;
        }
        self.field("map", Value::Table(table))
    }

    fn set(&mut self, depth: u32) -> Result<Value> {
        let len = usize::try_from(self.integer()).unwrap_or(0);
        let table = self
            .lua
            .create_table_with_capacity(0, len.min(self.rest.len()))?;
        for _ in 0..len {
            table.raw_set(self.value(depth - 1)?, true)?;
        }
        self.field("set", Value::Table(table))
    }

    fn verbatim(&mut self) -> Result<Value> {
        let len = usize::try_from(self.integer()).unwrap_or(0);
        let bytes = self.bytes(len);
        let (format, text) = (bytes.get(..3), bytes.get(4..));
        let table = self.lua.create_table_with_capacity(0, 2)?;
        table.raw_set("string", self.text(text.unwrap_or_default())?)?;
        table.raw_set("format", self.text(format.unwrap_or_default())?)?;
        self.field("verbatim_string", Value::Table(table))
    }
}

/// The table of an error that a command has returned, and has counted.
pub(crate) fn error_table(lua: &Lua, line: &[u8]) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    table.raw_set("err", lua.create_string(line)?)?;
    table.raw_set("ignore_error_stats_update", true)?;
    Ok(table)
}
