//! The arguments that a command still expects: the grey text behind the cursor.

use kvik_resp::ArgsBuf;
use nu_ansi_term::Color;
use reedline::{Hinter, History};

use super::completion::command_of;
use super::words::words;

/// Shows the arguments that the command on the line may still take.
pub(super) struct SyntaxHinter;

impl Hinter for SyntaxHinter {
    fn handle(
        &mut self,
        line: &str,
        pos: usize,
        _: &dyn History,
        colours: bool,
        _: &str,
    ) -> String {
        let hint = if pos == line.len() {
            hint(line)
        } else {
            String::new()
        };
        if colours && !hint.is_empty() {
            Color::DarkGray.paint(hint).to_string()
        } else {
            hint
        }
    }

    /// The hint names arguments; there is nothing to accept.
    fn complete_hint(&self) -> String {
        String::new()
    }

    fn next_hint_token(&self) -> String {
        String::new()
    }
}

/// The hint for a line, with the blank that separates them.
fn hint(line: &str) -> String {
    let words: Vec<&str> = words(line).into_iter().map(|word| &line[word]).collect();
    let Some(command) = command_of(&words) else {
        return String::new();
    };
    let rest = match command.is_container() {
        true if words.len() == 1 => "subcommand".to_owned(),
        true => String::new(),
        false => command.hint(words.iter().collect::<ArgsBuf>().as_args()),
    };
    let is_separated = line.ends_with(char::is_whitespace);
    let blank = if is_separated || rest.is_empty() {
        ""
    } else {
        " "
    };
    format!("{blank}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_what_is_still_missing() {
        assert_eq!(hint("ping"), " [message]");
        assert_eq!(hint("ping "), "[message]");
        assert_eq!(hint("PING x"), "");
        assert!(hint("mset 'my key' ").starts_with("value "));
        assert_eq!(hint("command"), " subcommand");
        assert_eq!(hint("command nonsense "), "");
        assert_eq!(hint("nonsense "), "");
        assert_eq!(hint(""), "");
    }
}
