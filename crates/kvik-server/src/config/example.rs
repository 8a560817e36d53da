//! The table as an annotated `kvik.toml`, in which each directive that acts stands at its default
//! behind a `#`.

use std::fmt::Write;

use super::load::default_value;
use super::row::{Access, Effect};
use super::table::{GROUPS, Key};
use super::value::{Style, words};

const TOP: &str = "\
# kvik.toml: remove the # before a line to set it. Each line shows the default.
#
# Flags (--port 6380) and variables (KVIK_PORT=6380) win over this file. Memory is bytes, or has a unit:
# kb, mb, gb. CONFIG REWRITE writes what CONFIG SET has changed into this file, and leaves the rest.
";

/// The contents of `kvik.toml.example`.
///
/// # Errors
/// If the working directory does not exist.
pub fn example() -> Result<String, super::LoadError> {
    let mut text = TOP.to_owned();
    for (group, keys) in GROUPS {
        let acts = |key: &&Key| {
            let row = key.row();
            row.effect == Effect::Honoured && row.access != Access::FileOnly
        };
        let mut keys = keys.iter().filter(acts).peekable();
        if keys.peek().is_some() {
            let _ = write!(text, "\n# ---- {group} ----\n");
        }
        for key in keys {
            write_key(&mut text, *key)?;
        }
    }
    Ok(text)
}

fn write_key(text: &mut String, key: Key) -> Result<(), super::LoadError> {
    text.push('\n');
    for line in wrapped(key.row().about) {
        let _ = writeln!(text, "# {line}");
    }
    // The directory's default is shown as it is written, not as it is found.
    let shown: Vec<String> = if key == Key::Dir {
        vec![key.row().default.to_owned()]
    } else {
        let words = words(key.row().kind, &default_value(key)?, Style::File);
        let words = words.iter().map(|word| String::from_utf8_lossy(word));
        words.map(|word| word.into_owned()).collect()
    };
    let _ = match &shown[..] {
        [] => writeln!(text, "# {} = \"\"", key.name()),
        [word] if is_plain(word) => writeln!(text, "# {} = {word}", key.name()),
        [word] => writeln!(text, "# {} = {word:?}", key.name()),
        words => writeln!(text, "# {} = {words:?}", key.name()),
    };
    Ok(())
}

/// Whether TOML has it as a number.
fn is_plain(word: &str) -> bool {
    word == "0" || (!word.starts_with('0') && word.parse::<u64>().is_ok())
}

/// Lines of a comment, as wide as a page of the documentation.
fn wrapped(text: &str) -> Vec<String> {
    const COLUMNS: usize = 98;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a line");
        if !line.is_empty() && line.len() + 1 + word.len() > COLUMNS {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::Syntax;
    use super::super::load::{default_values, values_in};
    use super::*;

    #[test]
    fn every_line_of_the_example_is_a_default() {
        let example = example().unwrap();
        let set: String = example
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| Key::named(line.split(" = ").next().unwrap().as_bytes()).is_some())
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(set.lines().count() > 60, "{set}");
        let values = values_in(set.as_bytes(), Syntax::Toml, Path::new("example")).unwrap();
        assert_eq!(values, default_values().unwrap());
        // All of it is a comment.
        assert!(
            example
                .lines()
                .all(|line| line.is_empty() || line.starts_with('#'))
        );
        assert!(example.lines().all(|line| line.len() <= 200));
    }
}
