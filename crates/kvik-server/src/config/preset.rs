//! A preset: settings in the place of defaults, which files, environment and flags win over.

use super::table::Key;
use super::value::Words;

/// Settings in the place of defaults.
#[derive(Debug, Default)]
pub(super) struct Preset {
    pub(super) settings: Vec<PresetSetting>,
    /// Sentences for the log.
    pub(super) notes: Vec<String>,
    /// Whether the start is told in a line as kevy tells it.
    pub(super) greets_as_kevy: bool,
}

/// A setting in the place of a default.
#[derive(Debug)]
pub(super) struct PresetSetting {
    pub(super) key: Key,
    pub(super) words: Words,
    /// Who says so, for the message about a value that is not accepted.
    pub(super) origin: String,
}

impl Preset {
    /// Sets a directive of one word.
    pub(super) fn set(&mut self, key: Key, word: &str) {
        self.set_by("a preset", key, word);
    }

    /// The same for a setting of somebody.
    pub(super) fn set_by(&mut self, origin: &str, key: Key, word: &str) {
        self.settings.push(PresetSetting {
            key,
            words: vec![word.as_bytes().to_vec()],
            origin: origin.to_owned(),
        });
    }

    /// Adds what another one sets, which then counts.
    pub(super) fn extend(&mut self, other: Self) {
        self.settings.extend(other.settings);
        self.notes.extend(other.notes);
        self.greets_as_kevy |= other.greets_as_kevy;
    }
}

impl From<Vec<(Key, Words)>> for Preset {
    fn from(settings: Vec<(Key, Words)>) -> Self {
        let settings = settings.into_iter().map(|(key, words)| PresetSetting {
            key,
            words,
            origin: "a preset".to_owned(),
        });
        Self {
            settings: settings.collect(),
            ..Self::default()
        }
    }
}
