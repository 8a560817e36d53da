//! Analysis of a script's text: how it will run.
//!
//! Some questions are answered without running it. Does it keep to the keys that it declares? Then
//! their stripes are all that it needs. Is it bounded, because nothing in it loops? Then it can run
//! where others wait for it. What does it do with the names that every script finds? If no more
//! than most do, they can be variables of its own. An answer of yes is proved by the words of the
//! source alone; whatever is out of the ordinary makes it no, which costs speed and nothing else.

use super::naming::Naming;

/// The properties proved of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Proofs {
    /// Commands get their keys from KEYS, by literal positions.
    pub(super) keeps_to_its_keys: bool,
    /// Nothing in it loops or calls itself.
    pub(super) is_bounded: bool,
    /// How it uses `redis`, KEYS and ARGV.
    pub(super) naming: Naming,
}

/// A word of Lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a [u8]),
    /// The text between the quotes, escapes as they stand.
    Text(&'a [u8]),
    Number,
    /// `==`, which is no assignment.
    Equal,
    Sign(u8),
}

/// Words with which a script can loop.
const LOOPS: [&[u8]; 10] = [
    b"while",
    b"repeat",
    b"for",
    b"function",
    b"foreach",
    b"foreachi",
    b"gsub",
    b"gmatch",
    b"find",
    b"match",
];

/// Names that give a script ways that words do not show.
const REFLECTION: [&[u8]; 13] = [
    b"_G",
    b"load",
    b"loadstring",
    b"dofile",
    b"getfenv",
    b"setfenv",
    b"rawset",
    b"rawget",
    b"setmetatable",
    b"getmetatable",
    b"newproxy",
    b"coroutine",
    b"server",
];

/// Answers both questions for the source of a script.
pub(super) fn analyse(source: &[u8]) -> Proofs {
    let Some(tokens) = tokens(source) else {
        return Proofs::default();
    };
    let names = || {
        tokens.iter().filter_map(|token| match token {
            Token::Name(name) => Some(*name),
            _ => None,
        })
    };
    // A name may also be a field or a variable; taking it for the worst costs speed only.
    if names().any(|name| REFLECTION.contains(&name)) {
        return Proofs::default();
    }
    Proofs {
        keeps_to_its_keys: keeps_to_its_keys(&tokens),
        is_bounded: !names().any(|name| LOOPS.contains(&name)),
        naming: naming_of(&tokens),
    }
}

/// How a script uses the names that every script finds.
fn naming_of(tokens: &[Token<'_>]) -> Naming {
    let mut naming = Naming {
        are_variables: true,
        redis_is_called: true,
        words_are_read: true,
    };
    // Depth of parentheses, in which nothing is assigned to unless they hold a function.
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        let back = |places: usize| at.checked_sub(places).map(|it| tokens[it]);
        let (before, behind) = (back(1), &tokens[at + 1..]);
        const DOT: Option<Token<'_>> = Some(Token::Sign(b'.'));
        match (token, behind) {
            (Token::Sign(b'('), _) => depth += 1,
            (Token::Sign(b')'), _) => depth = depth.saturating_sub(1),
            // The arguments of the script itself.
            (Token::Sign(b'.'), [Token::Sign(b'.'), Token::Sign(b'.'), ..]) => {
                naming.are_variables = false;
            }
            (Token::Name(b"function"), _) => naming.words_are_read = false,
            // The name of a field.
            (Token::Name(_), _) if before == DOT && back(2) != DOT => {}
            (Token::Name(b"redis"), [Token::Sign(b'.'), Token::Name(_), rest @ ..]) => {
                naming.redis_is_called &= rest.first() == Some(&Token::Sign(b'('));
            }
            (Token::Name(b"redis"), _) => naming.are_variables = false,
            (Token::Name(b"KEYS" | b"ARGV"), _) => {
                let is_counted = before == Some(Token::Sign(b'#'));
                let next = behind.first();
                naming.are_variables &=
                    is_counted || matches!(next, Some(Token::Sign(b'[' | b')')));
                naming.words_are_read &= is_counted || reads_element(behind, depth);
            }
            _ => {}
        }
    }
    naming
}

