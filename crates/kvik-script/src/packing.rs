//! `struct`: numbers and strings as the bytes of a C structure, after Roberto Ierusalimschy's
//! library.

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::native::{self, Outcome};
use crate::numbers;
use crate::raise::Shape;

/// Widest integer, and strictest alignment.
const WIDEST: usize = 32;
/// Bytes that one format can ask for.
const LONGEST: usize = 512 << 20;

/// Adds `struct_pack`, `struct_unpack` and `struct_size`.
pub(crate) fn add(lua: &Lua, raw: &Table) -> Result<()> {
    let packed = lua.create_function(|lua, values: MultiValue| match pack(&values) {
        Ok(bytes) => native::single(lua, Ok(Value::String(lua.create_string(bytes)?))),
        Err(text) => native::single(lua, Err(text)),
    })?;
    native::add(lua, raw, "struct_pack", Shape::Text, packed)?;
    let unpacked = lua.create_function(|lua, values: MultiValue| {
        let outcome = unpack(lua, &values)?;
        native::several(lua, outcome)
    })?;
    native::add(lua, raw, "struct_unpack", Shape::Text, unpacked)?;
    let size = lua.create_function(|lua, values: MultiValue| {
        let outcome = size(&values).map(|size| Value::Integer(size as i64));
        native::single(lua, outcome)
    })?;
    native::add(lua, raw, "struct_size", Shape::Text, size)
}

/// The state of a format that is read.
struct Format<'a> {
    rest: &'a [u8],
    is_little: bool,
    align: usize,
}

/// An element of a structure, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Integer {
        width: usize,
        signed: bool,
    },
    Float,
    Double,
    /// Up to a zero byte.
    CString,
    /// Of this length; 0 for that of the string or of the number before.
    Text(usize),
    Padding,
}

impl<'a> Format<'a> {
    fn new(format: &'a [u8]) -> Self {
        Self {
            rest: format,
            is_little: cfg!(target_endian = "little"),
            align: 1,
        }
    }

    /// The next item, with the padding before it when it begins at `at`.
    fn next(&mut self, at: usize) -> Outcome<Option<(Item, usize)>> {
        while let Some((&option, rest)) = self.rest.split_first() {
            self.rest = rest;
            let integer = |width, signed| Item::Integer { width, signed };
            let item = match option {
                b'B' => integer(1, false),
                b'b' => integer(1, true),
                b'H' => integer(2, false),
                b'h' => integer(2, true),
                // The sizes of C's types on 64-bit systems.
                b'L' | b'T' => integer(8, false),
                b'l' => integer(8, true),
                b'I' => integer(self.width(4)?, false),
                b'i' => integer(self.width(4)?, true),
                b'f' => Item::Float,
                b'd' => Item::Double,
                b's' => Item::CString,
                b'c' => Item::Text(self.number(1)?),
                b'x' => Item::Padding,
                _ => {
                    self.control(option)?;
                    continue;
                }
            };
            let gap = self.gap(item, at);
            return Ok(Some((item, gap)));
        }
        Ok(None)
    }

    fn control(&mut self, option: u8) -> Outcome<()> {
        match option {
            b' ' => {}
            b'>' => self.is_little = false,
            b'<' => self.is_little = true,
            b'!' => {
                let align = self.number(8)?;
                if align == 0 || !align.is_power_of_two() {
                    return Err(b"alignment is not a power of 2".to_vec());
                }
                self.align = align;
            }
            other => {
                let text = [b"invalid format option '", &[other][..], b"'"].concat();
                return Err(text);
            }
        }
        Ok(())
    }

    fn number(&mut self, default: usize) -> Outcome<usize> {
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return Ok(default);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = std::str::from_utf8(number)
            .ok()
            .and_then(|it| it.parse().ok());
        number
            .filter(|&number: &usize| number <= i32::MAX as usize)
            .ok_or_else(|| b"integral size overflow".to_vec())
    }

    fn width(&mut self, default: usize) -> Outcome<usize> {
        let width = self.number(default)?;
        if width == 0 || width > WIDEST {
            let text = format!("integral size {width} is larger than limit of {WIDEST}");
            return Err(text.into_bytes());
        }
        Ok(width)
    }

