//! What a transcript expects of a reply: `OK`, `-ERR ...`, `3`, `"bytes"`, `[1 nil]`,
//! `~"run_id:*"`.
//!
//! One pattern serves both protocols: a map is a flat array in RESP2, a set an array, a double a
//! bulk string, and so on. The grammar is documented in `tests/commands/README.md`.

use super::lex::Cursor;

/// An expected reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// `*`
    Any,
    /// No pattern was given: anything but an error.
    NoError,
    /// `(nothing)`: the command blocks, or its reply is suppressed.
    Nothing,
    /// `(closed)`: the server has hung up.
    Closed,
    /// `OK`, `+Background saving started`
    Simple(Text),
    /// `-ERR no such key`
    Error(Text),
    /// `"bytes"`
    Bulk(Text),
    /// `txt"bytes"`: a verbatim string in RESP3, a bulk string in RESP2.
    Verbatim(String, Text),
    /// `7`, `1..10`, `1..`
    Integer(i64, i64),
    /// `,3.5`
    Double(f64),
    /// `#t`, `#f`
    Boolean(bool),
    /// `nil`
    Nil,
    /// `nil[]`: the null array of RESP2.
    NilArray,
    /// `[...]`, `~[...]` in any order
    Array(Items, Order),
    /// `set[...]`
    Set(Items),
    /// `push[...]`
    Push(Items),
    /// `{key value ...}` in any order
    Map(Items),
    /// `$name`: binds the reply, or compares with what it is bound to.
    Variable(String),
    /// `a | b`
    Either(Vec<Self>),
}

/// A string to equal, or a glob to match.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Text {
    Exact(Vec<u8>),
    Glob(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    AsWritten,
    Any,
}

/// The elements of an aggregate; `open` when it ends in `...` and more may follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Items {
    pub(crate) list: Vec<Pattern>,
    pub(crate) open: bool,
}

impl Pattern {
    fn is_nil(&self) -> bool {
        matches!(self, Self::Nil | Self::NilArray)
    }

    /// The same reply after it has been a value of Lua's: there is one kind of nothing, numbers are
    /// floats, and nothing ends a list, as it is no element of a table.
    pub(crate) fn through_lua(&self, protocol: u8) -> Self {
        let float = |number: i64| number as f64 as i64;
        let all = |items: &Items| Items {
            list: items
                .list
                .iter()
                .map(|it| it.through_lua(protocol))
                .collect(),
            open: items.open,
        };
        // In RESP2 nothing is false, which is an element.
        let until_nil = |items: &Items| {
            let end = items.list.iter().position(Self::is_nil);
            let end = end.filter(|_| protocol == 3);
            Items {
                list: items.list[..end.unwrap_or(items.list.len())].to_vec(),
                open: items.open && end.is_none(),
            }
        };
        // Nor is it the value of a key.
        let with_values = |items: &Items| {
            let pairs = items.list.chunks(2);
            let there = pairs.filter(|pair| protocol == 2 || !pair.iter().any(Self::is_nil));
            Items {
                list: there.flatten().cloned().collect(),
                open: items.open,
            }
        };
        match self {
            Self::NilArray => Self::Nil,
            Self::Integer(low, high) => Self::Integer(float(*low), float(*high)),
            Self::Array(items, order) => Self::Array(all(&until_nil(items)), *order),
            Self::Set(items) => Self::Set(all(items)),
            Self::Map(items) => Self::Map(all(&with_values(items))),
            Self::Either(options) => {
                let options = options.iter().map(|it| it.through_lua(protocol));
                Self::Either(options.collect())
            }
            other => other.clone(),
        }
    }
}

/// An aggregate that goes on in the next line is no mistake yet.
#[derive(Debug, PartialEq)]
pub(crate) enum PatternError {
    Unfinished,
    Wrong(String),
}

impl From<String> for PatternError {
    fn from(text: String) -> Self {
        Self::Wrong(text)
    }
}

type Parsed = Result<Pattern, PatternError>;

