//! A cursor over one line of a transcript: words, and byte strings quoted the way redis-cli quotes
//! them.

/// Reads a line from left to right.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            rest: text.as_bytes(),
        }
    }

    /// The next byte, not consumed.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Consumes `prefix` if it comes next.
    pub(crate) fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest.strip_prefix(prefix.as_bytes());
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    pub(crate) fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    pub(crate) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Consumes and returns everything up to the end of the line.
    pub(crate) fn take_rest(&mut self) -> String {
        let rest = std::mem::take(&mut self.rest);
        String::from_utf8_lossy(rest).trim_end().to_owned()
    }

    /// Consumes the bytes up to the first one that `ends` a bare word.
    pub(crate) fn bare(&mut self, ends: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self
            .rest
            .iter()
            .position(|b| ends(*b))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        word
    }

    /// A `"..."` with the escapes `\n \r \t \b \a \\ \" \xHH`.
    pub(crate) fn quoted(&mut self) -> Result<Vec<u8>, String> {
        if !self.eat("\"") {
            return Err("expected an opening quote".into());
        }
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Ok(bytes),
                b'\\' => bytes.push(self.escaped()?),
                plain => bytes.push(plain),
            }
        }
    }

    fn escaped(&mut self) -> Result<u8, String> {
        Ok(match self.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'a' => 7,
            b'x' => self.hex()? << 4 | self.hex()?,
            other => other,
        })
    }

    fn hex(&mut self) -> Result<u8, String> {
        let digit = self.next()?;
        let value = char::from(digit).to_digit(16);
        value
            .and_then(|v| u8::try_from(v).ok())
            .ok_or_else(|| "\\x wants two hex digits".into())
    }

    fn next(&mut self) -> Result<u8, String> {
        let (first, rest) = self.rest.split_first().ok_or("unbalanced quotes")?;
        self.rest = rest;
        Ok(*first)
    }
}