    fn gap(&self, item: Item, at: usize) -> usize {
        let size = match item {
            Item::Integer { width, .. } => width,
            Item::Float => 4,
            Item::Double => 8,
            Item::CString | Item::Text(_) | Item::Padding => return 0,
        };
        // No item is aligned more strictly than its own size.
        let align = size.min(self.align);
        if align <= 1 || !align.is_power_of_two() {
            return 0;
        }
        at.next_multiple_of(align) - at
    }

    fn ordered(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if !self.is_little {
            bytes.reverse();
        }
        bytes
    }
}

fn format_argument(values: &MultiValue, name: &str) -> Outcome<Vec<u8>> {
    match values.front() {
        Some(Value::String(text)) => Ok(text.as_bytes().to_vec()),
        other => Err(native::wrong_type(other, 0, name, "string")),
    }
}

fn text_argument(values: &MultiValue, at: usize) -> Outcome<Vec<u8>> {
    match values.get(at) {
        Some(Value::String(text)) => Ok(text.as_bytes().to_vec()),
        Some(Value::Integer(number)) => Ok(number.to_string().into_bytes()),
        Some(Value::Number(number)) => Ok(numbers::argument(*number)),
        other => Err(native::wrong_type(other, at, "pack", "string")),
    }
}

fn number_argument(values: &MultiValue, at: usize) -> Outcome<f64> {
    let value = values.get(at);
    value
        .and_then(numbers::number)
        .ok_or_else(|| native::wrong_type(value, at, "pack", "number"))
}

fn pack(values: &MultiValue) -> Outcome<Vec<u8>> {
    let text = format_argument(values, "pack")?;
    let mut format = Format::new(&text);
    let (mut packed, mut at) = (Vec::new(), 1);
    while let Some((item, gap)) = format.next(packed.len())? {
        packed.resize(packed.len() + gap, 0);
        match item {
            Item::Integer { width, .. } => {
                let number = number_argument(values, at)?;
                // A cast from floating point saturates: by sign, so that the upper half of unsigned
                // numbers stays whole.
                let bits = if number < 0.0 {
                    number as i64
                } else {
                    number as u64 as i64
                };
                let mut bytes = bits.to_le_bytes().to_vec();
                // What is wider is filled up with zeros, a negative number as well: C shifts an
                // unsigned one.
                bytes.resize(width, 0);
                packed.extend(format.ordered(bytes));
            }
            Item::Float => {
                let bytes = (number_argument(values, at)? as f32).to_le_bytes().to_vec();
                packed.extend(format.ordered(bytes));
            }
            Item::Double => {
                let bytes = number_argument(values, at)?.to_le_bytes().to_vec();
                packed.extend(format.ordered(bytes));
            }
            Item::Padding => packed.push(0),
            Item::CString => {
                packed.extend(text_argument(values, at)?);
                packed.push(0);
            }
            Item::Text(length) => {
                let text = text_argument(values, at)?;
                let length = if length == 0 { text.len() } else { length };
                let short = || b"bad argument #2 to 'pack' (string too short)".to_vec();
                packed.extend(text.get(..length).ok_or_else(short)?);
            }
        }
        // Padding takes no argument.
        at += usize::from(item != Item::Padding);
    }
    Ok(packed)
}

fn unpack(lua: &Lua, values: &MultiValue) -> Result<Outcome<Vec<Value>>> {
    let format = match format_argument(values, "unpack") {
        Ok(format) => format,
        Err(text) => return Ok(Err(text)),
    };
    let Some(Value::String(data)) = values.get(1) else {
        return Ok(Err(native::wrong_type(
            values.get(1),
            1,
            "unpack",
            "string",
        )));
    };
    let start = match values.get(2) {
        None | Some(Value::Nil) => 1,
        Some(_) => match native::integer_argument(values, 2, "unpack") {
            Ok(start) if start >= 1 => start,
            Ok(_) => {
                let text = b"bad argument #3 to 'unpack' (offset must be 1 or greater)";
                return Ok(Err(text.to_vec()));
            }
            Err(text) => return Ok(Err(text)),
        },
    };
    let data = data.as_bytes();
    let mut format = Format::new(&format);
    let mut at = usize::try_from(start - 1)
        .unwrap_or(usize::MAX)
        .min(data.len() + 1);
    let mut found = Vec::new();
    loop {
        match next_value(lua, &mut format, &data, &mut at, &mut found)? {
            Ok(true) => {}
            Ok(false) => break,
            Err(text) => return Ok(Err(text)),
        }
    }
    found.push(Value::Integer(at as i64 + 1));
    Ok(Ok(found))
}

