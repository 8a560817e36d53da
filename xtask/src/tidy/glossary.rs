//! The glossary of `ARCHITECTURE.md` names what there is: a type or a path that has gone from the
//! code goes from there too.

use std::collections::BTreeSet;

use super::Finding;
use super::mask::is_word;

pub(super) const PATH: &str = "ARCHITECTURE.md";

/// Takes the whole file, all words of the code, and what says whether a path is in the tree.
pub(super) fn check(
    text: &str,
    words: &BTreeSet<String>,
    exists: impl Fn(&str) -> bool,
    findings: &mut Vec<Finding>,
) {
    let mut is_inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("## ") {
            is_inside = line == "## Glossary";
        }
        if !is_inside {
            continue;
        }
        let quoted = line.split('`').skip(1).step_by(2).map(str::to_owned);
        let unquoted: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
        let types = code_words(&unquoted).filter(|word| is_type(word));
        for name in quoted.chain(types.map(str::to_owned)) {
            let known = if name.contains('/') {
                exists(&name)
            } else {
                code_words(&name).all(|word| words.contains(word))
            };
            if !known {
                let rule = format!("`{name}` is in the glossary and not in the code");
                findings.push(Finding::new(PATH, index + 1, rule));
            }
        }
    }
}

/// The words of a text that a name in code could be.
pub(super) fn code_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii() || !is_word(letter as u8))
        .filter(|word| !word.is_empty())
}

/// Whether a word looks like a type: two capitals with small letters between them.
fn is_type(word: &str) -> bool {
    let capitals = word.bytes().filter(u8::is_ascii_uppercase).count();
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && capitals >= 2
        && word.bytes().any(|byte| byte.is_ascii_lowercase())
        && !word.contains('_')
        && !ABBREVIATIONS.contains(&word)
}

/// Words of the trade that look like types.
const ABBREVIATIONS: &[&str] = &["KiB", "MiB", "GiB"];

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let words = ["Guard", "LockedKey", "emit"].map(str::to_owned).into();
        let mut findings = Vec::new();
        check(text, &words, |path| path == "tests/commands", &mut findings);
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn what_is_gone_is_found() {
        assert!(
            lines("## Glossary\n| guard | a `Guard`, a LockedKey, `Guard::emit` |\n").is_empty()
        );
        assert_eq!(
            lines("## Glossary\n| slot | a `Slot` |\n| near | a NearKey |\n"),
            [2, 3]
        );
    }

    #[test]
    fn a_path_must_be_in_the_tree() {
        assert_eq!(
            lines("## Glossary\n`tests/commands` and\n`tests/replies`\n"),
            [3]
        );
    }

    #[test]
    fn only_the_glossary_is_read() {
        assert!(
            lines("# Kvik\n`Slot`\n## Glossary\nwords, 4 KiB, the LSN\n## Other\n`Slot`\n")
                .is_empty()
        );
    }
}
