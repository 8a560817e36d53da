//! Glob patterns as Redis matches them: KEYS, SCAN, PSUBSCRIBE, CONFIG GET, ACL.
//!
//! `*` any bytes, `?` one byte, `[a-z]` and `[^a-z]` one byte of a set, `\x` the byte `x`. The
//! corners are Redis' own: a class needs no closing bracket, `[z-a]` is `[a-z]`, `[a-]` is an
//! unclosed range from `]` to `a`, a final `\` is itself, and the letters of `\x` inside a class
//! keep their case even when the match ignores case. Ranges compare unsigned bytes on every
//! machine.
//!
//! Everything except `*` consumes exactly one byte of text. So the stars cut a pattern into runs of
//! known length: the first stands at the start of the text, the last at its end, and each of the
//! others where it fits first. Redis tries a run again at every position, and evaluates a long
//! class again for every byte; here the cost is
//!
//! - pattern + text where the runs between two stars are plain bytes ([`memmem`] finds them);
//! - text x run / 64 for a run with `?` or classes, whose positions are tried 64 at once (the
//!   Shift-And method of Baeza-Yates and Gonnet, 1992).
//!
//! Not supported: UTF-8 (patterns are bytes) and the alternatives `{a,b}`.

use std::borrow::Cow;

use memchr::memmem;

/// Steps up to which a run is simply tried at every position.
const FEW_STEPS: usize = 1 << 10;

/// Whether `pattern` matches the whole of `text`; `nocase` folds ASCII letters.
///
/// As in Redis an empty text matches the empty pattern only, not `*`: the commands that mean
/// "everything" by `*` test for it before they match.
#[must_use]
pub fn glob_match(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let Some(mut at) = match_start(pattern, text, nocase) else {
        return false;
    };
    while let Some(star) = pattern.get(at.pattern) {
        debug_assert_eq!(*star, b'*', "a run ends at a star");
        let run = PatternRun::at(&pattern[at.pattern + 1..]);
        let rest = &text[at.text..];
        let from = at.pattern + 1;
        let is_last = from + run.width == pattern.len();
        if run.len == 0 && is_last {
            return true;
        }
        let run_pattern = &pattern[from..from + run.width];
        let start = if is_last {
            let start = rest.len().checked_sub(run.len);
            start.filter(|&start| matches_run(run_pattern, &rest[start..], nocase))
        } else {
            run.find(run_pattern, rest, nocase)
        };
        let Some(start) = start else {
            return false;
        };
        at = At {
            pattern: from + run.width,
            text: at.text + start + run.len,
        };
        if is_last {
            return true;
        }
    }
    at.text == text.len()
}

/// The bytes that every text begins with which `pattern` matches.
#[must_use]
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern
        .iter()
        .position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    &pattern[..end.unwrap_or(pattern.len())]
}

/// A pattern in which `[!...]` means what `[^...]` means, as in a shell.
#[must_use]
pub fn with_shell_negation(pattern: &[u8]) -> Cow<'_, [u8]> {
    if memmem::find(pattern, b"[!").is_none() {
        return Cow::Borrowed(pattern);
    }
    let mut pattern = pattern.to_vec();
    let mut at = 0;
    while at < pattern.len() {
        if pattern[at..].starts_with(b"[!") {
            pattern[at + 1] = b'^';
        }
        at += width_of_one(&pattern[at..]);
    }
    Cow::Owned(pattern)
}

/// How far a match has come.
#[derive(Clone, Copy)]
struct At {
    pattern: usize,
    text: usize,
}

/// Matches the run before the first star where the text begins.
fn match_start(pattern: &[u8], text: &[u8], nocase: bool) -> Option<At> {
    let mut at = At {
        pattern: 0,
        text: 0,
    };
    while at.pattern < pattern.len() && pattern[at.pattern] != b'*' {
        let byte = *text.get(at.text)?;
        at.pattern += match_one(&pattern[at.pattern..], byte, nocase)?;
        at.text += 1;
    }
    Some(at)
}

