//! Reading JSON.

use mlua::{Lua, Result, Value};

use super::{JsonSettings, null};
use crate::native::Outcome;

/// The value of a JSON text.
pub(super) fn decode(lua: &Lua, text: &[u8], settings: &JsonSettings) -> Result<Outcome<Value>> {
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        let problem = b"JSON parser does not support UTF-16 or UTF-32";
        return Ok(Err(problem.to_vec()));
    }
    let mut reader = JsonReader {
        lua,
        text,
        at: 0,
        depth: 0,
        settings,
    };
    Ok(match reader.document() {
        Ok(value) => Ok(value),
        Err(Problem::Json(text)) => Err(text),
        Err(Problem::Lua(error)) => return Err(error),
    })
}

enum Problem {
    /// The text is no JSON.
    Json(Vec<u8>),
    /// Lua has failed, for want of memory.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Problem {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

type Read<T> = std::result::Result<T, Problem>;

#[derive(Debug)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// With the reason.
    Error(&'static str),
}

impl Token {
    /// The word for it in error texts.
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Text(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Error(why) => why,
        }
    }
}

struct JsonReader<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    depth: i64,
    settings: &'a JsonSettings,
}

impl JsonReader<'_> {
    fn document(&mut self) -> Read<Value> {
        let (token, at) = self.token();
        let value = self.value(token, at)?;
        match self.token() {
            (Token::End, _) => Ok(value),
            (other, at) => Err(expected("the end", &other, at)),
        }
    }

    fn value(&mut self, token: Token, at: usize) -> Read<Value> {
        Ok(match token {
            Token::Text(text) => Value::String(self.lua.create_string(text)?),
            Token::Number(number) => Value::Number(number),
            Token::Boolean(truth) => Value::Boolean(truth),
            Token::Null => null(),
            Token::ObjectBegin => self.nested(Self::object)?,
            Token::ArrayBegin => self.nested(Self::array)?,
            other => return Err(expected("value", &other, at)),
        })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<Value>) -> Read<Value> {
        self.depth += 1;
        // Each level is a call of this reader: the setting bounds the stack.
        if self.depth > self.settings.decode_depth {
            let text = format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.at
            );
            return Err(Problem::Json(text.into_bytes()));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Read<Value> {
        let table = self.lua.create_table()?;
        let (mut token, mut at) = self.token();
        if matches!(token, Token::ObjectEnd) {
            return Ok(Value::Table(table));
        }
        loop {
            let Token::Text(key) = token else {
                return Err(expected("object key string", &token, at));
            };
            match self.token() {
                (Token::Colon, _) => {}
                (other, at) => return Err(expected("colon", &other, at)),
            }
            (token, at) = self.token();
            let value = self.value(token, at)?;
            table.raw_set(self.lua.create_string(key)?, value)?;
            match self.token() {
                (Token::ObjectEnd, _) => return Ok(Value::Table(table)),
                (Token::Comma, _) => {}
                (other, at) => return Err(expected("comma or object end", &other, at)),
            }
            (token, at) = self.token();
        }
    }

    fn array(&mut self) -> Read<Value> {
        let table = self.lua.create_table()?;
        let (mut token, mut at) = self.token();
        if matches!(token, Token::ArrayEnd) {
            return Ok(Value::Table(table));
        }
        for position in 1.. {
            let value = self.value(token, at)?;
            table.raw_set(position, value)?;
            match self.token() {
                (Token::ArrayEnd, _) => break,
                (Token::Comma, _) => {}
                (other, at) => return Err(expected("comma or array end", &other, at)),
            }
            (token, at) = self.token();
        }
        Ok(Value::Table(table))
    }

    /// The next token, and where it begins.
    fn token(&mut self) -> (Token, usize) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let begin = self.at;
        let rest = &self.text[begin..];
        let Some(&first) = rest.first() else {
            return (Token::End, begin);
        };
        let (token, length) = match first {
            b'{' => (Token::ObjectBegin, 1),
            b'}' => (Token::ObjectEnd, 1),
            b'[' => (Token::ArrayBegin, 1),
            b']' => (Token::ArrayEnd, 1),
            b',' => (Token::Comma, 1),
            b':' => (Token::Colon, 1),
            // The original reads a C string, which ends at the first zero byte.
            0 => (Token::End, 0),
            b'"' => return self.string(begin),
            b'-' | b'0'..=b'9' => self.number(rest),
            _ if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            _ if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            _ if rest.starts_with(b"null") => (Token::Null, 4),
            // A number that JSON lacks may begin with a letter or a plus sign.
            _ if self.settings.decode_invalid && is_invalid_number(rest) => self.number(rest),
            _ => (Token::Error("invalid token"), 0),
        };
        self.at += length;
        (token, begin)
    }

    fn number(&self, rest: &[u8]) -> (Token, usize) {
        if !self.settings.decode_invalid && is_invalid_number(rest) {
            return (Token::Error("invalid number"), 0);
        }
        match read_number(rest) {
            Some((number, length)) => (Token::Number(number), length),
            None => (Token::Error("invalid number"), 0),
        }
    }

    fn string(&mut self, begin: usize) -> (Token, usize) {
        let mut text = Vec::new();
        let mut at = begin + 1;
        loop {
            match self.text.get(at) {
                None | Some(0) => return (Token::Error("unexpected end of string"), at),
                Some(b'"') => {
                    self.at = at + 1;
                    return (Token::Text(text), begin);
                }
                Some(b'\\') => {
                    let escaped = match self.text.get(at + 1) {
                        Some(b'u') => {
                            match unicode(&self.text[at..]) {
                                Some((character, length)) => {
                                    let mut room = [0; 4];
                                    text.extend_from_slice(
                                        character.encode_utf8(&mut room).as_bytes(),
                                    );
                                    at += length;
                                }
                                None => return (Token::Error("invalid unicode escape code"), at),
                            }
                            continue;
                        }
                        Some(b'b') => 8,
                        Some(b't') => 9,
                        Some(b'n') => 10,
                        Some(b'f') => 12,
                        Some(b'r') => 13,
                        Some(same @ (b'"' | b'\\' | b'/')) => *same,
                        _ => return (Token::Error("invalid escape code"), at),
                    };
                    text.push(escaped);
                    at += 2;
                }
                Some(&plain) => {
                    text.push(plain);
                    at += 1;
                }
            }
        }
    }
}

