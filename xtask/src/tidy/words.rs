//! Rules about every text file: words and paths that must not stand in one.

use super::Finding;

/// Files that may hold what the rules forbid: this one, which lists it, and machine-written ones.
const EXEMPT: &[&str] = &["xtask/src/tidy/words.rs", "Cargo.lock", "LICENSE-APACHE"];

/// A path of one machine or the address of a package registry's server: both are wrong everywhere
/// else.
const FORBIDDEN: &[&str] = &[
    "/work/",
    "/root/",
    "/home/",
    "index.crates.io",
    "static.crates.io",
    "registry.npmjs.org",
    "files.pythonhosted.org",
];

/// Names that say nothing about what a file holds.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "util", "utils",
];

pub(super) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if EXEMPT.contains(&path) {
        return;
    }
    if says_nothing(path) {
        findings.push(Finding::new(
            path,
            0,
            "the file's name says nothing about what it holds",
        ));
    }
    for (index, line) in text.lines().enumerate() {
        for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
            findings.push(Finding::new(
                path,
                index + 1,
                format!("`{word}` belongs to one machine"),
            ));
        }
        if ["TODO", "FIXME"].iter().any(|word| line.contains(word)) && !names_an_issue(line) {
            findings.push(Finding::new(
                path,
                index + 1,
                "a reminder without an issue number",
            ));
        }
    }
}

fn says_nothing(path: &str) -> bool {
    let parts = path
        .split('/')
        .map(|part| part.split('.').next().unwrap_or(part));
    parts.into_iter().any(|part| EMPTY_NAMES.contains(&part))
}

fn names_an_issue(line: &str) -> bool {
    line.split('#')
        .skip(1)
        .any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        let mut findings = Vec::new();
        check(path, text, &mut findings);
        findings.len()
    }

    #[test]
    fn a_reminder_needs_an_issue() {
        assert_eq!(count("a.rs", "// TODO later\n// TODO(#12) later\n"), 1);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        assert_eq!(count("a.md", "see /home/me/x"), 1);
        assert_eq!(count("a.md", "see ~/x and network/x"), 0);
    }

    #[test]
    fn an_empty_name_is_found() {
        assert_eq!(count("crates/kvik/src/utils.rs", ""), 1);
        assert_eq!(count("crates/kvik/tests/common/mod.rs", ""), 1);
        assert_eq!(count("crates/kvik/src/stripe.rs", ""), 0);
    }
}
