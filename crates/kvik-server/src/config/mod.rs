//! Configuration: one table of directives from which everything else follows.
//!
//! A row of [`Key`]'s table says a directive's name, the shape of its value, its default, who may
//! change it, and which setting of commands it becomes. Command-line flags, `KVIK_*` variables,
//! kvik.toml, redis.conf, CONFIG GET, SET and REWRITE and the documentation are derived from the
//! rows; none of them knows a directive by name.
//!
//! Numbers are read without a lock, so hot paths may ask [`Config::int`] each time. Everything else
//! is copied out under a short read lock. Changes go through [`Config::set`] alone: all values are
//! checked, then all are stored, then the subscribers of what changed are told; if one refuses,
//! everything is undone.

mod error;
mod file;
mod flags;
mod foreign;
mod kevy;
mod kvns;
mod load;
mod markdown;
mod path;
mod preset;
mod presets;
mod rewrite;
mod row;
mod set;
mod table;
mod value;
mod words;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use kvik_command::Settings;
use kvik_command::glob::glob_match;
use parking_lot::{Mutex, RwLock};

pub use error::LoadError;
pub use load::{Loaded, load};
pub use markdown::markdown;
pub use rewrite::RewriteError;
pub use row::{Access, Check, Effect, Kind, Row};
pub use set::SetError;
pub use table::Key;
pub use value::{BufferLimit, Value};

use row::Current;
use row::Kind::{Choice, Save};
use value::Style;

/// The values in force.
pub struct Config {
    values: RwLock<Vec<Value>>,
    /// The numbers among them, once more.
    numbers: Box<[AtomicI64]>,
    /// Which of them somebody has spoken of.
    chosen: Box<[AtomicBool]>,
    /// Held while a change is made, so that changes and their subscribers see one another whole.
    changing: Mutex<()>,
    subscribers: RwLock<Vec<Arc<Subscriber>>>,
    /// The file that the server was started with, absolute.
    file: Option<PathBuf>,
}

struct Subscriber {
    keys: Vec<Key>,
    apply: Box<Apply>,
}

/// Acts on changed keys; an error undoes the change and is shown to the client.
type Apply = dyn Fn(&Config, &[Key]) -> Result<(), String> + Send + Sync;

/// A directive that was set to something else than its default and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithoutEffect {
    /// The directive's name.
    pub name: &'static str,
    /// Its value, as CONFIG GET shows it.
    pub value: String,
    /// Why it changes nothing.
    pub reason: &'static str,
}

impl Config {
    fn new(values: Vec<Value>, file: Option<PathBuf>) -> Self {
        let config = Self {
            numbers: values.iter().map(|_| AtomicI64::new(0)).collect(),
            chosen: values.iter().map(|_| AtomicBool::new(false)).collect(),
            values: RwLock::new(Vec::new()),
            changing: Mutex::new(()),
            subscribers: RwLock::new(Vec::new()),
            file,
        };
        config.store(values);
        config
    }

    /// Every directive at its default.
    ///
    /// # Errors
    /// If the working directory, the default of `dir`, does not exist.
    pub fn with_defaults() -> Result<Self, LoadError> {
        Ok(Self::new(load::default_values()?, None))
    }

    fn store(&self, values: Vec<Value>) {
        let mut current = self.values.write();
        for (number, value) in self.numbers.iter().zip(&values) {
            if let Value::Number(value) = value {
                number.store(*value, Ordering::Relaxed);
            }
        }
        *current = values;
    }

    /// A number: an integer, bytes, a file mode; `auto` is 0 and a percentage of memory negative.
    #[must_use]
    pub fn int(&self, key: Key) -> i64 {
        self.numbers[key as usize].load(Ordering::Relaxed)
    }

    /// A number that its row keeps from being negative, for sizes and counts.
    #[must_use]
    pub fn size(&self, key: Key) -> usize {
        usize::try_from(self.int(key)).unwrap_or(0)
    }

    /// Whether somebody has set it, be it to the default.
    #[must_use]
    pub fn is_chosen(&self, key: Key) -> bool {
        self.chosen[key as usize].load(Ordering::Relaxed)
    }

    /// Whether a yes-or-no directive is on.
    #[must_use]
    pub fn bool(&self, key: Key) -> bool {
        self.int(key) != 0
    }

