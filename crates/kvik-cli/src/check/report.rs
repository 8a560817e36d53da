//! The findings of a check, as lines of text.

use std::fmt::Write;
use std::path::Path;

/// A number with the name of its things: `1 key`, `2 keys`.
pub(super) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Findings in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Report {
    text: String,
    damages: usize,
}

impl Report {
    /// A file or a directory is what it should be.
    pub(super) fn sound(&mut self, path: &Path, summary: &str) {
        self.line(&format!("{}: {summary}", path.display()));
    }

    /// Something about the file of the last line.
    pub(super) fn detail(&mut self, text: &str) {
        self.line(&format!("  {text}"));
    }

    /// Something is wrong, and a server would refuse it or lose data.
    pub(super) fn damage(&mut self, path: &Path, reason: &str) {
        self.damages += 1;
        self.line(&format!("{}: DAMAGED: {reason}", path.display()));
    }

    /// Something was wrong and is mended.
    pub(super) fn repaired(&mut self, path: &Path, how: &str) {
        self.line(&format!("{}: repaired: {how}", path.display()));
    }

    /// Whether nothing is wrong any more.
    pub(super) fn is_sound(&self) -> bool {
        self.damages == 0
    }

    /// All lines.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn line(&mut self, text: &str) {
        writeln!(self.text, "{text}").expect("a string takes everything");
    }
}