/// Whether what follows a table is a literal position, and nothing is assigned there.
fn reads_element(tokens: &[Token<'_>], depth: usize) -> bool {
    match tokens {
        [
            Token::Sign(b'['),
            Token::Number,
            Token::Sign(b']'),
            rest @ ..,
        ] => match rest.first() {
            Some(Token::Sign(b'=')) => false,
            // Of several variables that are assigned to, or of several values.
            Some(Token::Sign(b',')) => depth > 0,
            _ => true,
        },
        _ => false,
    }
}

/// Splits a source into its words; nothing if it is not understood.
fn tokens(source: &[u8]) -> Option<Vec<Token<'_>>> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(&first) = rest.first() {
        rest = match first {
            b'-' if rest.starts_with(b"--") => skip_comment(&rest[2..])?,
            // Texts come before names, so that nothing within one counts as code.
            b'[' if long_bracket(rest).is_some() => {
                let (text, after) = long_text(rest)?;
                found.push(Token::Text(text));
                after
            }
            b'"' | b'\'' => {
                let (text, after) = quoted(rest)?;
                found.push(Token::Text(text));
                after
            }
            b'=' if rest.starts_with(b"==") => {
                found.push(Token::Equal);
                &rest[2..]
            }
            _ if first.is_ascii_alphabetic() || first == b'_' => {
                let (name, after) =
                    split(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
                found.push(Token::Name(name));
                after
            }
            _ if first.is_ascii_digit() => {
                found.push(Token::Number);
                split(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'.').1
            }
            _ => {
                if !first.is_ascii_whitespace() {
                    found.push(Token::Sign(first));
                }
                &rest[1..]
            }
        };
    }
    Some(found)
}

fn split(text: &[u8], belongs: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !belongs(*byte));
    text.split_at(end.unwrap_or(text.len()))
}

/// The number of equals signs of a long bracket that opens here.
fn long_bracket(text: &[u8]) -> Option<usize> {
    let level = text[1..].iter().take_while(|byte| **byte == b'=').count();
    (text.get(level + 1) == Some(&b'[')).then_some(level)
}

/// The text of a long bracket, and what follows it.
fn long_text(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let level = long_bracket(text)?;
    let inside = &text[level + 2..];
    let close = [b"]".as_slice(), &vec![b'='; level], b"]"].concat();
    let end = memchr::memmem::find(inside, &close)?;
    Some((&inside[..end], &inside[end + close.len()..]))
}

fn skip_comment(text: &[u8]) -> Option<&[u8]> {
    if text.first() == Some(&b'[') && long_bracket(text).is_some() {
        return Some(long_text(text)?.1);
    }
    let end = memchr::memchr(b'\n', text);
    Some(&text[end.unwrap_or(text.len())..])
}

fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'\\' => at += 2,
            byte if *byte == text[0] => return Some((&text[1..at], &text[at + 1..])),
            _ => at += 1,
        }
    }
}

/// Whether every command is named by a literal and gets its keys as `KEYS[number]`, and KEYS is
/// used in no other way.
fn keeps_to_its_keys(tokens: &[Token<'_>]) -> bool {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Name(b"redis") => {
                // Anything else done with `redis` may give its functions other names.
                let member = match tokens.get(at + 1..at + 3) {
                    Some([Token::Sign(b'.'), Token::Name(member)]) => *member,
                    _ => return false,
                };
                if matches!(member, b"call" | b"pcall") && !is_plain_call(&tokens[at + 3..]) {
                    return false;
                }
            }
            Token::Name(b"KEYS")
                if !is_plain_key(&tokens[at..], at.checked_sub(1).map(|it| tokens[it])) =>
            {
                return false;
            }
            _ => {}
        }
        at += 1;
    }
    true
}

/// Whether KEYS is only read at a literal position, or counted.
fn is_plain_key(tokens: &[Token<'_>], before: Option<Token<'_>>) -> bool {
    // The number of keys says nothing about others.
    if before == Some(Token::Sign(b'#')) {
        return true;
    }
    one_key(tokens).is_some_and(|rest| rest.first() != Some(&Token::Sign(b'=')))
}

/// The tokens behind `KEYS[number]`, if these come first.
fn one_key<'t, 's>(tokens: &'t [Token<'s>]) -> Option<&'t [Token<'s>]> {
    match tokens {
        [
            Token::Name(b"KEYS"),
            Token::Sign(b'['),
            Token::Number,
            Token::Sign(b']'),
            rest @ ..,
        ] => Some(rest),
        _ => None,
    }
}