    /// The name a choice directive stands at; of synonyms the first. Empty for other kinds.
    #[must_use]
    pub fn choice(&self, key: Key) -> &'static str {
        match key.row().kind {
            Choice(names) => value::choice_name(names, self.int(key)),
            _ => "",
        }
    }

    /// A whole value.
    #[must_use]
    pub fn value(&self, key: Key) -> Value {
        self.values.read()[key as usize].clone()
    }

    /// A text, or any other value as CONFIG GET shows it.
    #[must_use]
    pub fn bytes(&self, key: Key) -> Vec<u8> {
        let words = value::words(
            key.row().kind,
            &self.values.read()[key as usize],
            Style::Plain,
        );
        words.join(&b' ')
    }

    /// As [`Self::bytes`], with replacement characters for what is not UTF-8.
    #[must_use]
    pub fn text(&self, key: Key) -> String {
        String::from_utf8_lossy(&self.bytes(key)).into_owned()
    }

    /// A text as a path; `None` when it is empty.
    #[must_use]
    pub fn path(&self, key: Key) -> Option<PathBuf> {
        Some(self.bytes(key))
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| path::path_of(&bytes))
    }

    /// The words of a list.
    #[must_use]
    pub fn words(&self, key: Key) -> Vec<String> {
        let words = value::words(
            key.row().kind,
            &self.values.read()[key as usize],
            Style::Plain,
        );
        words
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }

    /// Copies the values of `keys` into the settings that commands obey, as far as they become
    /// settings.
    pub(crate) fn copy_to(&self, settings: &Settings, keys: &[Key]) {
        let values = self.values.read();
        for key in keys {
            let row = key.row();
            if let Some(set) = row.sets {
                let (kind, value) = (row.kind, &values[*key as usize]);
                set(settings, &Current { kind, value });
            }
        }
    }

    /// Output buffer limits by client class: normal, replica, pub/sub.
    #[must_use]
    pub fn output_buffer_limits(&self) -> [BufferLimit; 3] {
        match &self.values.read()[Key::ClientOutputBufferLimit as usize] {
            Value::Limits(limits) => *limits,
            _ => [BufferLimit::default(); 3],
        }
    }

    /// The rules of `save`: seconds and changes.
    #[must_use]
    pub fn save_rules(&self) -> Vec<(u64, u64)> {
        debug_assert_eq!(Key::Save.row().kind, Save);
        match &self.values.read()[Key::Save as usize] {
            Value::Numbers(numbers) => numbers
                .chunks_exact(2)
                .map(|rule| (rule[0].unsigned_abs(), rule[1].unsigned_abs()))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The file the server was started with, absolute.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// Names and values that match any of `patterns`, as CONFIG GET replies: each name once,
    /// aliases too. A name that is no pattern is answered as it was spelled.
    #[must_use]
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        for pattern in patterns {
            let is_pattern = pattern.iter().any(|byte| b"[*?".contains(byte));
            for (name, key) in names_matching(pattern, is_pattern) {
                if !found.iter().any(|(known, _)| *known == name) {
                    found.push((name, self.bytes(key)));
                }
            }
        }
        found
    }

    /// The directives that were changed in vain, for the start banner.
    #[must_use]
    pub fn without_effect(&self) -> Vec<WithoutEffect> {
        Key::ALL
            .iter()
            .filter_map(|key| self.in_vain(*key))
            .collect()
    }

    /// Why the value of a directive changes nothing, unless it is the default or holds anyway.
    pub(crate) fn in_vain(&self, key: Key) -> Option<WithoutEffect> {
        let row = key.row();
        let reason = row.effect.reason()?;
        let is_default = set::is_default(key, &self.value(key));
        let in_vain = !is_default && row.holds != Some(self.text(key).as_str());
        in_vain.then(|| WithoutEffect {
            name: row.name,
            value: self.shown(key),
            reason,
        })
    }

    /// A value for the log.
    fn shown(&self, key: Key) -> String {
        match key.row().access {
            Access::Secret | Access::FileOnly => "(hidden)".to_owned(),
            _ => self.text(key),
        }
    }
}

impl std::fmt::Display for WithoutEffect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} '{}' has no effect: {}",
            self.name, self.value, self.reason
        )
    }
}

fn names_matching(pattern: &[u8], is_pattern: bool) -> Vec<(String, Key)> {
    if !is_pattern {
        let key = Key::named(pattern).filter(|key| key.row().access != Access::FileOnly);
        return key
            .map(|key| (String::from_utf8_lossy(pattern).into_owned(), key))
            .into_iter()
            .collect();
    }
    let visible = Key::ALL
        .iter()
        .filter(|key| key.row().access != Access::FileOnly);
    let spellings =
        visible.flat_map(|key| [Some(key.name()), key.row().alias].map(|name| (name, *key)));
    spellings
        .filter_map(|(name, key)| Some((name?, key)))
        .filter(|(name, _)| glob_match(pattern, name.as_bytes(), true))
        .map(|(name, key)| (name.to_owned(), key))
        .collect()
}
