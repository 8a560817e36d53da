//! The notation in which a command's arguments are declared: that of the Redis documentation.
//!
//! ```text
//! key value [NX|XX] [GET] [EX seconds|PX milliseconds]      a SET without its younger options
//!
//! lowercase        an argument; its type follows from its name (Kind::of)
//! name:double      an argument whose type does not follow from its name
//! name=shown       an argument that usage lines show under another name
//! UPPER            a literal word; it takes the names and <groups> after it as its operands
//! [ ... ]          may be left out
//! < a | b >        one of several; brackets need no <>: [NX|XX]
//! x [x ...]        once or more; x may be several words: field value [field value ...]
//! [x ...]          any number, also none
//! <a|b> ...        a group once or more
//! name:<a|b>       a group with a name for COMMAND DOCS
//! ```
//!
//! A group without a name is called after the token before it, or by what the documentation of
//! Redis calls its like (`condition` for NX|XX, `expiration` for EX|PX...). The parser recurses
//! only over declarations, never over client input.

use super::argument::{Argument, Kind, Repetition};

/// Why a syntax string could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The fault.
    pub what: &'static str,
    /// The rest of the string, from where it was noticed.
    pub rest: String,
}

/// Reads a syntax string.
pub fn parse(text: &'static str) -> Result<Vec<Argument>, SyntaxError> {
    let mut parser = Parser { rest: text };
    let (arguments, repeated) = parser.sequence()?;
    match parser.peek() {
        None if !repeated => Ok(arguments),
        _ => Err(parser.error("not the end of an argument list")),
    }
}

struct Parser {
    rest: &'static str,
}

const SPECIAL: &[char] = &['[', ']', '<', '>', '|'];

impl Parser {
    fn error(&self, what: &'static str) -> SyntaxError {
        SyntaxError {
            what,
            rest: self.rest.to_owned(),
        }
    }

    /// The next symbol or word, or nothing at the end.
    fn peek(&mut self) -> Option<&'static str> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        let ends = |c: char| c.is_whitespace() || SPECIAL.contains(&c);
        let end = if SPECIAL.contains(&first) {
            1
        } else {
            self.rest.find(ends).unwrap_or(self.rest.len())
        };
        Some(&self.rest[..end])
    }

    fn take(&mut self, expected: &str) -> bool {
        let found = self.peek() == Some(expected);
        if found {
            self.rest = &self.rest[expected.len()..];
        }
        found
    }

    /// Items up to a closing symbol, and whether it is a bracket with `...` before it.
    fn sequence(&mut self) -> Result<(Vec<Argument>, bool), SyntaxError> {
        let mut items = Vec::new();
        while let Some(next) = self.peek() {
            match next {
                "]" | ">" | "|" => break,
                "[" => self.bracket(&mut items)?,
                // `...` before a closing bracket repeats the bracket; elsewhere it repeats the item
                // before it.
                "..." => {
                    self.take("...");
                    if self.peek() == Some("]") {
                        return Ok((items, true));
                    }
                    let last = items.pop().ok_or_else(|| self.error("nothing to repeat"))?;
                    items.push(repeat(vec![last]));
                }
                word if is_token(word) => items.push(self.token(word)?),
                _ => items.push(self.operand()?),
            }
        }
        Ok((items, false))
    }

    /// `[...]`: a repetition of what stands before it, or something that may be left out.
    fn bracket(&mut self, before: &mut Vec<Argument>) -> Result<(), SyntaxError> {
        self.take("[");
        let (mut alternatives, repeated) = self.alternatives()?;
        if !self.take("]") {
            return Err(self.error("expected ]"));
        }
        // `a [a ...]` repeats what stands before the bracket; anything else in it may be left out.
        if repeated && alternatives.len() == 1 && before.ends_with(&alternatives[0]) {
            let group = before.split_off(before.len() - alternatives[0].len());
            before.push(repeat(group));
            return Ok(());
        }
        if repeated {
            alternatives = vec![vec![repeat(vec![one_of(alternatives, None)])]];
        }
        before.push(Argument {
            optional: true,
            ..one_of(alternatives, None)
        });
        Ok(())
    }

    fn alternatives(&mut self) -> Result<(Vec<Vec<Argument>>, bool), SyntaxError> {
        let mut all = Vec::new();
        loop {
            let (items, repeated) = self.sequence()?;
            if items.is_empty() {
                return Err(self.error("an empty alternative"));
            }
            all.push(items);
            if repeated || !self.take("|") {
                return Ok((all, repeated));
            }
        }
    }

    /// A literal word and its operands: nothing, one argument, or a block of several.
    fn token(&mut self, word: &'static str) -> Result<Argument, SyntaxError> {
        self.take(word);
        let word = word.trim_matches('"');
        let mut operands = self.operands()?;
        let name = word.to_lowercase();
        let operand = match operands.len() {
            0 => scalar(name, Kind::PureToken),
            1 => rename_unnamed(operands.remove(0), &name),
            _ => scalar(name, Kind::Block(operands)),
        };
        Ok(Argument {
            token: Some(word),
            ..operand
        })
    }

    fn operands(&mut self) -> Result<Vec<Argument>, SyntaxError> {
        let mut operands = Vec::new();
        while let Some(next) = self.peek() {
            match next {
                "[" if !operands.is_empty() => {
                    // Whether a bracket repeats the operand or starts an option is known only
                    // behind it, so the parser may have to go back.
                    let mark = self.rest;
                    let before = operands.len();
                    self.bracket(&mut operands)?;
                    if operands.last().is_some_and(|last| last.optional) {
                        operands.truncate(before);
                        self.rest = mark;
                        break;
                    }
                }
                "[" | "]" | ">" | "|" | "..." => break,
                word if is_token(word) => break,
                _ => operands.push(self.operand()?),
            }
        }
        Ok(operands)
    }

    /// A name, or a group in angle brackets.
    fn operand(&mut self) -> Result<Argument, SyntaxError> {
        let word = self.peek().unwrap_or_default();
        if word == "<" {
            return self.group(None);
        }
        self.take(word);
        if let Some(label) = word.strip_suffix(':') {
            return self.group(Some(label));
        }
        Ok(named(word))
    }

    fn group(&mut self, label: Option<&str>) -> Result<Argument, SyntaxError> {
        if !self.take("<") {
            return Err(self.error("expected < after a group's name"));
        }
        let (alternatives, repeated) = self.alternatives()?;
        if repeated || !self.take(">") {
            return Err(self.error("expected >"));
        }
        Ok(one_of(alternatives, label))
    }
}

