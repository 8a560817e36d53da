//! Regular expressions of ARGREP: POSIX extended ones, over bytes.
//!
//! They are matched by the regex crate, in time that grows with the text and not with what an
//! expression may be read as. Its notation is nearly the same; what differs is written anew:
//!
//! - between brackets, where POSIX has no escapes and no operations on sets, byte by byte;
//! - a `{` that begins no number of repetitions, which is itself;
//! - bytes that are no ASCII, as escapes.
//!
//! References back to what a group has matched are refused, as Redis does.

use regex::bytes::{Regex, RegexBuilder};

use crate::Error;

/// Bytes of a compiled expression, and of what is remembered while it is matched.
const COMPILED_MAX: usize = 1 << 18;

/// Compiles an expression.
pub(super) fn compile(expression: &[u8], nocase: bool) -> Result<Regex, Error> {
    if expression.is_empty() {
        return Err(Error::text("regular expression is empty"));
    }
    let pattern = translate(expression)?;
    let built = RegexBuilder::new(&pattern)
        .unicode(false)
        .dot_matches_new_line(true)
        .case_insensitive(nocase)
        .size_limit(COMPILED_MAX)
        .dfa_size_limit(COMPILED_MAX)
        .build();
    built.map_err(|error| {
        invalid(match error {
            regex::Error::CompiledTooBig(_) => "Out of memory",
            _ => "Invalid regexp",
        })
    })
}

fn invalid(reason: &str) -> Error {
    Error::new(format!("invalid regular expression: {reason}"))
}

/// An expression in the notation of the regex crate.
fn translate(expression: &[u8]) -> Result<String, Error> {
    let mut pattern = String::with_capacity(expression.len() + 16);
    let mut rest = expression;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'[' => rest = class(rest, &mut pattern)?,
            b'\\' => {
                let (&escaped, after) = rest.split_first().ok_or(invalid("Trailing backslash"))?;
                rest = after;
                escape(escaped, &mut pattern)?;
            }
            b'{' => match repetition(rest) {
                Some(times) => {
                    pattern.push('{');
                    pattern.push_str(times);
                    rest = &rest[times.len()..];
                }
                None => literal(byte, &mut pattern),
            },
            b'.' | b'*' | b'+' | b'?' | b'(' | b')' | b'|' | b'^' | b'$' => {
                pattern.push(byte.into());
            }
            byte => literal(byte, &mut pattern),
        }
    }
    Ok(pattern)
}

/// A number of repetitions behind an open brace, with the brace that closes it.
fn repetition(rest: &[u8]) -> Option<&str> {
    let end = rest.iter().position(|byte| *byte == b'}')?;
    let text = std::str::from_utf8(&rest[..=end]).ok()?;
    let (least, most) = text[..end].split_once(',').unwrap_or((&text[..end], ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!least.is_empty() && is_number(least) && is_number(most)).then_some(text)
}

/// Writes what a backslash makes of a byte: a class that most know, or the byte itself.
fn escape(escaped: u8, pattern: &mut String) -> Result<(), Error> {
    match escaped {
        b'1'..=b'9' => Err(Error::text(
            "regular expression backreferences are not supported",
        )),
        b'd' | b'D' | b'w' | b'W' | b's' | b'S' | b'b' | b'B' | b'<' | b'>' | b't' | b'n'
        | b'r' | b'f' | b'a' | b'x' => {
            pattern.push('\\');
            pattern.push(escaped.into());
            Ok(())
        }
        b'e' => {
            pattern.push_str("\\x1b");
            Ok(())
        }
        escaped => {
            literal(escaped, pattern);
            Ok(())
        }
    }
}

/// Writes a byte that stands for itself.
fn literal(byte: u8, pattern: &mut String) {
    if byte.is_ascii_alphanumeric() || byte == b' ' || byte == b'_' {
        pattern.push(byte.into());
    } else {
        pattern.push_str(&format!("\\x{byte:02x}"));
    }
}

/// Writes the class behind an open bracket, and returns what follows it.
fn class<'e>(mut rest: &'e [u8], pattern: &mut String) -> Result<&'e [u8], Error> {
    const OPEN: &str = "Missing ']'";
    pattern.push('[');
    if let Some(after) = rest.strip_prefix(b"^") {
        pattern.push('^');
        rest = after;
    }
    let mut is_first = true;
    loop {
        let (&byte, after) = rest.split_first().ok_or_else(|| invalid(OPEN))?;
        // A closing bracket at the start is itself.
        if byte == b']' && !is_first {
            pattern.push(']');
            return Ok(after);
        }
        is_first = false;
        if let Some(named) = rest.strip_prefix(b"[:") {
            let end = named.windows(2).position(|it| it == b":]");
            let end = end.ok_or_else(|| invalid("Unknown character class name"))?;
            let name = std::str::from_utf8(&named[..end]).unwrap_or_default();
            if !NAMES.contains(&name) {
                return Err(invalid("Unknown character class name"));
            }
            pattern.push_str(&format!("[:{name}:]"));
            rest = &named[end + 2..];
            continue;
        }
        let (from, after) = member(rest)?;
        match after {
            // A dash at the end is itself.
            [b'-', next, ..] if *next != b']' => {
                let (to, after) = member(&after[1..])?;
                if to < from {
                    return Err(invalid("Invalid character range"));
                }
                pattern.push_str(&format!("\\x{from:02x}-\\x{to:02x}"));
                rest = after;
            }
            after => {
                pattern.push_str(&format!("\\x{from:02x}"));
                rest = after;
            }
        }
    }
}

