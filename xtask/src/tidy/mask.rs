//! A Rust source without what people write into it.
//!
//! The rules look for words such as `unsafe` and for braces; in comments, strings and character
//! literals these mean nothing. This is not a Rust parser: it knows exactly where those three begin
//! and end, which is all that is needed.

/// `source` with comments, strings, character literals and all that is not ASCII blanked out. Every
/// byte keeps its place.
pub(super) fn mask(source: &str) -> String {
    let mut mask = Mask {
        source: source.as_bytes(),
        at: 0,
        out: Vec::with_capacity(source.len()),
    };
    while mask.at < mask.source.len() {
        mask.step();
    }
    String::from_utf8_lossy(&mask.out).into_owned()
}

struct Mask<'a> {
    source: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl Mask<'_> {
    fn step(&mut self) {
        let rest = &self.source[self.at..];
        match rest {
            [b'/', b'/', ..] => self.blank(
                rest.iter()
                    .position(|&byte| byte == b'\n')
                    .unwrap_or(rest.len()),
            ),
            [b'/', b'*', ..] => self.blank(block_comment(rest)),
            [b'"', ..] => self.blank(string(rest)),
            [b'\'', ..] => match character(rest) {
                Some(length) => self.blank(length),
                None => self.copy(1), // a lifetime
            },
            [first, ..] if is_word(*first) => self.word(rest),
            [first, ..] if !first.is_ascii() => self.blank(1),
            _ => self.copy(1),
        }
    }

    /// A word is copied whole, so that the r of `for` is not taken for the start of a raw string.
    fn word(&mut self, rest: &[u8]) {
        let length = rest
            .iter()
            .position(|&byte| !is_word(byte))
            .unwrap_or(rest.len());
        self.copy(length);
        if matches!(&rest[..length], b"r" | b"br" | b"cr") {
            self.blank(raw_string(&rest[length..]));
        }
    }

    fn copy(&mut self, length: usize) {
        self.out
            .extend_from_slice(&self.source[self.at..self.at + length]);
        self.at += length;
    }

    fn blank(&mut self, length: usize) {
        let bytes = &self.source[self.at..self.at + length];
        self.out.extend(
            bytes
                .iter()
                .map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }),
        );
        self.at += length;
    }
}

pub(super) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// Length of the comment at the start of `rest`; block comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of the string literal at the start of `rest`, quotes included.
fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Length of the hashes, quotes and text that follow an `r`; 0 when it was an ordinary name.
fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return 0;
    }
    let end = [b"\"".as_slice(), &rest[..hashes]].concat();
    let text = &rest[hashes + 1..];
    let length = text
        .windows(end.len())
        .position(|window| window == end)
        .map_or(text.len(), |at| at + end.len());
    hashes + 1 + length
}

/// Length of the character literal at the start of `rest`; none when the quote starts a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return rest
            .iter()
            .skip(3)
            .position(|&byte| byte == b'\'')
            .map(|at| at + 4);
    }
    let width = match rest.get(1)? {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn comments_go_and_lines_stay() {
        assert_eq!(
            mask("a // b\nc /* d /* e */\nf */ g"),
            "a     \nc             \n     g"
        );
    }

    #[test]
    fn strings_go() {
        assert_eq!(mask(r#"f("{\"}", 1)"#), "f(      , 1)");
        assert_eq!(mask("r#\"{\"# }"), "r      }");
        assert_eq!(mask("for\"{\""), "for   ");
        assert_eq!(mask("b\"{\" r\"}\""), "b    r   ");
    }

    #[test]
    fn characters_go_and_lifetimes_stay() {
        assert_eq!(
            mask("'{' '\\'' '\\u{7b}' 'é' &'a str"),
            format!("{}&'a str", " ".repeat(23))
        );
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        for source in ["\"abc", "\"abc\\", "r#\"abc", "/* abc", "'\\", "'"] {
            assert_eq!(mask(source).len(), source.len());
        }
    }
}
