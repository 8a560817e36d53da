//! Argument hints and completion for the interactive client.
//!
//! The words typed so far are matched against the argument tree as far as people use it: options of
//! one run in any order, repetitions until a word that begins what comes after them. It is a
//! courtesy, not a validation: when the words do not fit there is simply no hint. It recurses only
//! over declarations.

use kvik_resp::Args;

use super::argument::{Argument, Kind, Repetition, Style, usage};
use super::command::Command;

impl Command {
    /// The usage line of what may follow `args` (a call's complete words, the name included).
    pub fn hint(&self, args: Args<'_>) -> String {
        usage(&self.rest(args), Style::Plain)
    }

    /// The literal words that may follow `args`.
    pub fn next_tokens(&self, args: Args<'_>) -> Vec<&'static str> {
        let mut tokens = Vec::new();
        collect_tokens(&self.rest(args), &mut tokens);
        tokens
    }

    fn rest(&self, args: Args<'_>) -> Vec<Argument> {
        let words = args.tail(self.name().split(' ').count());
        follow(self.arguments(), words, &[]).map_or_else(Vec::new, |matched| matched.rest)
    }
}

/// The words that begin `arguments`: those of leading options, and of the first argument that must
/// be given.
fn collect_tokens(arguments: &[Argument], tokens: &mut Vec<&'static str>) {
    for argument in arguments {
        match (&argument.kind, argument.token) {
            (_, Some(token)) => tokens.push(token),
            (Kind::OneOf(choices), None) => {
                choices
                    .iter()
                    .for_each(|choice| collect_tokens(std::slice::from_ref(choice), tokens));
            }
            (Kind::Block(parts), None) => collect_tokens(parts, tokens),
            _ => {}
        }
        if !argument.optional {
            return;
        }
    }
}

/// Some words fitted: so many, and when there were no more, this may follow.
struct Matched {
    used: usize,
    rest: Vec<Argument>,
}

/// Matches a sequence of arguments, which `after` follows.
fn follow(arguments: &[Argument], words: Args<'_>, after: &[Argument]) -> Option<Matched> {
    let mut used = 0;
    let mut left = arguments;
    while let Some(first) = left.first() {
        // Neighbouring options form a run, inside which their order is free.
        let run = left.iter().take_while(|argument| argument.optional).count();
        let step = match run {
            0 => {
                left = &left[1..];
                repeated(first, words.tail(used), &[left, after].concat())?
            }
            _ => {
                let options = &left[..run];
                left = &left[run..];
                any_order(options, words.tail(used), &[left, after].concat())
            }
        };
        used += step.used;
        if used == words.len() {
            let rest = [step.rest, left.to_vec()].concat();
            return Some(Matched { used, rest });
        }
    }
    Some(Matched {
        used,
        rest: Vec::new(),
    })
}

/// Matches options in any order, each once.
fn any_order(options: &[Argument], words: Args<'_>, after: &[Argument]) -> Matched {
    let mut open = options.to_vec();
    let mut used = 0;
    while used < words.len() {
        let fits = |option: &Argument| repeated(option, words.tail(used), after);
        let Some((at, matched)) = open
            .iter()
            .enumerate()
            .find_map(|(at, option)| Some((at, fits(option)?)))
        else {
            break;
        };
        open.remove(at);
        used += matched.used;
        if used == words.len() {
            open.splice(0..0, matched.rest);
        }
    }
    Matched { used, rest: open }
}

/// Matches an argument as often as it may be given.
fn repeated(argument: &Argument, words: Args<'_>, after: &[Argument]) -> Option<Matched> {
    let mut all = once(argument, words, after)?;
    if argument.repetition == Repetition::Once {
        return Some(all);
    }
    // A repetition goes without the token, unless each one has it.
    let again = match argument.repetition {
        Repetition::ManyWithToken => argument.clone(),
        _ => Argument {
            token: None,
            ..argument.clone()
        },
    };
    // A word that begins the next argument ends the repetition; nothing else can tell.
    while all.used < words.len() && !begins(after, &words[all.used]) {
        let Some(next) = once(&again, words.tail(all.used), after) else {
            break;
        };
        all = Matched {
            used: all.used + next.used,
            rest: next.rest,
        };
    }
    // The rest may already show the repetition; then it is not shown twice.
    let says_so_itself = |rest: &Argument| rest.repetition != Repetition::Once;
    if all.used == words.len() && !all.rest.first().is_some_and(says_so_itself) {
        all.rest.push(Argument {
            optional: true,
            ..again
        });
    }
    Some(all)
}

/// Whether one of `arguments` begins with this literal word.
fn begins(arguments: &[Argument], word: &[u8]) -> bool {
    let mut tokens = Vec::new();
    arguments
        .iter()
        .for_each(|argument| collect_tokens(std::slice::from_ref(argument), &mut tokens));
    tokens
        .iter()
        .any(|token| token.as_bytes().eq_ignore_ascii_case(word))
}

/// Matches an argument given once; without any word it matches nothing and all of it may follow.
fn once(argument: &Argument, words: Args<'_>, after: &[Argument]) -> Option<Matched> {
    let Some(word) = words.get(0) else {
        return Some(Matched {
            used: 0,
            rest: vec![argument.clone()],
        });
    };
    let Some(token) = argument.token else {
        return body(argument, words, after);
    };
    if !token.as_bytes().eq_ignore_ascii_case(word) {
        return None;
    }
    let matched = body(argument, words.tail(1), after)?;
    Some(Matched {
        used: matched.used + 1,
        ..matched
    })
}

fn body(argument: &Argument, words: Args<'_>, after: &[Argument]) -> Option<Matched> {
    match &argument.kind {
        Kind::PureToken => Some(Matched {
            used: 0,
            rest: Vec::new(),
        }),
        Kind::Block(parts) => follow(parts, words, after),
        _ if words.is_empty() => {
            // The token has been typed: only its operand is left.
            let repetition = match argument.repetition {
                Repetition::ManyWithToken => Repetition::Once,
                other => other,
            };
            let bare = Argument {
                token: None,
                optional: false,
                repetition,
                ..argument.clone()
            };
            Some(Matched {
                used: 0,
                rest: vec![bare],
            })
        }
        Kind::OneOf(choices) => choices.iter().find_map(|choice| once(choice, words, after)),
        _ => Some(Matched {
            used: 1,
            rest: Vec::new(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use kvik_resp::ArgsBuf;

    use super::super::{Group, Row, Table};
    use super::*;

    fn command(syntax: &'static str) -> Command {
        let row = Row::new("X", syntax, None).group(Group::Generic);
        Table::build(vec![row])
            .expect("well-formed")
            .commands
            .remove(0)
    }

    fn hint(syntax: &'static str, typed: &str) -> String {
        let words: ArgsBuf = typed.split(' ').collect();
        command(syntax).hint(words.as_args())
    }

    #[test]
    fn hints_shrink_as_words_are_typed() {
        let set = "key value [NX|XX] [GET] [EX seconds|KEEPTTL]";
        let cases = [
            ("x", "key value [NX|XX] [GET] [EX seconds|KEEPTTL]"),
            ("x k", "value [NX|XX] [GET] [EX seconds|KEEPTTL]"),
            ("x k v", "[NX|XX] [GET] [EX seconds|KEEPTTL]"),
            ("x k v get", "[NX|XX] [EX seconds|KEEPTTL]"),
            ("x k v ex", "seconds [NX|XX] [GET]"),
            ("x k v ex 1 nx", "[GET]"),
            ("x k v ex 1 nx get", ""),
            ("x k v nonsense", ""),
        ];
        for (typed, expected) in cases {
            assert_eq!(hint(set, typed), expected, "{typed}");
        }
    }

    #[test]
    fn repetitions_stay_open_until_something_else_begins() {
        assert_eq!(hint("key [key ...]", "x a b"), "[key [key ...]]");
        assert_eq!(
            hint("key value [key value ...]", "x a 1 b"),
            "value [key value [key value ...]]"
        );
        assert_eq!(
            hint(
                "member [member ...] [WITHSCORES] [LIMIT offset count]",
                "x a b limit 1"
            ),
            "count [WITHSCORES]"
        );
        assert_eq!(
            hint("key [GET pattern [GET pattern ...]]", "x k get p"),
            "[GET pattern [GET pattern ...]]"
        );
        assert_eq!(
            hint("[ID client-id [client-id ...]] [TYPE type]", "x id 1"),
            "[client-id [client-id ...]] [TYPE type]"
        );
        assert_eq!(
            hint("[ID client-id [client-id ...]]", "x id"),
            "client-id [client-id ...]"
        );
        assert_eq!(
            hint("STREAMS key [key ...] id [id ...]", "x streams"),
            "key [key ...] id [id ...]"
        );
    }

    #[test]
    fn choices_are_followed_into_the_chosen_one() {
        let list = "[FILTERBY <MODULE name|ACLCAT category>]";
        assert_eq!(hint(list, "x filterby"), "<MODULE name|ACLCAT category>");
        assert_eq!(hint(list, "x filterby aclcat"), "category");
        assert_eq!(hint("<ON|OFF> [x]", "x on"), "[x]");
        assert_eq!(hint("<ON|OFF> [x]", "x maybe"), "");
    }

    #[test]
    fn next_tokens_are_what_completion_offers() {
        let tokens = |syntax, typed: &str| {
            let words: ArgsBuf = typed.split(' ').collect();
            command(syntax).next_tokens(words.as_args())
        };
        assert_eq!(tokens("key [NX|XX] [GET] id", "x k"), ["NX", "XX", "GET"]);
        assert_eq!(tokens("key [NX|XX] <A|B> [C]", "x k nx"), ["A", "B"]);
        assert_eq!(tokens("key", "x"), Vec::<&str>::new());
    }
}
