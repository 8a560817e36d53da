//! Glob patterns as Redis matches them: KEYS, SCAN, PSUBSCRIBE, CONFIG GET, ACL.
//!
//! `*` any bytes, `?` one byte, `[a-z]` and `[^a-z]` one byte of a set, `\x` the byte `x`.
//! The corners are Redis' own: a class needs no closing bracket, `[z-a]` is `[a-z]`, `[a-]` is an
//! unclosed range from `]` to `a`, a final `\` is itself, and the letters of `\x` inside a class
//! keep their case even when the match ignores case. Ranges compare unsigned bytes on every machine.
//!
//! Everything except `*` consumes exactly one byte of text, so only the last `*` seen ever needs
//! another try: no recursion, no allocation, at most pattern x text steps. What it does not do:
//! UTF-8 (patterns are bytes) and the alternatives `{a,b}`.

/// Whether `pattern` matches the whole of `text`; `nocase` folds ASCII letters.
///
/// As in Redis an empty text matches the empty pattern only, not `*`: the commands that mean
/// "everything" by `*` test for it before they match.
#[must_use]
pub fn glob_match(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            last_star = Some((p, t));
            continue;
        }
        if let Some(width) = match_one(&pattern[p..], text[t], nocase) {
            p += width;
            t += 1;
            continue;
        }
        let Some((after_star, start)) = last_star else {
            return false;
        };
        last_star = Some((after_star, start + 1));
        (p, t) = (after_star, start + 1);
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Matches one byte against the first element of `pattern` (not `*`); the element's width if it does.
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
    loop {
        let (hit, width) = match class[at..] {
            [] => break,
            [b'\\', escaped, ..] => (escaped == byte, 2),
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => (in_range(start, end, byte, nocase), 3),
            [literal, ..] => (same(literal, byte, nocase), 1),
        };
        found |= hit;
        at += width;
    }
    (found != negated).then_some(at)
}

fn in_range(start: u8, end: u8, byte: u8, nocase: bool) -> bool {
    let (low, high) = (start.min(end), start.max(end));
    if nocase {
        (low.to_ascii_lowercase()..=high.to_ascii_lowercase()).contains(&byte.to_ascii_lowercase())
    } else {
        (low..=high).contains(&byte)
    }
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

        #[test]
        fn any_bytes_are_safe(pattern: Vec<u8>, text: Vec<u8>, nocase: bool) {
            let _ = glob_match(&pattern, &text, nocase);
        }
    }
}