fn expected(what: &str, found: &Token, at: usize) -> Problem {
    let text = format!(
        "Expected {what} but found {} at character {}",
        found.name(),
        at + 1
    );
    Problem::Json(text.into_bytes())
}

/// The character of `\uXXXX`, or of two that are one character of UTF-16, and their length.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at + 2..at + 6)?;
        let is_escape = text.get(at..at + 2) == Some(b"\\u");
        let digits = std::str::from_utf8(digits).ok().filter(|_| is_escape)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| all)
    };
    let first = unit(0)?;
    if !(0xD800..0xE000).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    // Half a pair alone is no character.
    let second = unit(6).filter(|it| first < 0xDC00 && (0xDC00..0xE000).contains(it))?;
    let code = 0x10000 + ((first & 0x3FF) << 10 | second & 0x3FF);
    Some((char::from_u32(code)?, 12))
}

/// A number that JSON does not have: hexadecimal, infinite, with a leading zero.
fn is_invalid_number(text: &[u8]) -> bool {
    let digits = match text.first() {
        Some(b'+') => return true,
        Some(b'-') => &text[1..],
        _ => text,
    };
    match digits.first() {
        Some(b'0') => matches!(digits.get(1), Some(b'x' | b'X' | b'0'..=b'9')),
        Some(b'1'..=b'9') | None => false,
        _ => {
            let starts = |name: &[u8]| {
                digits.len() >= name.len() && digits[..name.len()].eq_ignore_ascii_case(name)
            };
            starts(b"inf") || starts(b"nan")
        }
    }
}

/// A number as C's `strtod` reads it, and its length.
fn read_number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let is_negative = text.first() == Some(&b'-');
    let signed = |number: f64| if is_negative { -number } else { number };
    let digits = &text[sign..];
    let starts =
        |name: &[u8]| digits.len() >= name.len() && digits[..name.len()].eq_ignore_ascii_case(name);
    if starts(b"infinity") {
        return Some((signed(f64::INFINITY), sign + 8));
    }
    if starts(b"inf") {
        return Some((signed(f64::INFINITY), sign + 3));
    }
    if starts(b"nan") {
        return Some((f64::NAN, sign + 3));
    }
    if starts(b"0x") {
        let hex = digits[2..].iter().take_while(|it| it.is_ascii_hexdigit());
        let length = hex.count();
        let text = std::str::from_utf8(&digits[2..2 + length]).ok()?;
        let number = text.bytes().fold(0.0, |sum, digit| {
            sum * 16.0 + f64::from(char::from(digit).to_digit(16).unwrap_or(0))
        });
        return (length > 0).then_some((signed(number), sign + 2 + length));
    }
    // Digits, a fraction, an exponent; what is no number any more is the next token.
    let count = |from: usize| {
        digits[from.min(digits.len())..]
            .iter()
            .take_while(|it| it.is_ascii_digit())
            .count()
    };
    let mut length = count(0);
    if digits.get(length) == Some(&b'.') {
        length += 1 + count(length + 1);
    }
    if !digits[..length].iter().any(u8::is_ascii_digit) {
        return None;
    }
    if matches!(digits.get(length), Some(b'e' | b'E')) {
        let exponent_sign = usize::from(matches!(digits.get(length + 1), Some(b'-' | b'+')));
        let exponent = count(length + 1 + exponent_sign);
        // An `e` without digits is not part of the number.
        if exponent > 0 {
            length += 1 + exponent_sign + exponent;
        }
    }
    let number: f64 = std::str::from_utf8(&digits[..length]).ok()?.parse().ok()?;
    Some((signed(number), sign + length))
}
