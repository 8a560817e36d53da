//! Lua's patterns, matched in steps that are counted: a pattern that goes back over its text again
//! and again takes time that grows with a power of the text's length, and must be ended like a
//! loop.

use mlua::{Lua, LuaString, MultiValue, Result, Table, Value};

use crate::link::Link;
use crate::native::{self, Outcome};
use crate::numbers;
use crate::raise::Shape;

/// Captures of a pattern.
const CAPTURES: usize = 32;
/// How many items of a pattern can wait for what follows them.
const DEPTH: u32 = 200;
/// Steps that are counted at once.
const BATCH: u32 = 1000;

/// Adds `find`, `first_match`, `match` and `expand`.
pub(crate) fn add(lua: &Lua, link: &Link, raw: &Table) -> Result<()> {
    let shared = link.clone();
    let find = lua.create_function(move |lua, values: MultiValue| {
        let outcome = search(lua, &shared, &values, Wanted::Place)?;
        native::several(lua, outcome)
    })?;
    native::add(lua, raw, "find", Shape::Text, find)?;
    let shared = link.clone();
    let first = lua.create_function(move |lua, values: MultiValue| {
        let outcome = search(lua, &shared, &values, Wanted::Captures)?;
        native::several(lua, outcome)
    })?;
    native::add(lua, raw, "first_match", Shape::Text, first)?;
    let shared = link.clone();
    let next = lua.create_function(move |lua, values: (Value, Value, usize)| {
        let outcome = next_match(lua, &shared, values)?;
        native::several(lua, outcome)
    })?;
    native::add(lua, raw, "match", Shape::Text, next)?;
    let expand = lua.create_function(|lua, mut values: MultiValue| {
        let (Some(Value::String(template)), Some(Value::String(whole))) =
            (values.pop_front(), values.pop_front())
        else {
            return native::single(lua, Err(b"invalid replacement".to_vec()));
        };
        let outcome = expand(&template.as_bytes(), &whole.as_bytes(), &values);
        match outcome {
            Ok(text) => native::single(lua, Ok(Value::String(lua.create_string(text)?))),
            Err(text) => native::single(lua, Err(text)),
        }
    })?;
    native::add(lua, raw, "expand", Shape::Text, expand)
}

/// The result of a search.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Beginning, end and captures.
    Place,
    /// The captures, or the whole match if there are none.
    Captures,
}

fn text_argument(lua: &Lua, values: &MultiValue, at: usize, name: &str) -> Outcome<LuaString> {
    match values.get(at) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Integer(_) | Value::Number(_))) => {
            let text = lua.coerce_string(value.clone()).ok().flatten();
            text.ok_or_else(|| native::wrong_type(Some(value), at, name, "string"))
        }
        other => Err(native::wrong_type(other, at, name, "string")),
    }
}

fn search(
    lua: &Lua,
    link: &Link,
    values: &MultiValue,
    wanted: Wanted,
) -> Result<Outcome<Vec<Value>>> {
    let name = match wanted {
        Wanted::Place => "find",
        Wanted::Captures => "match",
    };
    let both = text_argument(lua, values, 0, name)
        .and_then(|text| Ok((text, text_argument(lua, values, 1, name)?)));
    let (text, pattern) = match both {
        Ok(both) => both,
        Err(problem) => return Ok(Err(problem)),
    };
    let (text, pattern) = (&*text.as_bytes(), &*pattern.as_bytes());
    let init = match values.get(2) {
        None | Some(Value::Nil) => 1,
        Some(value) => match numbers::number(value) {
            Some(number) => number as i64,
            None => return Ok(Err(native::wrong_type(Some(value), 2, name, "number"))),
        },
    };
    let start = beginning(init, text.len());
    let is_plain = !matches!(
        values.get(3),
        None | Some(Value::Nil | Value::Boolean(false))
    );
    // Most calls of `find` look for a plain text, which needs no matcher.
    if wanted == Wanted::Place && (is_plain || !has_specials(pattern)) {
        let at = find_plain(&text[start..], pattern).map(|at| start + at);
        return Ok(Ok(
            at.map_or(vec![Value::Nil], |at| place(at, at + pattern.len()))
        ));
    }
    let (anchored, pattern) = unanchored(pattern);
    let mut matcher = Matcher::new(text, pattern, link);
    let found = matcher.search(start, anchored);
    Ok(match found {
        Ok(Some((first, after))) => matcher.results(lua, first, after, wanted)?,
        Ok(None) => Ok(vec![Value::Nil]),
        Err(problem) => Err(problem),
    })
}

