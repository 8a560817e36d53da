//! The rules of the tree that neither rustc nor clippy can check.
//!
//! Each rule is a pure function from text to findings, so that a unit test can show that it bites;
//! this module walks the tree and feeds them. `cargo x tidy` prints the findings, and a test here
//! keeps the tree at none.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cargo;

mod floors;
mod glossary;
mod layers;
mod mask;
mod rust;
mod types;
mod words;

/// Transitive dependencies that the library `kvik` may have, not counting kvik's own crates. Three
/// of them are for the regular expressions of ARGREP.
const LIBRARY_DEPENDENCIES: usize = 18;

/// What holds no source of ours.
const SKIPPED: &[&str] = &["target", ".git", "corpus", "artifacts", "node_modules"];

/// A broken rule at a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 is the file as a whole.
    line: usize,
    rule: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule: rule.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// Prints every finding; any is an error.
pub(crate) fn report() -> anyhow::Result<()> {
    let findings = findings(cargo::root())?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("the tree is not tidy: {} findings", findings.len());
    }
    println!("the tree is tidy");
    Ok(())
}

fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let (mut types, mut names) = (types::Types::default(), BTreeSet::new());
    for path in files(root)? {
        let Ok(text) = fs::read_to_string(root.join(&path)) else {
            continue; // not text
        };
        words::check(&path, &text, &mut findings);
        if path.ends_with(".rs") {
            rust::check(&path, &text, &mut findings);
            floors::check(&path, &text, &mut findings);
            types.check(&path, &text, &mut findings);
            names.extend(glossary::code_words(&mask::mask(&text)).map(str::to_owned));
        }
        if path.ends_with("Cargo.toml") {
            layers::check(&path, &text, &mut findings)?;
        }
    }
    let text = fs::read_to_string(root.join(glossary::PATH)).context(glossary::PATH)?;
    let exists = |path: &str| root.join(path).exists();
    glossary::check(&text, &names, exists, &mut findings);
    library_dependencies(&mut findings)?;
    Ok(findings)
}

/// Every file of the tree, relative to the root, sorted.
fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(root.join(&folder)).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if SKIPPED.contains(&entry.file_name().to_string_lossy().as_ref()) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// An embedded database drags its dependencies into every program that uses it.
fn library_dependencies(findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let tree = cargo::cargo_output(&[
        "tree",
        "--package",
        "kvik",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ])?;
    let count = count_dependencies(&tree);
    if count > LIBRARY_DEPENDENCIES {
        let rule = format!(
            "kvik has {count} transitive dependencies, at most {LIBRARY_DEPENDENCIES} are allowed"
        );
        findings.push(Finding::new("crates/kvik/Cargo.toml", 0, rule));
    }
    Ok(())
}

fn count_dependencies(tree: &str) -> usize {
    let mut names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.retain(|name| !name.is_empty() && !name.starts_with("kvik"));
    names.sort_unstable();
    names.dedup();
    names.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let findings = findings(cargo::root()).unwrap();
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn dependencies_count_once_and_without_our_own() {
        let tree = "kvik v0.1.0 (/x)\nitoa v1.0.18\nkvik-resp v0.1.0 (/x)\nitoa v1.0.18 (*)\n\nlibc v0.2.1\n";
        assert_eq!(count_dependencies(tree), 2);
    }
}
