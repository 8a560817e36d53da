//! From a value of Lua to a reply.

use std::ffi::CStr;

use kvik_resp::{Protocol, Reply};

use crate::link::LinkCell;
use crate::stack::{Kind, Stack};

/// How deep a reply may be nested: each level takes some of Lua's stack in Redis, which ends there.
const DEPTH: u32 = 500;

/// The fields that make a table something else than a list.
const MARKS: [&CStr; 7] = [
    c"err",
    c"ok",
    c"double",
    c"map",
    c"set",
    c"big_number",
    c"verbatim_string",
];

/// Writes values as replies. An error of Lua jumps over it, so it owns nothing.
pub(crate) struct ReplyWriter<'w, 'r> {
    pub(crate) stack: Stack,
    /// It knows the protocol that the script has chosen for itself.
    pub(crate) link: &'w LinkCell,
    pub(crate) reply: &'w mut Reply<'r>,
    /// Errors among the values that no command has counted.
    pub(crate) errors: &'w mut Vec<Box<[u8]>>,
}

impl ReplyWriter<'_, '_> {
    /// Writes the value on top, which stays there.
    pub(crate) fn write(&mut self) {
        self.value(DEPTH);
    }

    fn value(&mut self, depth: u32) {
        let stack = self.stack;
        match stack.kind(-1) {
            Kind::Text => self.reply.bulk(stack.bytes(-1)),
            Kind::Number => self.reply.integer(stack.as_number(-1) as i64),
            Kind::Boolean => match (stack.as_truth(-1), self.link.protocol()) {
                (truth, Protocol::Resp3) => self.reply.boolean(truth),
                (true, _) => self.reply.integer(1),
                (false, _) => self.reply.null(),
            },
            Kind::Table if depth == 0 => self.reply.error("ERR reached lua stack limit"),
            Kind::Table => {
                stack.reserve(6);
                self.table(depth - 1);
            }
            Kind::Nil | Kind::Other => self.reply.null(),
        }
    }

    fn table(&mut self, depth: u32) {
        let (stack, table) = (self.stack, self.stack.len());
        for mark in MARKS {
            let kind = stack.field(table, mark);
            let is_marked = kind != Kind::Nil && self.marked(mark, kind, depth);
            stack.truncate(table);
            if is_marked {
                return;
            }
        }
        self.list(depth);
    }

    /// Writes the table of a mark whose value is on top, if it is of the right type.
    fn marked(&mut self, mark: &CStr, kind: Kind, depth: u32) -> bool {
        let stack = self.stack;
        match (mark.to_bytes(), kind) {
            (b"err", Kind::Text) => self.error(),
            (b"ok", Kind::Text) => self.reply.simple_bytes(stack.bytes(-1)),
            (b"double", Kind::Number) => self.reply.double(stack.as_number(-1)),
            (b"map", Kind::Table) => self.map(depth),
            (b"set", Kind::Table) => self.set(depth),
            (b"big_number", Kind::Text) => {
                let digits = one_line(stack.bytes(-1));
                self.reply.big_number(&digits);
            }
            (b"verbatim_string", Kind::Table) => return self.verbatim(),
            _ => return false,
        }
        true
    }

    /// Writes an error whose text is on top.
    fn error(&mut self) {
        let stack = self.stack;
        if stack.field(-2, c"ignore_error_stats_update") == Kind::Nil {
            self.errors.push(stack.bytes(-2).into());
        }
        self.reply.error_bytes(stack.bytes(-2));
    }

    fn verbatim(&mut self) -> bool {
        let stack = self.stack;
        let has_format = stack.field(-1, c"format") == Kind::Text;
        if !has_format || stack.field(-2, c"string") != Kind::Text {
            return false;
        }
        // A format has three characters; a shorter one is filled up, a longer one is cut.
        let mut three = [b' '; 3];
        for (to, from) in three.iter_mut().zip(stack.bytes(-2)) {
            *to = if from.is_ascii_graphic() { *from } else { b' ' };
        }
        let three = std::str::from_utf8(&three).unwrap_or("txt");
        self.reply.verbatim(three, stack.bytes(-1));
        true
    }

    fn map(&mut self, depth: u32) {
        let (stack, map) = (self.stack, self.stack.len());
        let (header, mut pairs) = (self.reply.deferred_map(), 0);
        stack.nil();
        while stack.next(map) {
            pairs += 1;
            // The key goes on top once more, to be written.
            stack.copy(-2);
            self.value(depth);
            stack.pop(1);
            self.value(depth);
            stack.pop(1);
        }
        self.reply.finish_map(header, pairs);
    }

    fn set(&mut self, depth: u32) {
        let (stack, set) = (self.stack, self.stack.len());
        let (header, mut len) = (self.reply.deferred_set(), 0);
        stack.nil();
        while stack.next(set) {
            len += 1;
            stack.pop(1);
            self.value(depth);
        }
        self.reply.finish_set(header, len);
    }

    /// Writes elements up to the first nil.
    fn list(&mut self, depth: u32) {
        let (stack, list) = (self.stack, self.stack.len());
        let mut len = 0;
        while stack.element(list, len + 1) != Kind::Nil {
            stack.pop(1);
            len += 1;
        }
        stack.pop(1);
        self.reply.array(len);
        for at in 1..=len {
            stack.element(list, at);
            self.value(depth);
            stack.pop(1);
        }
    }
}

fn one_line(text: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| match byte {
        b'\r' | b'\n' => b' ',
        other => *other,
    };
    text.iter().map(plain).collect()
}