/// Uppercase words and bare symbols (`*`, `$`, `=`, `""`) are literal.
fn is_token(word: &str) -> bool {
    !SPECIAL.iter().any(|c| word.starts_with(*c))
        && !word.starts_with("...")
        && !word.contains(|c: char| c.is_ascii_lowercase())
}

/// `name`, `name=shown`, `name:type`. A colon that no type follows belongs to the name, as in
/// `ip:port`.
fn named(word: &'static str) -> Argument {
    // The last colon counts, and only if a type follows.
    let typed = word
        .rsplit_once(':')
        .and_then(|(name, kind)| Some((name, Kind::named(kind)?)));
    let (name, kind) = typed.map_or((word, None), |(name, kind)| (name, Some(kind)));
    let (name, display) = name.split_once('=').unwrap_or((name, name));
    Argument {
        display: display.to_owned(),
        ..scalar(name.to_owned(), kind.unwrap_or_else(|| Kind::of(name)))
    }
}

fn scalar(name: String, kind: Kind) -> Argument {
    Argument {
        display: name.clone(),
        name,
        kind,
        token: None,
        optional: false,
        repetition: Repetition::Once,
        key_spec: None,
    }
}

/// The alternatives as one argument; a single alternative of a single item is that item.
fn one_of(mut alternatives: Vec<Vec<Argument>>, label: Option<&str>) -> Argument {
    if alternatives.len() == 1 {
        return block(alternatives.remove(0), label);
    }
    let choices: Vec<Argument> = alternatives
        .into_iter()
        .map(|items| block(items, None))
        .collect();
    let name = label.unwrap_or_else(|| usual_name(&choices[0])).to_owned();
    scalar(name, Kind::OneOf(choices))
}

fn block(mut items: Vec<Argument>, label: Option<&str>) -> Argument {
    if items.len() == 1 && label.is_none() {
        return items.remove(0);
    }
    let name = match (label, items[0].token) {
        (Some(label), _) => label.to_owned(),
        (None, Some(token)) => format!("{}-block", token.to_lowercase()),
        (None, None) => "data".to_owned(),
    };
    scalar(name, Kind::Block(items))
}

fn repeat(group: Vec<Argument>) -> Argument {
    let item = block(group, None);
    let repetition = if item.token.is_some() {
        Repetition::ManyWithToken
    } else {
        Repetition::Many
    };
    Argument { repetition, ..item }
}

const UNNAMED: &str = "option";

/// The name that Redis gives to a choice that starts like this one.
fn usual_name(first: &Argument) -> &'static str {
    match first.token {
        Some("NX" | "XX") => "condition",
        Some("GT" | "LT") => "comparison",
        Some("EX" | "PX") => "expiration",
        Some("ASC" | "DESC") => "order",
        Some("ASYNC" | "SYNC") => "flush-type",
        Some("ON" | "OFF") => "enabled",
        Some("LEFT" | "RIGHT" | "MIN" | "MAX" | "BEFORE" | "AFTER") => "where",
        Some("M" | "KM" | "BYTE" | "BIT") => "unit",
        _ => UNNAMED,
    }
}

/// An unnamed choice after a token is called after the token.
fn rename_unnamed(argument: Argument, name: &str) -> Argument {
    if argument.name != UNNAMED {
        return argument;
    }
    Argument {
        name: name.to_owned(),
        display: name.to_owned(),
        ..argument
    }
}