/// Whether a run of elements matches the bytes that `text` begins with, of which there are enough.
fn matches_run(mut run: &[u8], text: &[u8], nocase: bool) -> bool {
    for byte in text {
        if run.is_empty() {
            break;
        }
        match match_one(run, *byte, nocase) {
            Some(width) => run = &run[width..],
            None => return false,
        }
    }
    true
}

/// The part of a pattern between two stars.
#[derive(Clone, Copy)]
struct PatternRun {
    /// Bytes of the pattern.
    width: usize,
    /// Bytes of text that it matches.
    len: usize,
    /// Whether every byte stands for itself.
    is_plain: bool,
}

impl PatternRun {
    /// The run that a pattern begins with, up to its first star or its end.
    fn at(pattern: &[u8]) -> Self {
        let (mut width, mut len, mut is_plain) = (0, 0, true);
        while width < pattern.len() && pattern[width] != b'*' {
            is_plain &= !matches!(pattern[width], b'?' | b'[' | b'\\');
            width += width_of_one(&pattern[width..]);
            len += 1;
        }
        Self {
            width,
            len,
            is_plain,
        }
    }

    /// Where the run, whose pattern is `run`, first fits into a text.
    fn find(self, run: &[u8], text: &[u8], nocase: bool) -> Option<usize> {
        let last = text.len().checked_sub(self.len)?;
        if self.is_plain && !nocase {
            return memmem::find(text, run);
        }
        if self.width.saturating_mul(last + 1) <= FEW_STEPS {
            return (0..=last).find(|&start| matches_run(run, &text[start..], nocase));
        }
        self.find_by_bits(run, text, nocase)
    }

    /// Shift-And: bit `i` says whether the first `i + 1` elements match the bytes up to here. With
    /// each byte of text all bits move up by one, and those stay whose element matches the byte.
    fn find_by_bits(self, run: &[u8], text: &[u8], nocase: bool) -> Option<usize> {
        let words = self.len.div_ceil(64);
        let masks = self.masks(run, words, nocase);
        let mut state = vec![0_u64; words];
        let last = 1 << ((self.len - 1) % 64);
        for (at, byte) in text.iter().enumerate() {
            let mask = &masks[usize::from(*byte) * words..][..words];
            // A match may begin at every byte.
            let mut carry = 1;
            for (word, mask) in state.iter_mut().zip(mask) {
                let moved = *word << 1 | carry;
                carry = *word >> 63;
                *word = moved & mask;
            }
            if state[words - 1] & last != 0 {
                return Some(at + 1 - self.len);
            }
        }
        None
    }

    /// For each byte a row of bits, one for each element that matches it.
    fn masks(self, run: &[u8], words: usize, nocase: bool) -> Vec<u64> {
        let mut masks = vec![0; 256 * words];
        let mut rest = run;
        for element in 0..self.len {
            let bytes = ByteSet::of_one(rest, nocase);
            for byte in (0..=u8::MAX).filter(|byte| bytes.contains(*byte, nocase)) {
                masks[usize::from(byte) * words + element / 64] |= 1 << (element % 64);
            }
            rest = &rest[width_of_one(rest)..];
        }
        masks
    }
}

/// The bytes that one element of a pattern matches, which takes a class to pieces once.
#[derive(Default)]
struct ByteSet {
    /// Just as they are.
    exact: [u64; 4],
    /// As lower case, for a match that ignores case.
    folded: [u64; 4],
    negated: bool,
}

impl ByteSet {
    fn of_one(pattern: &[u8], nocase: bool) -> Self {
        let mut set = Self::default();
        match pattern {
            [b'?', ..] => set.negated = true,
            [b'[', class @ ..] => {
                set.negated = class.first() == Some(&b'^');
                let mut rest = &class[usize::from(set.negated)..];
                while let Some((item, width)) = ClassItem::first(rest) {
                    set.add(item, nocase);
                    rest = &rest[width..];
                }
            }
            [b'\\', literal, ..] | [literal, ..] => {
                set.add(ClassItem::Range(*literal, *literal), nocase);
            }
            [] => {}
        }
        set
    }

