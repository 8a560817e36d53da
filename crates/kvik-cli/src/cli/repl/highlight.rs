//! The colours of the line while it is typed: known commands stand out, quoted strings look like
//! strings.

use nu_ansi_term::{Color, Style};
use reedline::{Highlighter, StyledText};

use super::completion::{LOCAL_COMMANDS, command_of};
use super::words::words;

/// Colours commands and strings.
pub(super) struct CommandHighlighter;

impl Highlighter for CommandHighlighter {
    fn highlight(&self, line: &str, _: usize) -> StyledText {
        let spans = words(line);
        let texts: Vec<&str> = spans.iter().map(|span| &line[span.clone()]).collect();
        let name_words = name_words(&texts);
        let mut styled = StyledText::new();
        // The whole line once, so that blanks stay; then styles are laid over its words.
        styled.push((Style::new(), line.to_owned()));
        for (index, span) in spans.into_iter().enumerate() {
            let is_quoted = line[span.clone()].starts_with(['"', '\'']);
            if index < name_words {
                styled.style_range(span.start, span.end, Color::Cyan.bold());
            } else if is_quoted {
                styled.style_range(span.start, span.end, Color::Green.normal());
            }
        }
        styled
    }
}

/// How many of `words` are the name of a command.
fn name_words(words: &[&str]) -> usize {
    let is_local = |word: &str| {
        LOCAL_COMMANDS
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(word))
    };
    match command_of(words) {
        Some(command) => command.name().split(' ').count(),
        None => usize::from(words.first().is_some_and(|word| is_local(word))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_no_text() {
        for line in ["quit", "  foo 'bar \"x", "set é \"ü\" ", ""] {
            assert_eq!(CommandHighlighter.highlight(line, 0).raw_string(), line);
        }
    }

    #[test]
    fn names_are_counted_in_words() {
        assert_eq!(name_words(&["Quit"]), 1);
        assert_eq!(name_words(&["no-such-command", "x"]), 0);
        assert_eq!(name_words(&[]), 0);
    }
}