/// The classes that have names.
const NAMES: [&str; 12] = [
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "xdigit",
];

/// One byte of a class, which may be written `[.x.]` or `[=x=]`, and what follows it.
fn member(rest: &[u8]) -> Result<(u8, &[u8]), Error> {
    match rest {
        [b'[', open @ (b'.' | b'='), byte, close, b']', after @ ..] if open == close => {
            Ok((*byte, after))
        }
        [b'[', b'.' | b'=', ..] => Err(invalid("Unknown collating element")),
        [byte, after @ ..] => Ok((*byte, after)),
        [] => Err(invalid("Missing ']'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, matching: &[&str], others: &[&str]) {
        let regex = compile(expression.as_bytes(), false).expect(expression);
        for text in matching {
            assert!(regex.is_match(text.as_bytes()), "{expression} {text:?}");
        }
        for text in others {
            assert!(!regex.is_match(text.as_bytes()), "{expression} {text:?}");
        }
    }

    #[test]
    fn it_means_what_posix_says() {
        check("^[0-9]{3}$", &["123"], &["12", "1234"]);
        check("a{,2}b{x}{", &["a{,2}b{x}{"], &["aab"]);
        check("^[]a]+$", &["]a]"], &["b"]);
        check("^[^]a]$", &["b"], &["]", "a"]);
        // A backslash, two ampersands and an inner bracket are themselves.
        check(r"^[\d]+$", &[r"\d"], &["1"]);
        check("^[a&&b]+$", &["a&b"], &["c"]);
        check("^[a[b]+$", &["a[b"], &["c"]);
        check("^[a-]+$", &["a-"], &["b"]);
        check("^[[:alpha:]_]+$", &["ab_"], &["1"]);
        check("^[[.-.]x]$", &["-", "x"], &["."]);
        check(r"\.\*\-\/", &[".*-/"], &["a"]);
        check(r"^\d+\s\w$", &["12 a"], &["a"]);
        check("^a.b$", &["a\nb"], &["ab"]);
        check("foo|bar", &["xbar"], &["ba"]);
    }

    #[test]
    fn bytes_are_not_text() {
        let regex = compile(b"^\xff.\x00$", false).unwrap();
        assert!(regex.is_match(b"\xff\xfe\x00"));
        let regex = compile(b"^[\x80-\xff]$", false).unwrap();
        assert!(regex.is_match(b"\xe4") && !regex.is_match(b"a"));
        let regex = compile(b"^[a-c]X$", true).unwrap();
        assert!(regex.is_match(b"Bx"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for expression in [
            "(",
            ")",
            "[",
            "[a",
            "[[:x:]]",
            "[z-a]",
            "\\",
            "*",
            "a{3,2}",
            "\\x{1",
            "\\x{1z}",
            "((((((a{99}){99}){99}){99}){99}){99})",
        ] {
            let error = compile(expression.as_bytes(), false).expect_err(expression);
            let text = error.to_string();
            assert!(
                text.starts_with("ERR invalid regular expression: "),
                "{text}"
            );
        }
        let text = |it: &[u8]| compile(it, false).unwrap_err().to_string();
        assert_eq!(text(b""), "ERR regular expression is empty");
        assert_eq!(
            text(br"(a)\1"),
            "ERR regular expression backreferences are not supported"
        );
    }
}
