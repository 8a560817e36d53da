//! What the tab key offers: commands, subcommands, and the literal words that a command may take next.

use kvik_command::declare::{Command, table};
use kvik_resp::ArgsBuf;
use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::words::words;

/// The words that the session itself understands.
pub(super) const LOCAL_COMMANDS: [(&str, &str); 4] = [
    ("HELP", "Explain a command"),
    ("CLEAR", "Clear the screen"),
    ("EXIT", "Leave"),
    ("QUIT", "Leave"),
];

/// The command or subcommand that `words` call; of an unknown subcommand, the container.
pub(super) fn command_of(words: &[&str]) -> Option<&'static Command> {
    let command = table().find(words.first()?.as_bytes())?;
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
        let unfinished =
            spans.pop_if(|span| span.end == pos && !line.ends_with(char::is_whitespace));
        let span = unfinished.unwrap_or(pos..pos);
        let before: Vec<&str> = spans.into_iter().map(|span| &line[span]).collect();
        let typed = &line[span.clone()];
        let lowercase = before
            .first()
            .unwrap_or(&typed)
            .starts_with(|first: char| first.is_ascii_lowercase());
        let suggest = |(word, about): (&str, &str)| Suggestion {
            value: if lowercase {
                word.to_ascii_lowercase()
            } else {
                word.to_owned()
            },
            description: Some(about.to_owned()).filter(|about| !about.is_empty()),
            span: Span::new(span.start, span.end),
            append_whitespace: true,
            ..Suggestion::default()
        };
        let suggestions: Vec<Suggestion> = candidates(&before)
            .into_iter()
            .filter(|(word, _)| starts_with(word, typed))
            .map(suggest)
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

fn starts_with(word: &str, typed: &str) -> bool {
    word.get(..typed.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(typed))
}

/// The words that may follow `before`, with what there is to say about them, in the order to offer them.
fn candidates(before: &[&str]) -> Vec<(&'static str, &'static str)> {
    match before {
        [] => command_names(),
        [help, topic @ ..] if help.eq_ignore_ascii_case("HELP") && topic.is_empty() => {
            command_names()
        }
        [help, topic @ ..] if help.eq_ignore_ascii_case("HELP") => subcommand_names(topic),
        [_] => match subcommand_names(before) {
            none if none.is_empty() => tokens(before),
            subcommands => subcommands,
        },
        _ => tokens(before),
    }
}

fn command_names() -> Vec<(&'static str, &'static str)> {
    let commands = table()
        .top_level()
        .map(|command| (command.name(), command.summary()));
    let mut names: Vec<_> = commands.chain(LOCAL_COMMANDS).collect();
    names.sort_unstable();
    names.dedup_by_key(|(name, _)| *name);
    names
}

fn subcommand_names(words: &[&str]) -> Vec<(&'static str, &'static str)> {
    let container = command_of(words).filter(|_| words.len() == 1);
    let subcommands = container.map(|container| table().subcommands(container));
    let describe = |command: &'static Command| (command.last_word(), command.summary());
    subcommands.into_iter().flatten().map(describe).collect()
}

/// The literal words with which the call can go on.
fn tokens(words: &[&str]) -> Vec<(&'static str, &'static str)> {
    let args: ArgsBuf = words.iter().collect();
    let tokens = command_of(words).map(|command| command.next_tokens(args.as_args()));
    tokens
        .into_iter()
        .flatten()
        .map(|token| (token, ""))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_commands_are_completed_in_the_case_that_was_typed() {
        let complete = |line: &str| {
            let result = TableCompleter.complete(line, line.len());
            result
                .suggestions()
                .iter()
                .map(|suggestion| suggestion.value.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(complete("qui"), ["quit"]);
        assert_eq!(complete("QUI"), ["QUIT"]);
        assert_eq!(complete("nothing-like-it"), [""; 0]);
        assert_eq!(complete("nothing-like-it x"), [""; 0]);
    }
}
