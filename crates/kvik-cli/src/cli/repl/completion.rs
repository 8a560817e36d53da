//! Completion with the tab key: commands, subcommands, and the literal words that a command may
//! take next.

use std::ops::Range;

use kvik_command::declare::{Command, table};
use kvik_resp::ArgsBuf;
use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::words::words;

/// The words that the session itself understands.
pub(super) const LOCAL_COMMANDS: [(&str, &str); 3] = [
    ("CLEAR", "Clears the screen."),
    ("EXIT", "Leaves, as QUIT does."),
    ("HELP", "Explains a command."),
];

/// The command or subcommand that `words` call; of an unknown subcommand, the container.
pub(super) fn command_of(words: &[&str]) -> Option<&'static Command> {
    let command = table().find(words.first()?.as_bytes())?;
    // An unknown subcommand leaves the container, which knows what it has.
    let second = words.get(1).copied().unwrap_or_default();
    let mut subcommands = table().subcommands(command);
    let subcommand =
        subcommands.find(|subcommand| subcommand.last_word().eq_ignore_ascii_case(second));
    Some(subcommand.unwrap_or(command))
}

/// Completes the word before the cursor from the command table.
pub(super) struct TableCompleter;

impl Completer for TableCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let line = &line[..pos];
        let mut spans = words(line);
        // A word that the cursor touches is being typed and replaced; behind a blank a new one
        // begins.
        let is_unfinished =
            |span: &mut Range<usize>| span.end == pos && !line.ends_with(char::is_whitespace);
        let span = spans.pop_if(is_unfinished).unwrap_or(pos..pos);
        let before: Vec<&str> = spans.into_iter().map(|span| &line[span]).collect();
        let typed = &line[span.clone()];
        let first = before.first().unwrap_or(&typed);
        // Who writes commands in lower case gets options in lower case as well.
        let case = Case::of(first);
        let fitting = candidates(&before)
            .into_iter()
            .filter(|(word, _)| starts_with(word, typed));
        let suggestions: Vec<Suggestion> = fitting
            .map(|(word, about)| suggestion(case.write(word), about, &span))
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

fn suggestion(word: String, about: &str, span: &Range<usize>) -> Suggestion {
    Suggestion {
        value: word,
        description: Some(about.to_owned()).filter(|about| !about.is_empty()),
        span: Span::new(span.start, span.end),
        append_whitespace: true,
        ..Suggestion::default()
    }
}

/// How the user writes commands.
#[derive(Clone, Copy)]
enum Case {
    Lower,
    Upper,
}

impl Case {
    fn of(word: &str) -> Self {
        let is_lower = word.starts_with(|first: char| first.is_ascii_lowercase());
        if is_lower { Self::Lower } else { Self::Upper }
    }

    fn write(self, word: &str) -> String {
        match self {
            Self::Lower => word.to_ascii_lowercase(),
            Self::Upper => word.to_owned(),
        }
    }
}

fn starts_with(word: &str, typed: &str) -> bool {
    word.get(..typed.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(typed))
}

/// The words that may follow `before`, with what there is to say about them, in the order to offer
/// them.
fn candidates(before: &[&str]) -> Vec<(&'static str, &'static str)> {
    // `help` takes the name of a command, but none of its arguments.
    let (is_help, call) = match before {
        [first, topic @ ..] if first.eq_ignore_ascii_case("HELP") => (true, topic),
        _ => (false, before),
    };
    match (call, command_of(call)) {
        ([], _) => command_names(),
        ([_], Some(command)) if command.is_container() => subcommand_names(command),
        (_, Some(command)) if !is_help => tokens(command, call),
        _ => Vec::new(),
    }
}

fn command_names() -> Vec<(&'static str, &'static str)> {
    let commands = table()
        .top_level()
        .map(|command| (command.name(), command.summary()));
    let mut names: Vec<_> = commands.chain(LOCAL_COMMANDS).collect();
    names.sort_unstable();
    names
}

fn subcommand_names(container: &Command) -> Vec<(&'static str, &'static str)> {
    let subcommands = table().subcommands(container);
    subcommands
        .map(|command| (command.last_word(), command.summary()))
        .collect()
}

/// The literal words with which the call can go on.
fn tokens(command: &Command, words: &[&str]) -> Vec<(&'static str, &'static str)> {
    let args: ArgsBuf = words.iter().collect();
    command
        .next_tokens(args.as_args())
        .into_iter()
        .map(|token| (token, ""))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> Vec<String> {
        let result = TableCompleter.complete(line, line.len());
        let suggestions = result.suggestions().iter();
        suggestions
            .map(|suggestion| suggestion.value.clone())
            .collect()
    }

    #[test]
    fn commands_are_completed_in_the_case_that_was_typed() {
        assert_eq!(complete("qui"), ["quit"]);
        assert_eq!(complete("CLEA"), ["CLEAR"]);
        assert!(complete("").contains(&"HELP".to_owned()));
        assert_eq!(complete("nothing-like-it"), [""; 0]);
        assert_eq!(complete("nothing-like-it x"), [""; 0]);
    }

    #[test]
    fn subcommands_and_options_follow() {
        assert_eq!(complete("command do"), ["docs"]);
        assert_eq!(complete("help command getkeysa"), ["getkeysandflags"]);
        assert_eq!(complete("COMMAND LIST f"), ["FILTERBY"]);
        assert_eq!(complete("help command docs "), [""; 0]);
        assert_eq!(complete("ping "), [""; 0]);
    }

    #[test]
    fn only_the_word_before_the_cursor_is_replaced() {
        let result = TableCompleter.complete("command do x", 10);
        assert_eq!(result.suggestions()[0].span, Span::new(8, 10));
    }
}
