//! Within a crate the name of a type is given once: who searches for it finds what it means.

use std::collections::BTreeMap;

use super::Finding;
use super::mask::{is_word, mask};

/// Where each type of each crate was met first.
#[derive(Default)]
pub(super) struct Types {
    seen: BTreeMap<(String, String), String>,
}

impl Types {
    /// Takes up the types that one file declares, those of its tests aside.
    pub(super) fn check(&mut self, path: &str, text: &str, findings: &mut Vec<Finding>) {
        let Some((name, file)) = path
            .strip_prefix("crates/")
            .and_then(|path| path.split_once("/src/"))
        else {
            return;
        };
        if file.ends_with("tests.rs") || file.contains("tests/") {
            return;
        }
        let code = mask(text);
        let code = code.split("#[cfg(test)]").next().unwrap_or(&code);
        for (line, declared) in declarations(code) {
            let key = (name.to_owned(), declared.to_owned());
            match self.seen.get(&key) {
                Some(first) => {
                    let rule = format!("{first} has a type `{declared}` already");
                    findings.push(Finding::new(path, line, rule));
                }
                None => {
                    self.seen.insert(key, path.to_owned());
                }
            }
        }
    }
}

/// The structs, enums and traits, with their lines. A type alias at the start of a line is one too;
/// an indented one belongs to a trait.
fn declarations(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().filter_map(|(index, line)| {
        let mut words = line
            .split(|letter: char| !is_word(letter as u8))
            .filter(|word| !word.is_empty());
        let public = line.trim_start().starts_with("pub");
        let keyword = words.find(|word| !is_visibility(word))?;
        let declares = match keyword {
            "struct" | "enum" | "trait" | "union" => true,
            "type" => public || !line.starts_with(' '),
            _ => false,
        };
        declares.then_some(())?;
        Some((index + 1, words.next()?))
    })
}

fn is_visibility(word: &str) -> bool {
    matches!(word, "pub" | "crate" | "super" | "in" | "unsafe")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(files: &[(&str, &str)]) -> usize {
        let (mut types, mut findings) = (Types::default(), Vec::new());
        for (path, text) in files {
            types.check(path, text, &mut findings);
        }
        findings.len()
    }

    #[test]
    fn a_name_is_given_once_in_a_crate() {
        let (a, b) = ("crates/kvik/src/a.rs", "crates/kvik/src/b.rs");
        assert_eq!(
            count(&[(a, "pub(crate) struct Home;\n"), (b, "enum Home {}\n")]),
            1
        );
        assert_eq!(count(&[(a, "struct Home;\n"), (b, "struct House;\n")]), 0);
        assert_eq!(
            count(&[
                (a, "struct Home;\n"),
                ("crates/kvik-rdb/src/a.rs", "trait Home {}\n")
            ]),
            0
        );
    }

    #[test]
    fn text_tests_and_associated_types_do_not_count() {
        let code = "struct A;\n// struct A;\nimpl B for A {\n    type Item = A;\n}\nimpl C for A {\n    type Item = u8;\n}\n#[cfg(test)]\nmod tests {\n    struct A;\n}\n";
        assert_eq!(count(&[("crates/kvik/src/a.rs", code)]), 0);
    }
}