fn place(first: usize, after: usize) -> Vec<Value> {
    vec![
        Value::Integer(first as i64 + 1),
        Value::Integer(after as i64),
    ]
}

/// The next match from a place on: beginning, end, and captures.
fn next_match(
    lua: &Lua,
    link: &Link,
    (text, pattern, at): (Value, Value, usize),
) -> Result<Outcome<Vec<Value>>> {
    let values: MultiValue = [text, pattern].into_iter().collect();
    let both = text_argument(lua, &values, 0, "gsub")
        .and_then(|text| Ok((text, text_argument(lua, &values, 1, "gsub")?)));
    let (text, pattern) = match both {
        Ok(both) => both,
        Err(problem) => return Ok(Err(problem)),
    };
    let (text, pattern) = (&*text.as_bytes(), &*pattern.as_bytes());
    if at > text.len() {
        return Ok(Ok(Vec::new()));
    }
    let (anchored, pattern) = unanchored(pattern);
    let mut matcher = Matcher::new(text, pattern, link);
    Ok(match matcher.search(at, anchored) {
        Ok(Some((first, after))) => {
            let captures = matcher.results(lua, first, after, Wanted::Captures)?;
            captures.map(|captures| {
                let place = [Value::Integer(first as i64), Value::Integer(after as i64)];
                place.into_iter().chain(captures).collect()
            })
        }
        Ok(None) => Ok(Vec::new()),
        Err(problem) => Err(problem),
    })
}

/// Where a search begins, from Lua's position: from the end if it is negative.
fn beginning(init: i64, len: usize) -> usize {
    let from_start = match init {
        1.. => init - 1,
        0 => 0,
        _ => (len as i64).saturating_add(init).max(0),
    };
    usize::try_from(from_start).unwrap_or(usize::MAX).min(len)
}