    fn add(&mut self, item: ClassItem, nocase: bool) {
        let (set, low, high) = match item {
            ClassItem::Exactly(byte) => (&mut self.exact, byte, byte),
            ClassItem::Range(low, high) if nocase => (
                &mut self.folded,
                low.to_ascii_lowercase(),
                high.to_ascii_lowercase(),
            ),
            ClassItem::Range(low, high) => (&mut self.exact, low, high),
        };
        for byte in low..=high {
            set[usize::from(byte / 64)] |= 1 << (byte % 64);
        }
    }

    fn contains(&self, byte: u8, nocase: bool) -> bool {
        let holds = |set: &[u64; 4], byte: u8| set[usize::from(byte / 64)] >> (byte % 64) & 1 == 1;
        let found =
            holds(&self.exact, byte) || nocase && holds(&self.folded, byte.to_ascii_lowercase());
        found != self.negated
    }
}

/// One entry of a character class.
enum ClassItem {
    /// A byte behind a backslash, which keeps its case.
    Exactly(u8),
    /// All bytes from one to another.
    Range(u8, u8),
}

impl ClassItem {
    /// The first item of the rest of a class and its width, unless the class ends here.
    fn first(class: &[u8]) -> Option<(Self, usize)> {
        match *class {
            [] | [b']', ..] => None,
            [b'\\', escaped, ..] => Some((Self::Exactly(escaped), 2)),
            [start, b'-', end, ..] => Some((Self::Range(start.min(end), start.max(end)), 3)),
            [literal, ..] => Some((Self::Range(literal, literal), 1)),
        }
    }

    fn matches(&self, byte: u8, nocase: bool) -> bool {
        match *self {
            Self::Exactly(escaped) => escaped == byte,
            Self::Range(low, high) if nocase => (low.to_ascii_lowercase()
                ..=high.to_ascii_lowercase())
                .contains(&byte.to_ascii_lowercase()),
            Self::Range(low, high) => (low..=high).contains(&byte),
        }
    }
}

/// The width of the first element of `pattern`, which is not `*` and not the end.
fn width_of_one(pattern: &[u8]) -> usize {
    match pattern {
        [b'[', class @ ..] => {
            let mut at = usize::from(class.first() == Some(&b'^'));
            while let Some((_, width)) = ClassItem::first(&class[at..]) {
                at += width;
            }
            // The closing bracket, if there is one.
            1 + (at + 1).min(class.len())
        }
        [b'\\', _, ..] => 2,
        _ => 1,
    }
}

/// Matches one byte against the first element of `pattern` (not `*`); the element's width if it
/// does.
fn match_one(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    let (literal, width) = match pattern {
        [] => return None,
        [b'?', ..] => return Some(1),
        [b'[', class @ ..] => return match_class(class, byte, nocase).map(|width| width + 1),
        [b'\\', escaped, ..] => (*escaped, 2),
        [literal, ..] => (*literal, 1),
    };
    same(literal, byte, nocase).then_some(width)
}