/// Reads the next value of a structure; says whether there was one.
fn next_value(
    lua: &Lua,
    format: &mut Format<'_>,
    data: &[u8],
    at: &mut usize,
    found: &mut Vec<Value>,
) -> Result<Outcome<bool>> {
    const SHORT: &[u8] = b"data string too short";
    let (item, gap) = match format.next(*at) {
        Ok(Some(next)) => next,
        Ok(None) => return Ok(Ok(false)),
        Err(text) => return Ok(Err(text)),
    };
    *at += gap;
    let length = match item {
        Item::Integer { width, .. } => width,
        Item::Float => 4,
        Item::Double => 8,
        Item::Padding => 1,
        Item::CString => {
            let rest = data.get(*at..).unwrap_or_default();
            match memchr::memchr(0, rest) {
                Some(end) => end + 1,
                None => return Ok(Err(b"unfinished string in data".to_vec())),
            }
        }
        // The number before it was a length, and is no result of its own.
        Item::Text(0) => match found.pop().as_ref().and_then(numbers::number) {
            Some(length) if length >= 0.0 => length as usize,
            _ => return Ok(Err(b"format 'c0' needs a previous size".to_vec())),
        },
        Item::Text(length) => length,
    };
    let end = at.checked_add(length);
    let Some(bytes) = end.and_then(|end| data.get(*at..end)) else {
        return Ok(Err(SHORT.to_vec()));
    };
    *at += length;
    found.push(match item {
        Item::Integer { signed, .. } => {
            Value::Number(read_integer(format.ordered(bytes.to_vec()), signed))
        }
        Item::Float => {
            let bytes: [u8; 4] = format
                .ordered(bytes.to_vec())
                .try_into()
                .unwrap_or_default();
            Value::Number(f32::from_le_bytes(bytes).into())
        }
        Item::Double => {
            let bytes: [u8; 8] = format
                .ordered(bytes.to_vec())
                .try_into()
                .unwrap_or_default();
            Value::Number(f64::from_le_bytes(bytes))
        }
        Item::Padding => return Ok(Ok(true)),
        Item::CString => Value::String(lua.create_string(&bytes[..length - 1])?),
        Item::Text(_) => Value::String(lua.create_string(bytes)?),
    });
    Ok(Ok(true))
}

/// An integer from its bytes, the lowest first. Those beyond 64 bits do not count.
fn read_integer(bytes: Vec<u8>, signed: bool) -> f64 {
    let low = bytes.iter().take(8).rev();
    let number = low.fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    if !signed {
        return number as f64;
    }
    // Up to the top and back down: the shift to the right repeats the sign.
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    (number << unused).cast_signed().wrapping_shr(unused) as f64
}

fn size(values: &MultiValue) -> Outcome<usize> {
    let text = format_argument(values, "size")?;
    let mut format = Format::new(&text);
    let mut size: usize = 0;
    while let Some((item, gap)) = format.next(size)? {
        size += gap
            + match item {
                Item::Integer { width, .. } => width,
                Item::Float => 4,
                Item::Double => 8,
                Item::Padding => 1,
                Item::CString => {
                    return Err(b"bad argument #1 to 'size' (variable-length format)".to_vec());
                }
                Item::Text(0) => {
                    return Err(b"bad argument #1 to 'size' (variable-size format)".to_vec());
                }
                Item::Text(length) => length,
            };
        // A short format may ask for more than any value can have.
        if size > LONGEST {
            return Err(b"integral size overflow".to_vec());
        }
    }
    Ok(size)
}
