//! Replies for people: quoted strings, named types, numbered elements indented below one another.
//!
//! Every level is indented by the width of its numbers, so nested replies line up:
//! ```text
//! 1) 1) "1-1"
//!    2) 1) "field"
//!       2) "value"
//! ```

use kvik_client::Value;
use nu_ansi_term::{Color, Style};

/// Whether and how kinds of values are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Theme {
    string: Style,
    number: Style,
    faint: Style,
    error: Style,
}

impl Theme {
    /// No colours.
    pub(crate) fn plain() -> Self {
        Self::default()
    }

    /// Colours that are readable on dark and on light terminals.
    pub(crate) fn coloured() -> Self {
        Self {
            string: Color::Green.normal(),
            number: Color::Cyan.normal(),
            faint: Color::DarkGray.normal(),
            error: Color::Red.normal(),
        }
    }
}

/// Appends `reply` and a line end.
pub(super) fn render(out: &mut Vec<u8>, reply: &Value, theme: Theme) {
    Renderer { out, theme }.value(reply, 0);
    end_line(out);
}

/// Appends the string `reply` as it is; the line is ended unless the text did.
pub(super) fn text(out: &mut Vec<u8>, reply: &Value) {
    out.extend_from_slice(reply.as_bytes().unwrap_or_default());
    end_line(out);
}

fn end_line(out: &mut Vec<u8>) {
    if out.last() != Some(&b'\n') {
        out.push(b'\n');
    }
}

struct Renderer<'a> {
    out: &'a mut Vec<u8>,
    theme: Theme,
}

impl Renderer<'_> {
    /// Appends `value` without a line end; lines after its first are indented by `indent`.
    fn value(&mut self, value: &Value, indent: usize) {
        let Theme {
            string,
            number,
            faint,
            error,
        } = self.theme;
        match value {
            Value::Null => self.paint(faint, "(nil)"),
            Value::Simple(status) => self.out.extend_from_slice(status.as_bytes()),
            // As redis-cli prints it: a text may quote bytes that are no UTF-8.
            Value::Error(text) => {
                self.paint_bytes(error, &[b"(error) ", text.as_bytes()].concat());
            }
            Value::Integer(integer) => self.typed(number, "integer", integer),
            Value::Double(double) => self.typed(number, "double", &super::raw::double(*double)),
            Value::BigNumber(digits) => self.typed(number, "big number", digits),
            Value::Boolean(boolean) => self.paint(number, &format!("({boolean})")),
            Value::Bulk(bytes) => self.paint(string, &quote(bytes)),
            Value::Verbatim { text, .. } => self.out.extend_from_slice(text),
            Value::Array(values) | Value::Push(values) => self.list(values, "array", b')', indent),
            Value::Set(values) => self.list(values, "set", b'~', indent),
            Value::Map(pairs) => self.map(pairs, indent),
            Value::Attributed { value, .. } => self.value(value, indent),
        }
    }

    fn list(&mut self, values: &[Value], kind: &str, mark: u8, indent: usize) {
        if values.is_empty() {
            return self.paint(self.theme.faint, &format!("(empty {kind})"));
        }
        let width = decimal_width(values.len());
        for (index, value) in values.iter().enumerate() {
            self.number(index, width, mark, indent);
            self.value(value, indent + width + 2);
        }
    }

    fn map(&mut self, pairs: &[(Value, Value)], indent: usize) {
        if pairs.is_empty() {
            return self.paint(self.theme.faint, "(empty hash)");
        }
        let width = decimal_width(pairs.len());
        // Elements of a value stand below its key, behind the number and its mark.
        let inner = indent + width + 2;
        for (index, (key, value)) in pairs.iter().enumerate() {
            self.number(index, width, b'#', indent);
            self.value(key, inner);
            self.paint(self.theme.faint, " => ");
            if has_several_values(value) {
                self.new_line(inner);
            }
            self.value(value, inner);
        }
    }

    /// Starts element `index`: on a new line, except for the first, which follows its parent's
    /// number.
    fn number(&mut self, index: usize, width: usize, mark: u8, indent: usize) {
        if index > 0 {
            self.new_line(indent);
        }
        let number = format!("{:>width$}{} ", index + 1, char::from(mark));
        self.paint(self.theme.faint, &number);
    }

    fn new_line(&mut self, indent: usize) {
        self.out.push(b'\n');
        self.out.resize(self.out.len() + indent, b' ');
    }

    fn typed(&mut self, style: Style, kind: &str, value: &impl std::fmt::Display) {
        self.paint(self.theme.faint, &format!("({kind}) "));
        self.paint(style, &value.to_string());
    }

    fn paint(&mut self, style: Style, text: &str) {
        self.paint_bytes(style, text.as_bytes());
    }

    fn paint_bytes(&mut self, style: Style, bytes: &[u8]) {
        let (before, after) = (style.prefix().to_string(), style.suffix().to_string());
        self.out
            .extend([before.as_bytes(), bytes, after.as_bytes()].concat());
    }
}

fn decimal_width(count: usize) -> usize {
    count.ilog10() as usize + 1
}

/// Such a value of a map starts on its own line.
fn has_several_values(value: &Value) -> bool {
    match value.plain() {
        Value::Map(pairs) => !pairs.is_empty(),
        other => other.as_slice().is_some_and(|values| values.len() > 1),
    }
}

/// `bytes` in double quotes, as [`kvik_resp::split_line`] reads it back.
fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => quoted.extend(['\\', char::from(byte)]),
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            0x07 => quoted.push_str("\\a"),
            0x08 => quoted.push_str("\\b"),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}