fn has_specials(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

fn find_plain(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

fn unanchored(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    }
}

/// A capture: where it begins, and its length once it is closed.
#[derive(Clone, Copy)]
struct Capture {
    start: usize,
    length: CaptureLength,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CaptureLength {
    Open,
    /// `()`, whose value is a position.
    Position,
    Closed(usize),
}

struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: Vec<Capture>,
    link: &'a Link,
    steps: u32,
    depth: u32,
}

type Match = Outcome<Option<usize>>;

impl<'a> Matcher<'a> {
    fn new(text: &'a [u8], pattern: &'a [u8], link: &'a Link) -> Self {
        Self {
            text,
            pattern,
            captures: Vec::new(),
            link,
            steps: 0,
            depth: 0,
        }
    }

    fn step(&mut self) -> Outcome<()> {
        self.steps += 1;
        if self.steps >= BATCH {
            self.steps = 0;
            // The link is behind a lock, so that steps are counted here and reported in batches.
            let goes_on = self.link.with(|shared| shared.step(BATCH));
            return goes_on.map_err(|ending| ending.text().into());
        }
        Ok(())
    }

    /// Beginning and end of the first match from a place on.
    fn search(&mut self, from: usize, anchored: bool) -> Outcome<Option<(usize, usize)>> {
        let mut start = from;
        loop {
            self.captures.clear();
            if let Some(end) = self.matches(start, 0)? {
                return Ok(Some((start, end)));
            }
            start += 1;
            if anchored || start > self.text.len() {
                return Ok(None);
            }
        }
    }

    fn results(
        &self,
        lua: &Lua,
        first: usize,
        after: usize,
        wanted: Wanted,
    ) -> Result<Outcome<Vec<Value>>> {
        let mut values = match wanted {
            Wanted::Place => place(first, after),
            Wanted::Captures => Vec::new(),
        };
        // A pattern without captures stands for one around all of it.
        if self.captures.is_empty() && wanted == Wanted::Captures {
            values.push(Value::String(lua.create_string(&self.text[first..after])?));
        }
        for capture in &self.captures {
            values.push(match capture.length {
                CaptureLength::Open => return Ok(Err(b"unfinished capture".to_vec())),
                CaptureLength::Position => Value::Integer(capture.start as i64 + 1),
                CaptureLength::Closed(length) => {
                    let text = &self.text[capture.start..capture.start + length];
                    Value::String(lua.create_string(text)?)
                }
            });
        }
        Ok(Ok(values))
    }

    /// Where the match of the pattern from `p` ends that begins at `s`.
    fn matches(&mut self, s: usize, p: usize) -> Match {
        self.depth += 1;
        // Each item that may be tried again takes a frame of the stack. Where nothing can go back,
        // `matches_items` loops.
        if self.depth > DEPTH {
            return Err(b"pattern too complex".to_vec());
        }
        let matched = self.matches_items(s, p);
        self.depth -= 1;
        matched
    }

    fn matches_items(&mut self, mut s: usize, mut p: usize) -> Match {
        loop {
            self.step()?;
            let Some(&item) = self.pattern.get(p) else {
                return Ok(Some(s));
            };
            match item {
                b'(' if self.pattern.get(p + 1) == Some(&b')') => {
                    return self.capture(s, p + 2, CaptureLength::Position);
                }
                b'(' => return self.capture(s, p + 1, CaptureLength::Open),
                b')' => return self.end_capture(s, p + 1),
                b'$' if p + 1 == self.pattern.len() => {
                    return Ok((s == self.text.len()).then_some(s));
                }
                // Those that no repetition may follow; `%a` and its like are single items, below.
                b'%' => match self.pattern.get(p + 1) {
                    Some(b'b') => match self.balance(s, p + 2)? {
                        Some(after) => {
                            (s, p) = (after, p + 4);
                            continue;
                        }
                        None => return Ok(None),
                    },
                    Some(b'f') => match self.frontier(s, p + 2)? {
                        Some(after) => {
                            p = after;
                            continue;
                        }
                        None => return Ok(None),
                    },
                    Some(digit) if digit.is_ascii_digit() => match self.again(s, *digit)? {
                        Some(after) => {
                            (s, p) = (after, p + 2);
                            continue;
                        }
                        None => return Ok(None),
                    },
                    _ => {}
                },
                _ => {}
            }
            let end = self.item_end(p)?;
            let is_match = self.is_single(s, p, end)?;
            match self.pattern.get(end) {
                Some(b'?') => {
                    // With the item first. Without it the rest is matched in this loop, as nothing
                    // else is left to try.
                    if is_match && let Some(matched) = self.matches(s + 1, end + 1)? {
                        return Ok(Some(matched));
                    }
                    p = end + 1;
                }
                Some(b'*') => return self.most(s, p, end),
                Some(b'+') if is_match => return self.most(s + 1, p, end),
                Some(b'+') => return Ok(None),
                Some(b'-') => return self.least(s, p, end),
                _ if is_match => (s, p) = (s + 1, end),
                _ => return Ok(None),
            }
        }
    }

    /// Where the item that begins at `p` ends.
    fn item_end(&self, p: usize) -> Outcome<usize> {
        const NO_BRACKET: &[u8] = b"malformed pattern (missing ']')";
        match self.pattern[p] {
            b'%' if p + 1 < self.pattern.len() => Ok(p + 2),
            b'%' => Err(b"malformed pattern (ends with '%')".to_vec()),
            b'[' => {
                let mut at = p + 1;
                if self.pattern.get(at) == Some(&b'^') {
                    at += 1;
                }
                // The first character is one of the set even if it is a bracket.
                loop {
                    match self.pattern.get(at) {
                        None => return Err(NO_BRACKET.to_vec()),
                        Some(b'%') if at + 1 >= self.pattern.len() => {
                            return Err(NO_BRACKET.to_vec());
                        }
                        Some(b'%') => at += 2,
                        Some(_) => at += 1,
                    }
                    if self.pattern.get(at) == Some(&b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    fn is_single(&mut self, s: usize, p: usize, end: usize) -> Outcome<bool> {
        let Some(&byte) = self.text.get(s) else {
            return Ok(false);
        };
        Ok(match self.pattern[p] {
            b'.' => true,
            b'%' => is_class(byte, self.pattern[p + 1]),
            b'[' => self.is_in_set(byte, p, end - 1)?,
            other => other == byte,
        })
    }

    /// Whether a byte is in the set between the brackets at `p` and `last`.
    fn is_in_set(&mut self, byte: u8, p: usize, last: usize) -> Outcome<bool> {
        let mut at = p + 1;
        let negated = self.pattern.get(at) == Some(&b'^');
        if negated {
            at += 1;
        }
        while at < last {
            self.step()?;
            let (found, next) = match self.pattern[at] {
                b'%' => (is_class(byte, self.pattern[at + 1]), at + 2),
                // A hyphen at the end of the set is itself.
                low if self.pattern[at + 1] == b'-' && at + 2 < last => {
                    ((low..=self.pattern[at + 2]).contains(&byte), at + 3)
                }
                one => (one == byte, at + 1),
            };
            if found {
                return Ok(!negated);
            }
            at = next;
        }
        Ok(negated)
    }

    /// Repeats an item as often as it matches, and then less often until the rest matches.
    fn most(&mut self, s: usize, p: usize, end: usize) -> Match {
        let mut count = 0;
        while self.is_single(s + count, p, end)? {
            self.step()?;
            count += 1;
        }
        loop {
            if let Some(matched) = self.matches(s + count, end + 1)? {
                return Ok(Some(matched));
            }
            match count.checked_sub(1) {
                Some(less) => count = less,
                None => return Ok(None),
            }
        }
    }

    /// Repeats an item only as often as the rest needs it.
    fn least(&mut self, mut s: usize, p: usize, end: usize) -> Match {
        loop {
            if let Some(matched) = self.matches(s, end + 1)? {
                return Ok(Some(matched));
            }
            if !self.is_single(s, p, end)? {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn capture(&mut self, s: usize, p: usize, length: CaptureLength) -> Match {
        if self.captures.len() >= CAPTURES {
            return Err(b"too many captures".to_vec());
        }
        // Captures that fail are taken back, so that another attempt finds the state of before.
        let level = self.captures.len();
        self.captures.push(Capture { start: s, length });
        let matched = self.matches(s, p)?;
        if matched.is_none() {
            self.captures.truncate(level);
        }
        Ok(matched)
    }

    fn end_capture(&mut self, s: usize, p: usize) -> Match {
        let is_open = |capture: &Capture| capture.length == CaptureLength::Open;
        // The innermost that is open, as parentheses nest.
        let Some(at) = self.captures.iter().rposition(is_open) else {
            return Err(b"invalid pattern capture".to_vec());
        };
        self.captures[at].length = CaptureLength::Closed(s - self.captures[at].start);
        let matched = self.matches(s, p)?;
        if matched.is_none() {
            self.captures[at].length = CaptureLength::Open;
        }
        Ok(matched)
    }

    /// `%bxy`: from an `x` to the `y` that closes it.
    fn balance(&mut self, s: usize, p: usize) -> Match {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Err(b"unbalanced pattern".to_vec());
        };
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for at in s + 1..self.text.len() {
            self.step()?;
            let byte = self.text[at];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: between a character that is not in the set and one that is. Returns where the
    /// pattern goes on.
    fn frontier(&mut self, s: usize, p: usize) -> Match {
        if self.pattern.get(p) != Some(&b'[') {
            return Err(b"missing '[' after '%f' in pattern".to_vec());
        }
        let end = self.item_end(p)?;
        // Both ends of the text count as a zero byte.
        let before = s.checked_sub(1).map_or(0, |at| self.text[at]);
        let here = self.text.get(s).copied().unwrap_or(0);
        let is_frontier =
            !self.is_in_set(before, p, end - 1)? && self.is_in_set(here, p, end - 1)?;
        Ok(is_frontier.then_some(end))
    }

    /// `%1`: what a capture has matched, again.
    fn again(&mut self, s: usize, digit: u8) -> Match {
        let at = usize::from(digit.wrapping_sub(b'1'));
        let Some(Capture {
            start,
            length: CaptureLength::Closed(length),
        }) = self.captures.get(at).copied()
        else {
            return Err(b"invalid capture index".to_vec());
        };
        // The comparison takes as many steps as it has bytes; the next step reports them.
        self.steps += (length as u32).min(BATCH);
        let wanted = &self.text[start..start + length];
        Ok(self.text[s..].starts_with(wanted).then_some(s + length))
    }
}

/// Whether a byte belongs to a class such as `%a`.
fn is_class(byte: u8, class: u8) -> bool {
    let belongs = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    belongs != class.is_ascii_uppercase()
}

/// The text of a replacement: `%0` is the match, `%1` a capture.
fn expand(template: &[u8], whole: &[u8], captures: &MultiValue) -> Outcome<Vec<u8>> {
    let mut text = Vec::with_capacity(template.len());
    let mut at = 0;
    while let Some(&byte) = template.get(at) {
        at += 1;
        if byte != b'%' {
            text.push(byte);
            continue;
        }
        // The zero byte behind a C string: it is what Lua 5.1 adds for a lone `%` at the end.
        let escaped = template.get(at).copied().unwrap_or(0);
        at += 1;
        match escaped {
            b'0' => text.extend_from_slice(whole),
            b'1'..=b'9' => match captures.get(usize::from(escaped - b'1')) {
                Some(Value::String(capture)) => text.extend_from_slice(&capture.as_bytes()),
                Some(Value::Integer(position)) => {
                    text.extend_from_slice(position.to_string().as_bytes());
                }
                _ => return Err(b"invalid capture index".to_vec()),
            },
            other => text.push(other),
        }
    }
    Ok(text)
}
