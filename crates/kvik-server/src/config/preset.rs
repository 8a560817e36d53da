//! A preset: settings in the place of defaults, which files, environment and flags win over.

use super::table::Key;
use super::value::Words;

/// Settings in the place of defaults.
#[derive(Debug, Default)]
pub(super) struct Preset {
    pub(super) settings: Vec<(Key, Words)>,
    /// Sentences for the log.
    pub(super) notes: Vec<String>,
}

impl Preset {
    /// Sets a directive of one word.
    pub(super) fn set(&mut self, key: Key, word: &str) {
        self.settings.push((key, vec![word.as_bytes().to_vec()]));
    }

    /// Adds what another one sets, which then counts.
    pub(super) fn extend(&mut self, other: Self) {
        self.settings.extend(other.settings);
        self.notes.extend(other.notes);
    }
}

impl From<Vec<(Key, Words)>> for Preset {
    fn from(settings: Vec<(Key, Words)>) -> Self {
        Self {
            settings,
            notes: Vec::new(),
        }
    }
}
