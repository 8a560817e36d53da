//! From the text of a transcript to its cases.

use std::time::Duration;

use kvik_resp::{ArgsBuf, split_line};

use super::pattern::{Pattern, PatternError, parse_pattern};
use super::{Action, Case, Expected, Need, Step, Word, Written};
use crate::target::{Product, Version};

/// Parses a whole file; an error names its line.
pub(crate) fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut parser = Parser::default();
    for (number, line) in text.lines().enumerate() {
        parser.line = number + 1;
        parser
            .take(line)
            .map_err(|error| format!("line {}: {error}", number + 1))?;
    }
    parser.finish()
}

#[derive(Default)]
struct Parser {
    line: usize,
    /// Markers above the first case hold for every case.
    file_needs: Vec<Need>,
    cases: Vec<Case>,
    /// An aggregate that has not been closed yet, and the arrow it began with.
    open: Option<(Arrow, String)>,
}

/// The start of a line that expects: which connection, and for which protocol if not for both.
#[derive(Clone, Copy)]
struct Arrow {
    connection: u32,
    protocol: Option<u8>,
}

impl Parser {
    fn take(&mut self, line: &str) -> Result<(), String> {
        let text = line.trim();
        match text.as_bytes().first() {
            None | Some(b'#') => Ok(()),
            Some(b'=') => self.begin_case(text),
            Some(b'@') => self.marker(&text[1..]),
            Some(b'!') => self.wait(&text[1..]),
            Some(_) => self.arrow(text),
        }
    }

    fn finish(mut self) -> Result<Vec<Case>, String> {
        if self.open.is_some() {
            return Err(format!("line {}: a reply is never closed", self.line));
        }
        for case in &mut self.cases {
            expect_no_error_where_nothing_is_said(&mut case.steps);
        }
        Ok(self.cases)
    }

    fn begin_case(&mut self, text: &str) -> Result<(), String> {
        let name = text
            .strip_prefix("== ")
            .ok_or("a case begins with `== name`")?;
        let needs = self.file_needs.clone();
        self.cases.push(Case {
            name: name.to_owned(),
            line: self.line,
            needs,
            steps: Vec::new(),
        });
        Ok(())
    }

    fn marker(&mut self, text: &str) -> Result<(), String> {
        let need = parse_need(text)?;
        match self.cases.last_mut() {
            Some(case) => case.needs.push(need),
            None => self.file_needs.push(need),
        }
        Ok(())
    }

    fn wait(&mut self, text: &str) -> Result<(), String> {
        let ms = text
            .trim()
            .strip_prefix("wait ")
            .and_then(|t| t.strip_suffix("ms"));
        let ms = ms
            .and_then(|digits| digits.parse().ok())
            .ok_or("expected `! wait <n>ms`")?;
        self.push(0, Action::Wait(Duration::from_millis(ms)))
    }