/// Parses everything after the `<` of a line, or of several lines that one aggregate spans.
pub(crate) fn parse_pattern(text: &str) -> Parsed {
    let text = text.trim();
    if let Some(pattern) = whole_line(text) {
        return Ok(pattern);
    }
    let mut at = Cursor::new(text);
    let mut alternatives = vec![value(&mut at)?];
    at.skip_space();
    while at.eat("|") {
        alternatives.push(value(&mut at)?);
        at.skip_space();
    }
    if !at.at_end() {
        return Err(PatternError::Wrong(format!(
            "unexpected {:?}",
            at.take_rest()
        )));
    }
    if alternatives.len() == 1 {
        Ok(alternatives.remove(0))
    } else {
        Ok(Pattern::Either(alternatives))
    }
}

/// Errors and `+` simple strings take the rest of the line, spaces and all.
fn whole_line(text: &str) -> Option<Pattern> {
    let bytes = |rest: &str| rest.as_bytes().to_vec();
    if let Some(rest) = text
        .strip_prefix("~-")
        .filter(|rest| !rest.starts_with('"'))
    {
        return Some(Pattern::Error(Text::Glob(bytes(rest))));
    }
    if let Some(rest) = text.strip_prefix('+').filter(|rest| !rest.starts_with('"')) {
        return Some(Pattern::Simple(Text::Exact(bytes(rest))));
    }
    let rest = text.strip_prefix('-')?;
    let is_error = rest.starts_with(|c: char| c.is_ascii_uppercase());
    is_error.then(|| Pattern::Error(Text::Exact(bytes(rest))))
}

fn value(at: &mut Cursor<'_>) -> Parsed {
    at.skip_space();
    match at.peek() {
        None => Err(PatternError::Unfinished),
        Some(b'"') => Ok(Pattern::Bulk(Text::Exact(at.quoted()?))),
        Some(b'[') => Ok(Pattern::Array(items(at, "[", "]")?, Order::AsWritten)),
        Some(b'{') => Ok(Pattern::Map(items(at, "{", "}")?)),
        Some(b'~') => loose(at),
        Some(_) => word(at),
    }
}

/// After `~`: a glob, or an array in any order.
fn loose(at: &mut Cursor<'_>) -> Parsed {
    at.eat("~");
    match at.peek() {
        Some(b'[') => Ok(Pattern::Array(items(at, "[", "]")?, Order::Any)),
        Some(b'-') => nested_error(at, Text::Glob),
        Some(b'+') if at.eat("+") => Ok(Pattern::Simple(Text::Glob(at.quoted()?))),
        _ => Ok(Pattern::Bulk(Text::Glob(at.quoted()?))),
    }
}

/// Inside an aggregate an error is quoted: `-"ERR no such key"`, `~-"ERR *"`.
fn nested_error(at: &mut Cursor<'_>, text: impl Fn(Vec<u8>) -> Text) -> Parsed {
    at.eat("-");
    Ok(Pattern::Error(text(at.quoted()?)))
}

fn items(at: &mut Cursor<'_>, open: &str, close: &str) -> Result<Items, PatternError> {
    at.eat(open);
    let mut items = Items::default();
    loop {
        at.skip_space();
        if at.eat(close) {
            return Ok(items);
        }
        if at.eat("...") {
            items.open = true;
        } else {
            items.list.push(value(at)?);
        }
    }
}

