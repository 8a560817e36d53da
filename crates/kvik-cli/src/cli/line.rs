//! One line of input: a command in redis-cli's quoting, perhaps with a number of repetitions before
//! it.

use kvik_resp::{ArgsBuf, UnbalancedQuotes, split_line};

/// A command with the number of its repetitions.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    args: ArgsBuf,
    repeated: bool,
}

impl Line {
    /// Reads a line; a blank one is `None`.
    pub(crate) fn parse(line: &[u8]) -> Result<Option<Self>, UnbalancedQuotes> {
        let mut args = ArgsBuf::new();
        split_line(line, &mut args)?;
        // A number alone is a command, an unknown one.
        let repeated = args.len() > 1 && leading_count(&args).is_some();
        Ok((!args.is_empty()).then_some(Self { args, repeated }))
    }

    /// The words of the command.
    pub(crate) fn command(&self) -> Vec<&[u8]> {
        self.args
            .as_args()
            .tail(self.repeated.into())
            .iter()
            .collect()
    }

    /// How often to run it: `5 INCR visits`.
    pub(crate) fn times(&self) -> usize {
        if self.repeated {
            leading_count(&self.args).unwrap_or(1)
        } else {
            1
        }
    }

    /// Whether the line says that this was all.
    pub(crate) fn is_farewell(&self) -> bool {
        let words = self.command();
        words.len() == 1
            && [&b"quit"[..], b"exit"]
                .iter()
                .any(|word| words[0].eq_ignore_ascii_case(word))
    }
}

fn leading_count(args: &ArgsBuf) -> Option<usize> {
    let first = str::from_utf8(args.as_args().get(0)?).ok()?;
    first.parse().ok().filter(|count| *count > 0)
}

/// Resolves the escapes of double quotes in `text`; text that ends within an escape stays as it is.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut args = ArgsBuf::new();
    // The text becomes an argument in double quotes, which knows all the escapes.
    let quoted = format!("\"{}\"", text.replace('"', "\\\""));
    match split_line(quoted.as_bytes(), &mut args) {
        Ok(()) => args.as_args().get(0).unwrap_or_default().to_vec(),
        Err(UnbalancedQuotes) => text.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Line> {
        Line::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn words_are_unquoted() {
        let line = parse(r#"  SET 'my key' "a\tb\x00" "#).unwrap();
        assert_eq!(line.command(), [&b"SET"[..], b"my key", b"a\tb\0"]);
        assert_eq!(line.times(), 1);
    }

    #[test]
    fn a_number_before_a_command_repeats_it() {
        let line = parse("3 INCR n").unwrap();
        assert_eq!(
            (line.command(), line.times()),
            (vec![&b"INCR"[..], b"n"], 3)
        );
        let number = parse("3").unwrap();
        assert_eq!((number.command(), number.times()), (vec![&b"3"[..]], 1));
        let zero = parse("0 INCR").unwrap();
        assert_eq!(
            (zero.command(), zero.times()),
            (vec![&b"0"[..], b"INCR"], 1)
        );
    }

    #[test]
    fn blank_and_broken_lines_are_told_apart() {
        assert!(parse(" \t\r\n").is_none());
        assert!(Line::parse(b"GET \"a").is_err());
        assert!(Line::parse(b"GET 'a'b").is_err());
    }

    #[test]
    fn a_farewell_stands_alone() {
        assert!(parse("QUIT").unwrap().is_farewell());
        assert!(parse("exit\r").unwrap().is_farewell());
        assert!(!parse("quit now").unwrap().is_farewell());
        assert!(!parse("get quit").unwrap().is_farewell());
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(unescape(r"a\tb\x41"), b"a\tbA");
        assert_eq!(unescape(r#"say "hi""#), br#"say "hi""#);
        assert_eq!(unescape(r"end\"), br"end\");
    }
}