    fn arrow(&mut self, text: &str) -> Result<(), String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let connection = if digits == 0 {
            1
        } else {
            text[..digits].parse().map_err(|_| "no such connection")?
        };
        match &text.as_bytes()[digits..] {
            [b'>', b'>', ..] => {
                self.push(connection, Action::SendBehind(words(&text[digits + 2..])?))
            }
            [b'>', b'+', ..] => {
                self.push(connection, Action::SendUntil(words(&text[digits + 2..])?))
            }
            [b'>', ..] => self.push(connection, Action::Send(words(&text[digits + 1..])?)),
            [b'<', b'2', b' ', ..] => self.reply(
                Arrow {
                    connection,
                    protocol: Some(2),
                },
                &text[digits + 2..],
            ),
            [b'<', b'3', b' ', ..] => self.reply(
                Arrow {
                    connection,
                    protocol: Some(3),
                },
                &text[digits + 2..],
            ),
            [b'<', ..] => self.reply(
                Arrow {
                    connection,
                    protocol: None,
                },
                &text[digits + 1..],
            ),
            _ => Err(format!("{text:?} is neither a command nor a reply")),
        }
    }

    fn reply(&mut self, arrow: Arrow, text: &str) -> Result<(), String> {
        let (arrow, text) = match self.open.take() {
            Some((first, so_far)) => (first, format!("{so_far} {text}")),
            None => (arrow, text.to_owned()),
        };
        match parse_pattern(&text) {
            Ok(pattern) => self.expect(
                arrow,
                Written {
                    text: text.trim().to_owned(),
                    pattern,
                },
            ),
            Err(PatternError::Wrong(error)) => Err(error),
            Err(PatternError::Unfinished) => {
                self.open = Some((arrow, text));
                Ok(())
            }
        }
    }

    /// `<3` completes the `<2` above it.
    fn expect(&mut self, arrow: Arrow, written: Written) -> Result<(), String> {
        if arrow.protocol != Some(3) {
            let expected = Expected {
                any: written,
                resp3: None,
            };
            return self.push(arrow.connection, Action::Expect(expected));
        }
        let last = self.cases.last_mut().and_then(|case| case.steps.last_mut());
        match last.map(|step| &mut step.action) {
            Some(Action::Expect(Expected {
                resp3: resp3 @ None,
                ..
            })) => *resp3 = Some(written),
            _ => return Err("`<3` follows a `<2`".into()),
        }
        Ok(())
    }

    fn push(&mut self, connection: u32, action: Action) -> Result<(), String> {
        if self.open.is_some() {
            return Err("the reply above is never closed".into());
        }
        let case = self.cases.last_mut().ok_or("expected `== name` first")?;
        case.steps.push(Step {
            line: self.line,
            connection,
            action,
        });
        Ok(())
    }
}

/// A command that no reply is written for must still not fail.
fn expect_no_error_where_nothing_is_said(steps: &mut Vec<Step>) {
    for at in (0..steps.len()).rev() {
        let Step {
            line,
            connection,
            action: Action::Send(_),
        } = steps[at]
        else {
            continue;
        };
        let next = steps[at + 1..]
            .iter()
            .find(|step| step.connection == connection);
        if next.is_none_or(|step| matches!(step.action, Action::Send(_))) {
            let any = Written {
                text: "no error".into(),
                pattern: Pattern::NoError,
            };
            let action = Action::Expect(Expected { any, resp3: None });
            steps.insert(
                at + 1,
                Step {
                    line,
                    connection,
                    action,
                },
            );
        }
    }
}

/// The arguments of a command, quoted as in redis-cli; `$name` stands for what a reply bound it to.
fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = ArgsBuf::new();
    split_line(text.as_bytes(), &mut words).map_err(|error| error.to_string())?;
    let word = |word: &[u8]| match word {
        [b'$', name @ ..] if name.first().is_some_and(u8::is_ascii_lowercase) => {
            Word::Variable(String::from_utf8_lossy(name).into_owned())
        }
        bytes => Word::Bytes(bytes.to_vec()),
    };
    Ok(words.as_args().iter().map(word).collect())
}

/// `requires redis>=7.2 valkey>=8 why`, `only kvik why`.
fn parse_need(text: &str) -> Result<Need, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["only", names, _reason, ..] => Ok(Need::Only(names.to_owned())),
        ["requires", ref rest @ ..] => {
            let is_version = |word: &&&str| word.contains(">=");
            let versions: Vec<_> = rest.iter().take_while(is_version).collect();
            if versions.is_empty() || versions.len() == rest.len() {
                return Err("expected `@requires product>=version reason`".into());
            }
            versions
                .into_iter()
                .map(|word| at_least(word))
                .collect::<Result<_, _>>()
                .map(Need::Version)
        }
        _ => Err("expected `@requires product>=version reason` or `@only name reason`".into()),
    }
}

fn at_least(condition: &str) -> Result<(Product, Version), String> {
    let (product, version) = condition
        .split_once(">=")
        .ok_or("expected product>=version")?;
    Ok((product.parse()?, version.parse()?))
}