/// Everything that starts with a bare word.
fn word(at: &mut Cursor<'_>) -> Parsed {
    let word = at.bare(|b| b" []{}\"~|".contains(&b));
    let word = std::str::from_utf8(word).map_err(|_| PatternError::Wrong("not UTF-8".into()))?;
    match (word, at.peek()) {
        ("-", Some(b'"')) => nested_error(at, Text::Exact),
        ("+", Some(b'"')) => Ok(Pattern::Simple(Text::Exact(at.quoted()?))),
        ("nil", Some(b'[')) if at.eat("[]") => Ok(Pattern::NilArray),
        ("set", Some(b'[')) => Ok(Pattern::Set(items(at, "[", "]")?)),
        ("push", Some(b'[')) => Ok(Pattern::Push(items(at, "[", "]")?)),
        ("txt", Some(b'~')) if at.eat("~") => {
            Ok(Pattern::Verbatim("txt".into(), Text::Glob(at.quoted()?)))
        }
        ("txt", Some(b'"')) => Ok(Pattern::Verbatim("txt".into(), Text::Exact(at.quoted()?))),
        ("*", _) => Ok(Pattern::Any),
        ("(nothing)", _) => Ok(Pattern::Nothing),
        ("(closed)", _) => Ok(Pattern::Closed),
        ("nil", _) => Ok(Pattern::Nil),
        ("#t", _) => Ok(Pattern::Boolean(true)),
        ("#f", _) => Ok(Pattern::Boolean(false)),
        _ => number_or_name(word),
    }
}

fn number_or_name(word: &str) -> Parsed {
    if let Some(name) = word.strip_prefix('$') {
        return Ok(Pattern::Variable(name.to_owned()));
    }
    if let Some(double) = word.strip_prefix(',') {
        let value = double
            .parse()
            .map_err(|_| format!("{double:?} is no double"))?;
        return Ok(Pattern::Double(value));
    }
    if let Some((low, high)) = word.split_once("..") {
        return Ok(Pattern::Integer(
            bound(low, i64::MIN)?,
            bound(high, i64::MAX)?,
        ));
    }
    if let Ok(exact) = word.parse() {
        return Ok(Pattern::Integer(exact, exact));
    }
    if word.is_empty() || !word.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(PatternError::Wrong(format!("{word:?} is no reply")));
    }
    Ok(Pattern::Simple(Text::Exact(word.as_bytes().to_vec())))
}

fn bound(digits: &str, open: i64) -> Result<i64, String> {
    if digits.is_empty() {
        Ok(open)
    } else {
        digits
            .parse()
            .map_err(|_| format!("{digits:?} is no integer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Pattern {
        parse_pattern(text).expect("a pattern")
    }

    #[test]
    fn tells_the_kinds_apart() {
        assert_eq!(parsed("OK"), Pattern::Simple(Text::Exact(b"OK".to_vec())));
        assert_eq!(parsed("-3"), Pattern::Integer(-3, -3));
        assert_eq!(parsed("1.."), Pattern::Integer(1, i64::MAX));
        assert_eq!(
            parsed("-ERR no such key"),
            Pattern::Error(Text::Exact(b"ERR no such key".to_vec()))
        );
        assert_eq!(
            parsed("~-NOPERM *"),
            Pattern::Error(Text::Glob(b"NOPERM *".to_vec()))
        );
        assert_eq!(
            parsed(r#""a\x00\n""#),
            Pattern::Bulk(Text::Exact(b"a\0\n".to_vec()))
        );
        assert_eq!(parsed("nil[]"), Pattern::NilArray);
        assert_eq!(
            parsed("1 | nil"),
            Pattern::Either(vec![Pattern::Integer(1, 1), Pattern::Nil])
        );
    }

    #[test]
    fn nests() {
        let items = |list| Items { list, open: false };
        let inner = Pattern::Array(items(vec![Pattern::Nil]), Order::AsWritten);
        let error = Pattern::Error(Text::Exact(b"ERR x".to_vec()));
        assert_eq!(
            parsed(r#"[1 [nil] -"ERR x"]"#),
            Pattern::Array(
                items(vec![Pattern::Integer(1, 1), inner, error]),
                Order::AsWritten
            )
        );
        assert_eq!(
            parsed("[...]"),
            Pattern::Array(
                Items {
                    list: vec![],
                    open: true
                },
                Order::AsWritten
            )
        );
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(parse_pattern("[1 2"), Err(PatternError::Unfinished));
        assert!(matches!(parse_pattern("1 2"), Err(PatternError::Wrong(_))));
        assert!(matches!(parse_pattern("a-b"), Err(PatternError::Wrong(_))));
        assert!(matches!(
            parse_pattern(r#""open"#),
            Err(PatternError::Wrong(_))
        ));
    }
}