/// Whether a call is `('COMMAND', KEYS[n]` with a command that has its one key there, or has
/// nothing but keys.
fn is_plain_call(tokens: &[Token<'_>]) -> bool {
    let [
        Token::Sign(b'('),
        Token::Text(name),
        Token::Sign(b','),
        rest @ ..,
    ] = tokens
    else {
        return false;
    };
    let Some(command) = crate::table().find(name) else {
        return false;
    };
    let Some(mut rest) = one_key(rest) else {
        return false;
    };
    let ends_argument = |rest: &[Token<'_>]| matches!(rest.first(), Some(Token::Sign(b',' | b')')));
    if !ends_argument(rest) {
        return false;
    }
    if command.has_its_only_key_first() {
        return true;
    }
    // Only keys: whichever of the arguments are keys to the command, they are declared.
    while let [Token::Sign(b','), more @ ..] = rest {
        match one_key(more) {
            Some(after) if ends_argument(after) => rest = after,
            _ => return false,
        }
    }
    command.locks_its_keys()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, keeps_to_its_keys: bool, is_bounded: bool) {
        let proofs = analyse(source.as_bytes());
        let answers = (proofs.keeps_to_its_keys, proofs.is_bounded);
        assert_eq!(answers, (keeps_to_its_keys, is_bounded), "{source}");
    }

    #[track_caller]
    fn check_naming(source: &str, are_variables: bool, redis_is_called: bool, are_read: bool) {
        let naming = analyse(source.as_bytes()).naming;
        let answers = (
            naming.are_variables,
            naming.redis_is_called,
            naming.words_are_read,
        );
        let expected = (are_variables, redis_is_called, are_read);
        assert_eq!(answers, expected, "{source}");
    }

    #[test]
    fn names_that_are_only_used_can_be_variables() {
        check_naming("return redis.call('GET', KEYS[1])", true, true, true);
        check_naming(
            "redis.call('SET', KEYS[1], ARGV[1]) if #KEYS > 1 then return ARGV[1] end",
            true,
            true,
            true,
        );
        check_naming("return redis.call('DEL', unpack(KEYS))", true, true, false);
        check_naming("redis.log(redis.LOG_NOTICE, 'x')", true, false, true);
        check_naming("redis.call = nil", true, false, true);
        check_naming("local f = redis.call f('GET', 'k')", true, false, true);
        check_naming("return x.KEYS, y.redis", true, true, true);
    }

    #[test]
    fn names_that_something_else_is_done_with_cannot() {
        check_naming("redis = 1", false, true, true);
        check_naming("local redis = redis", false, true, true);
        check_naming("KEYS = {} return 1", false, true, false);
        check_naming("KEYS, a = 1, 2", false, true, false);
        check_naming("local ARGV = 1", false, true, false);
        check_naming("return KEYS", false, true, false);
        check_naming("return {...}", false, true, true);
        check_naming("for KEYS = 1, 2 do end", false, true, false);
        check_naming("return setfenv(1, {})", false, false, false);
    }

    #[test]
    fn elements_that_may_be_assigned_to_are_not_only_read() {
        check_naming("KEYS[1] = 'x'", true, true, false);
        check_naming("KEYS[1], KEYS[2] = 'x', 'y'", true, true, false);
        check_naming("local a, b = KEYS[1], KEYS[2]", true, true, false);
        check_naming("for i = 1, 2 do KEYS[i] = 1 end", true, true, false);
        check_naming("f(function() ARGV[1], a = 1 end)", true, true, false);
        check_naming("table.insert(KEYS, 1)", false, true, false);
        check_naming("next(ARGV)", true, true, false);
        check_naming("KEYS[1].x = 1", true, true, true);
    }

    #[test]
    fn literal_calls_on_keys_are_proved() {
        check("return 1", true, true);
        check("return redis.call('GET', KEYS[1])", true, true);
        check(
            "redis.call('set',KEYS[1],ARGV[1]) return redis.pcall(\"INCR\", KEYS[2])",
            true,
            true,
        );
        check("return redis.call('DEL', KEYS[1], KEYS[2])", true, true);
        check(
            "for i = 1, #KEYS do redis.call('GET', KEYS[1]) end",
            true,
            false,
        );
        check("-- redis.call('GET', x)\nreturn #KEYS", true, true);
        check("return [==[ redis.call(x) ]==]", true, true);
        check(
            "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
            true,
            true,
        );
    }

    #[test]
    fn anything_else_is_not() {
        check("return redis.call('GET', 'k')", false, true);
        check("return redis.call('GET', ARGV[1])", false, true);
        check("return redis.call('GET', KEYS[1] .. 'x')", false, true);
        check("return redis.call('GET', KEYS[i])", false, true);
        check("return redis.call(ARGV[1], KEYS[1])", false, true);
        check("return redis.call('DEL', KEYS[1], 'k')", false, true);
        check("return redis.call('KEYS', '*')", false, true);
        check(
            "return redis.call('SORT', KEYS[1], KEYS[2], KEYS[3])",
            false,
            true,
        );
        check("return redis.call('EVAL', KEYS[1])", false, true);
        check(
            "local call = redis.call return call('GET', KEYS[1])",
            false,
            true,
        );
        check("local r = redis return 1", false, true);
        check(
            "KEYS[1] = 'x' return redis.call('GET', KEYS[1])",
            false,
            true,
        );
        check("local k = KEYS return 1", false, true);
        check("return server.call('GET', 'k')", false, false);
        check("return _G['redis'].call('GET', 'k')", false, false);
        check("return loadstring('x')", false, false);
        check("redis['call']('GET', 'k')", false, true);
        check("return string.gsub(ARGV[1], 'a', 'b')", true, false);
        check("return 'unfinished", false, false);
    }
}