/// Matches one byte against a class whose `[` has been read; the width up to and with its `]`.
fn match_class(class: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    while let Some((item, width)) = ClassItem::first(&class[at..]) {
        found |= item.matches(byte, nocase);
        at += width;
    }
    (found != negated).then_some((at + 1).min(class.len()))
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || nocase && a.eq_ignore_ascii_case(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        glob_match(pattern.as_bytes(), text.as_bytes(), false)
    }

    #[test]
    fn stars_and_question_marks() {
        assert!(matches("h?llo", "hello") && !matches("h?llo", "hllo"));
        assert!(matches("h*llo", "hllo") && matches("h*llo", "heeello"));
        assert!(matches("*", "x") && matches("a**", "a") && matches("**b**", "abc"));
        assert!(matches("*ab*abc", "ababxabc") && !matches("*ab*abc", "ababxab"));
        assert!(!matches("a", "ab") && !matches("ab", "a") && !matches("a?", "a"));
    }

    #[test]
    fn empty_text_matches_only_the_empty_pattern() {
        assert!(matches("", ""));
        assert!(!matches("*", "") && !matches("?", "") && !matches("", "x"));
    }

    #[test]
    fn classes() {
        assert!(matches("h[ae]llo", "hallo") && !matches("h[ae]llo", "hillo"));
        assert!(matches("h[^e]llo", "hallo") && !matches("h[^e]llo", "hello"));
        assert!(matches("[a-c]", "b") && matches("[c-a]", "b") && !matches("[a-c]", "d"));
        assert!(
            matches("[]a", "]") == matches("[]a", "x"),
            "an empty class matches nothing"
        );
        assert!(matches(r"[\]]", "]") && matches(r"[a\-z]", "-") && !matches(r"[a\-z]", "m"));
    }

    #[test]
    fn unclosed_classes_end_with_the_pattern() {
        assert!(matches("[ab", "b") && !matches("[ab", "bb") && !matches("[", "["));
        assert!(matches("[^", "x") && matches("[a-]", "^") && !matches("[a-]", "-"));
        assert!(matches(r"[\", r"\"));
    }

    #[test]
    fn escapes() {
        assert!(matches(r"\*", "*") && !matches(r"\*", "x") && matches(r"a\", r"a\"));
    }

    #[test]
    fn case() {
        let nocase =
            |pattern: &str, text: &str| glob_match(pattern.as_bytes(), text.as_bytes(), true);
        assert!(nocase("FOO*", "foobar") && nocase("[A-C]", "b") && nocase("[X]", "x"));
        assert!(!nocase(r"[\X]", "x") && nocase(r"\X", "x"));
        assert!(!matches("FOO", "foo"));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = b"a*".repeat(2_000);
        let mut text = vec![b'a'; 10_000];
        assert!(glob_match(&pattern, &text, false));
        text.push(b'b');
        assert!(!glob_match(&[&pattern[..], b"c"].concat(), &text, false));
    }

    /// A class of 20,000 letters is taken to pieces once, not once for each byte of the text.
    #[test]
    fn long_classes_and_runs_stay_cheap() {
        let class = [b"[", &b"b".repeat(20_000)[..], b"]"].concat();
        let text = vec![b'a'; 20_000];
        for rest in [&b"z"[..], b"*z", b"a*z", b"?*", b"a?a?*a"] {
            let pattern = [b"*", &class[..], rest].concat();
            assert!(!glob_match(&pattern, &text, false));
            assert!(!glob_match(&pattern, &text, true));
        }
        let run = b"?a".repeat(4_000);
        assert!(glob_match(&[b"*", &run[..], b"*"].concat(), &text, false));
        assert!(!glob_match(&[b"*", &run[..], b"b*"].concat(), &text, false));
    }

    /// The definition, straight and exponential.
    fn model(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|skip| model(rest, &text[skip..], nocase)),
            _ => {
                let Some((&byte, rest)) = text.split_first() else {
                    return false;
                };
                match_one(pattern, byte, nocase)
                    .is_some_and(|width| model(&pattern[width..], rest, nocase))
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(pattern in r"[ab*?\[\]^\\-]{0,9}", text in "[abAB^-]{1,9}", nocase: bool) {
            prop_assert_eq!(
                glob_match(pattern.as_bytes(), text.as_bytes(), nocase),
                model(pattern.as_bytes(), text.as_bytes(), nocase)
            );
        }

        /// Many positions are tried together.
        #[test]
        fn runs_are_found_where_they_fit_first(
            run in r"([abc?]|\[[abc^-]{1,3}\]){1,90}", text in "[abcABC]{1,400}", nocase: bool
        ) {
            let pattern = format!("*{run}*");
            let run = PatternRun::at(&pattern.as_bytes()[1..]);
            let inner = &pattern.as_bytes()[1..=run.width];
            // An unclosed class takes the last star in.
            prop_assume!(run.width + 2 == pattern.len());
            let found = text.len() >= run.len
                && run.find_by_bits(inner, text.as_bytes(), nocase).is_some();
            let starts = 0..(text.len() + 1).saturating_sub(run.len);
            let expected = starts.into_iter().any(|start| {
                matches_run(inner, &text.as_bytes()[start..], nocase)
            });
            prop_assert_eq!(found, expected);
            prop_assert_eq!(glob_match(pattern.as_bytes(), text.as_bytes(), nocase), expected);
        }

        #[test]
        fn any_bytes_are_safe(pattern: Vec<u8>, text: Vec<u8>, nocase: bool) {
            let _ = glob_match(&pattern, &text, nocase);
        }
    }
}
