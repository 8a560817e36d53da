//! Splits a line of text into arguments by the quoting rules of Redis' inline commands and of its
//! command line.
//!
//! Outside quotes an argument ends at a blank. Inside double quotes `\n \r \t \b \a`, `\xHH` and a
//! backslash before any other byte are escapes; inside single quotes only `\'` is. A quote may open
//! in the middle of an argument, but after the closing one the argument must end. So the arguments
//! are not slices of the line: they are built in an [`ArgsBuf`].

use crate::ArgsBuf;

/// A quote was not closed, or its closing quote was not followed by a blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnbalancedQuotes;

impl std::fmt::Display for UnbalancedQuotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unbalanced quotes")
    }
}

impl std::error::Error for UnbalancedQuotes {}

/// Appends the arguments of `line` to `args`. On error `args` holds those before the broken one.
///
/// ```
/// let mut args = kvik_resp::ArgsBuf::new();
/// kvik_resp::split_line(br#"SET 'my key' "\x41\n""#, &mut args).unwrap();
/// assert_eq!(args.as_args().iter().collect::<Vec<_>>(), [&b"SET"[..], b"my key", b"A\n"]);
/// ```
pub fn split_line(line: &[u8], args: &mut ArgsBuf) -> Result<(), UnbalancedQuotes> {
    let mut rest = skip_blanks(line);
    while !rest.is_empty() {
        // The argument grows in place, behind the ones before it; a broken one is cut off again.
        let start = args.byte_len();
        match take_arg(rest, args.open_arg()) {
            Some(after) => rest = skip_blanks(after),
            None => {
                args.open_arg().truncate(start);
                return Err(UnbalancedQuotes);
            }
        }
        args.close_arg(start);
    }
    Ok(())
}

/// Unescapes one argument into `out` and returns what follows it.
fn take_arg<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let [byte, after @ ..] = rest {
        match byte {
            // Narrower than `is_blank`: Redis ends an argument at these, but skips all of isspace
            // before one.
            b' ' | b'\n' | b'\r' | b'\t' | 0 => return Some(rest),
            b'"' => return take_double_quoted(after, out),
            b'\'' => return take_single_quoted(after, out),
            other => out.push(*other),
        }
        rest = after;
    }
    Some(rest)
}

fn take_double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'"', after @ ..] => return at_blank(after),
            // Without two digits `\x` is an escape like any other: the letter itself.
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_digit(*high) * 16 + hex_digit(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'\'', after @ ..] => return at_blank(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
}

/// A closing quote must be followed by a blank or the end.
fn at_blank(rest: &[u8]) -> Option<&[u8]> {
    rest.first()
        .is_none_or(|byte| is_blank(*byte))
        .then_some(rest)
}

fn skip_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| is_blank(**byte)).count();
    &line[blanks..]
}

/// C's `isspace`, and the zero byte, at which a C string would have ended.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0)
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let mut args = ArgsBuf::new();
        split_line(line.as_bytes(), &mut args).ok()?;
        Some(
            args.as_args()
                .iter()
                .map(|arg| arg.escape_ascii().to_string())
                .collect(),
        )
    }

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        assert_eq!(split(line).expect(line), expected);
    }

    #[test]
    fn plain_words_are_split_at_blanks() {
        check("", &[]);
        check(" \t ", &[]);
        check("PING", &["PING"]);
        check("  SET  a\tb\r", &["SET", "a", "b"]);
        check("a\\nb", &["a\\\\nb"]);
    }

    #[test]
    fn vertical_tabs_are_skipped_before_but_kept_inside_an_argument() {
        check("\x0ba \x0cb", &["a", "b"]);
        check("a\x0bb", &["a\\x0bb"]);
    }

    #[test]
    fn double_quotes_know_escapes() {
        check(
            r#""a b" "\x41\xff" "\n\r\t\b\a" "\"\\\q""#,
            &["a b", "A\\xff", "\\n\\r\\t\\x08\\x07", "\\\"\\\\q"],
        );
        check(r#""\x4" "\xg0" """#, &["x4", "xg0", ""]);
    }

    #[test]
    fn single_quotes_know_only_their_own_escape() {
        check(r"'a\nb' 'it\'s' ''", &["a\\\\nb", "it\\'s", ""]);
    }

    #[test]
    fn a_quote_may_open_inside_an_argument_but_must_end_it() {
        check(r#"a"b c" d'e f'"#, &["ab c", "de f"]);
        for broken in [
            r#""a"b"#, "'a'b", r#""a"#, "'a", r#""a\""#, r#"a ""b"#, r#""\"#, r"'\'",
        ] {
            assert_eq!(split(broken), None, "{broken}");
        }
    }
}
