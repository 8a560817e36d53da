//! From the encoded reply of a command to a value on Lua's stack, in one pass.

use crate::stack::Stack;

/// How deep a reply may be nested. Replies of commands are not nested as deeply.
const DEPTH: u32 = 64;

/// Pushes a reply as Lua's value. Says whether it is an error.
#[inline]
pub(crate) fn push(stack: Stack, reply: &[u8]) -> bool {
    let mut reader = ReplyReader { stack, rest: reply };
    reader.value(DEPTH);
    reply.first() == Some(&b'-')
}

/// Pushes the table of an error that a command has returned, and has counted.
pub(crate) fn push_error(stack: Stack, line: &[u8]) {
    stack.table(0, 2);
    stack.text(line);
    stack.set_field(-2, c"err");
    stack.truth(true);
    stack.set_field(-2, c"ignore_error_stats_update");
}

/// Nothing in it is dropped: it is jumped over where there is no memory for a value.
struct ReplyReader<'a> {
    stack: Stack,
    rest: &'a [u8],
}

impl<'a> ReplyReader<'a> {
    /// The rest of the line, whose end is passed.
    #[inline]
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\r', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    #[inline]
    fn integer(&mut self) -> i64 {
        kvik_resp::parse_i64(self.line()).unwrap_or(0)
    }

    #[inline]
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let len = len.min(self.rest.len());
        let bytes = &self.rest[..len];
        self.rest = self.rest.get(len + 2..).unwrap_or_default();
        bytes
    }

    /// How many elements follow; nothing for the null array.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.integer()).ok()
    }

    /// Puts the value on top into the one field of a table, which takes its place.
    fn wrap(&self, push: impl FnOnce(Stack), name: &std::ffi::CStr) {
        self.stack.table(0, 1);
        push(self.stack);
        self.stack.set_field(-2, name);
    }

    #[inline]
    fn value(&mut self, depth: u32) {
        let stack = self.stack;
        let Some((&kind, rest)) = self.rest.split_first() else {
            return stack.nil();
        };
        self.rest = rest;
        match kind {
            b'$' => match self.count() {
                Some(len) => {
                    let bytes = self.bytes(len);
                    stack.text(bytes);
                }
                None => stack.truth(false),
            },
            b':' => stack.number(self.integer() as f64),
            b'+' => {
                let text = self.line();
                self.wrap(|stack| stack.text(text), c"ok");
            }
            b'-' => push_error(stack, self.line()),
            b'_' => {
                self.line();
                stack.nil();
            }
            b'#' => stack.truth(self.line() == b"t"),
            b',' => {
                let number = kvik_resp::parse_f64(self.line()).unwrap_or(f64::NAN);
                self.wrap(|stack| stack.number(number), c"double");
            }
            b'(' => {
                let digits = self.line();
                self.wrap(|stack| stack.text(digits), c"big_number");
            }
            b'=' => self.verbatim(),
            _ => self.nested(kind, depth),
        }
    }

    fn nested(&mut self, kind: u8, depth: u32) {
        if depth == 0 {
            self.stack.text(b"reached lua stack limit");
            self.stack.raise();
        }
        self.stack.reserve(4);
        match kind {
            b'*' | b'>' => match self.count() {
                Some(len) => self.array(len, depth),
                None => self.stack.truth(false),
            },
            b'%' => self.map(depth),
            b'~' => self.set(depth),
            b'|' => {
                // Scripts do not see attributes.
                for _ in 0..2 * self.integer() {
                    self.value(depth - 1);
                    self.stack.pop(1);
                }
                self.value(depth - 1);
            }
            _ => self.stack.nil(),
        }
    }

    fn array(&mut self, len: usize, depth: u32) {
        // Every element takes at least three bytes.
        self.stack.table(len.min(self.rest.len()), 0);
        for at in 1..=len {
            self.value(depth - 1);
            self.stack.set_element(-2, at);
        }
    }

    fn map(&mut self, depth: u32) {
        let pairs = self.count().unwrap_or(0);
        self.stack.table(0, 1);
        self.stack.table(0, pairs.min(self.rest.len()));
        for _ in 0..pairs {
            self.value(depth - 1);
            self.value(depth - 1);
            self.stack.set(-3);
        }
        self.stack.set_field(-2, c"map");
    }

    fn set(&mut self, depth: u32) {
        let len = self.count().unwrap_or(0);
        self.stack.table(0, 1);
        self.stack.table(0, len.min(self.rest.len()));
        for _ in 0..len {
            self.value(depth - 1);
            self.stack.truth(true);
            self.stack.set(-3);
        }
        self.stack.set_field(-2, c"set");
    }

    fn verbatim(&mut self) {
        let len = self.count().unwrap_or(0);
        let bytes = self.bytes(len);
        let (format, text) = (bytes.get(..3), bytes.get(4..));
        self.stack.table(0, 1);
        self.stack.table(0, 2);
        self.stack.text(text.unwrap_or_default());
        self.stack.set_field(-2, c"string");
        self.stack.text(format.unwrap_or_default());
        self.stack.set_field(-2, c"format");
        self.stack.set_field(-2, c"verbatim_string");
    }
}
