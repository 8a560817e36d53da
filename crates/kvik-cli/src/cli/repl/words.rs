//! Where the words of an unfinished line are.

use std::ops::Range;

/// The places of the words of `line`, quotes included. A quote that is not closed reaches to the
/// end.
pub(super) fn words(line: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut escaped = false;
    for (at, symbol) in line.char_indices() {
        match quote {
            // A backslash takes the next symbol out of play, a quote too.
            _ if escaped => escaped = false,
            Some(_) if symbol == '\\' => escaped = true,
            Some(open) if symbol == open => quote = None,
            Some(_) => {}
            None if symbol.is_whitespace() => words.extend(start.take().map(|start| start..at)),
            None => {
                start.get_or_insert(at);
                // A quote may open in the middle of a word.
                quote = Some(symbol).filter(|symbol| matches!(symbol, '"' | '\''));
            }
        }
    }
    words.extend(start.map(|start| start..line.len()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<&str> {
        words(line).into_iter().map(|word| &line[word]).collect()
    }

    #[test]
    fn words_end_at_blanks_outside_quotes() {
        assert_eq!(
            split("  set  ké 'a b' \"c\\\" d\"x "),
            ["set", "ké", "'a b'", "\"c\\\" d\"x"]
        );
        assert_eq!(split(""), Vec::<&str>::new());
    }

    #[test]
    fn an_open_quote_reaches_to_the_end() {
        assert_eq!(split("get 'a b "), ["get", "'a b "]);
    }
}
