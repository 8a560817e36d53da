//! Lines of Kiba's clients: where one ends, and its words.
//!
//! Words are separated by white space, to which NUL belongs. A word that begins with a quote runs
//! to the next one, whatever lies between, line ends too; nothing is escaped. A quote that is not
//! closed runs to the end of what came.

/// Where the search for the end of a line stands, so that each byte is looked at once.
#[derive(Debug, Default)]
pub(super) struct Lines {
    seen: usize,
    is_quoted: bool,
    is_in_word: bool,
}

/// The line at the start of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line of so many bytes.
    Line { len: usize },
    /// So many bytes that mean nothing: the rest of a buffer that was sent whole.
    Padding(usize),
    /// The beginning of a line, or nothing.
    Open,
}

impl Lines {
    /// Finds the line at the start of the input; all that is there counts as one when nothing
    /// follows.
    pub(super) fn next(&mut self, input: &[u8], is_silent: bool) -> Next {
        if self.seen == 0 {
            let padding = input.iter().take_while(|byte| **byte == 0).count();
            if padding > 0 {
                return Next::Padding(padding);
            }
        }
        while let Some(byte) = input.get(self.seen) {
            self.seen += 1;
            match byte {
                b'"' if self.is_quoted => self.is_quoted = false,
                _ if self.is_quoted => {}
                b'\n' => return self.end(),
                b'"' if !self.is_in_word => self.is_quoted = true,
                0 | b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.is_in_word = false,
                _ => self.is_in_word = true,
            }
        }
        match is_silent && self.seen > 0 {
            true => self.end(),
            false => Next::Open,
        }
    }

    fn end(&mut self) -> Next {
        let len = self.seen;
        *self = Self::default();
        Next::Line { len }
    }
}

/// The words of a line.
pub(super) fn words(line: &[u8]) -> Vec<&[u8]> {
    let (mut words, mut at) = (Vec::new(), 0);
    loop {
        at += blanks(&line[at..]);
        let rest = &line[at..];
        match rest.first() {
            None => return words,
            Some(b'"') => {
                let quoted = &rest[1..];
                let end = quoted.iter().position(|byte| *byte == b'"');
                // Without its end it is not to end with the line's.
                let word = end.map_or_else(|| trim_end(quoted), |end| &quoted[..end]);
                words.push(word);
                at += end.map_or(rest.len(), |end| end + 2);
            }
            Some(_) => {
                let len = word_len(rest);
                words.push(&rest[..len]);
                at += len;
            }
        }
    }
}

fn trim_end(text: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, 0 | b'\r' | b'\n');
    let end = text.iter().rposition(|byte| !is_end(byte));
    end.map_or(&[], |end| &text[..=end])
}

/// Bytes of white space at the start.
fn blanks(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(len) = blank(&text[at..]) {
        at += len;
    }
    at
}

/// Bytes up to the next white space.
fn word_len(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() && blank(&text[at..]).is_none() {
        at += 1;
    }
    at
}

/// Length of the character of white space at the start, if one is there. What is not UTF-8 belongs
/// to words.
fn blank(text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    if first < 0x80 {
        let is_blank = matches!(first, 0 | b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c);
        return is_blank.then_some(1);
    }
    // White space beyond ASCII has two or three bytes.
    (2..=3).find_map(|len| {
        let text = std::str::from_utf8(text.get(..len)?).ok()?;
        let character = text.chars().next()?;
        (character.is_whitespace() && character.len_utf8() == len).then_some(len)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &[u8], expected: &[&[u8]]) {
        assert_eq!(words(line), expected);
    }

    #[test]
    fn quotes_make_words_and_join_nothing() {
        check(b"SET name \"FOO BAR\"\n", &[b"SET", b"name", b"FOO BAR"]);
        check(b"\"a\"\"b\"", &[b"a", b"b"]);
        check(b"foo\"bar\" x", &[b"foo\"bar\"", b"x"]);
        check(b"SET e \"\"\r\n", &[b"SET", b"e", b""]);
        check(b"a \"b\\\" c", &[b"a", b"b\\", b"c"]);
        check(b"SET k \"v w\r\n\0\0", &[b"SET", b"k", b"v w"]);
        check(b"\0PING\0\0", &[b"PING"]);
        check(b" \t\r\n", &[]);
    }

    #[test]
    fn words_need_no_utf8_and_white_space_may_be_wide() {
        check(
            "a\u{3000}b\u{a0}\u{85}c é".as_bytes(),
            &[b"a", b"b", b"c", "é".as_bytes()],
        );
        check(b"a\xe3\x80 \xff", &[b"a\xe3\x80", b"\xff"]);
    }

    #[test]
    fn a_line_ends_outside_quotes() {
        let mut lines = Lines::default();
        assert_eq!(lines.next(b"SET a \"x\ny", false), Next::Open);
        assert_eq!(
            lines.next(b"SET a \"x\ny\"\nGET", false),
            Next::Line { len: 12 }
        );
        assert_eq!(lines.next(b"GET", false), Next::Open);
        assert_eq!(lines.next(b"GET", true), Next::Line { len: 3 });
        assert_eq!(lines.next(b"", true), Next::Open);
        assert_eq!(lines.next(b"\0\0P", false), Next::Padding(2));
    }
}
