//! Brings the sources together: defaults, then the file, then the environment, then flags; the last
//! one wins.
//!
//! Within one source, repeated `save` and `rename-command` lines add up and any other repetition
//! replaces. A directive that nobody knows and a bad value refuse to start: a server that ignores
//! what it does not understand may be open to everybody. Only what other servers are tuned with
//! ([`foreign`]) is a warning, as is a variable of the environment that is like no directive, since
//! the environment is shared with other programs.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Config;
use super::error::LoadError;
use super::file::{self, Setting, Syntax};
use super::flags;
use super::foreign;
use super::path::path_of;
use super::preset::PresetSetting;
use super::presets;
use super::row::{Access, Kind};
use super::table::Key;
use super::value::{self, Style, Value, Words};
use super::words::split;

/// A configuration and what was odd about its sources.
pub struct Loaded {
    /// The values in force.
    pub config: Config,
    /// Sentences for the log.
    pub warnings: Vec<String>,
    /// Whether the start is told in a line as kevy tells it.
    pub greets_as_kevy: bool,
}

/// Loads the configuration that a command line (without the program's name), environment and
/// standard input give.
///
/// # Errors
/// On an unknown flag, an unreadable file or a value that is not accepted.
pub fn load(
    args: &[OsString],
    env: impl IntoIterator<Item = (OsString, OsString)>,
    stdin: &mut dyn Read,
) -> Result<Loaded, LoadError> {
    let environment: Vec<_> = env.into_iter().collect();
    let line = flags::read(args, &environment)?;
    let mut loader = Loader::new()?;
    let is_dir = |set: &PresetSetting| set.key == Key::Dir;
    let (mut dirs, settings): (Vec<_>, Vec<_>) = line.preset.settings.into_iter().partition(is_dir);
    for set in settings {
        loader.assign(set.key, set.words, Layer::Preset, &set.origin)?;
    }
    loader.warnings.extend(line.preset.notes);
    let file = line
        .file
        .as_deref()
        .map(|path| loader.file(path))
        .transpose()?;
    if line.stdin {
        loader.standard_input(stdin)?;
    }
    for (name, value) in environment {
        loader.variable(&name, &value)?;
    }
    for (key, words) in line.settings {
        loader.assign(key, words, Layer::Flags, &format!("--{}", key.name()))?;
    }
    // It is made where nobody has named another one, and not before that is known.
    if let Some(dir) = dirs.pop()
        && loader.layers[Key::Dir as usize] == Layer::Default
    {
        make_dir(&dir)?;
        loader.assign(dir.key, dir.words, Layer::Preset, &dir.origin)?;
    }
    loader.choose_files()?;
    let config = Config::new(loader.values, file);
    for (key, layer) in Key::ALL.iter().zip(loader.layers) {
        config.chosen[*key as usize].store(layer > Layer::Preset, Ordering::Relaxed);
    }
    Ok(Loaded {
        config,
        warnings: loader.warnings,
        greets_as_kevy: line.preset.greets_as_kevy,
    })
}

/// Makes the data directory that a preset chooses.
fn make_dir(chosen: &PresetSetting) -> Result<(), LoadError> {
    let Some(dir) = chosen.words.first().map(|word| path_of(word)) else {
        return Ok(());
    };
    std::fs::create_dir_all(&dir)
        .map_err(|error| LoadError(format!("cannot create {}: {error}", dir.display())))
}

/// The value of every row's default.
pub(super) fn default_values() -> Result<Vec<Value>, LoadError> {
    Ok(Loader::new()?.values)
}

/// The value of a row's default.
pub(super) fn default_value(key: Key) -> Result<Value, LoadError> {
    let words = spread(key, vec![key.row().default.as_bytes().to_vec()]);
    let value = words.and_then(|words| value::parse(key.row(), &as_slices(&words), None));
    value.map_err(|reason| refusal("the default", key, &[], &reason))
}

/// The values that a file's text alone gives.
pub(super) fn values_in(text: &[u8], syntax: Syntax, path: &Path) -> Result<Vec<Value>, LoadError> {
    let mut loader = Loader::new()?;
    loader.including.push(path.to_owned());
    loader.text(text, syntax, &path.display().to_string())?;
    loader.choose_files()?;
    Ok(loader.values)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Default,
    Preset,
    File,
    Environment,
    Flags,
}

struct Loader {
    values: Vec<Value>,
    layers: Vec<Layer>,
    warnings: Vec<String>,
    including: Vec<PathBuf>,
}

impl Loader {
    fn new() -> Result<Self, LoadError> {
        let layers = vec![Layer::Default; Key::ALL.len()];
        let mut loader = Self {
            values: Vec::new(),
            layers,
            warnings: Vec::new(),
            including: Vec::new(),
        };
        for key in Key::ALL {
            loader.values.push(default_value(*key)?);
        }
        Ok(loader)
    }

    /// Decides about log and snapshots where only one of them is spoken of. `memory` turns off what
    /// nobody has asked for. Who says how to save, and nothing of a log, means snapshots alone:
    /// that is what a redis.conf says so.
    fn choose_files(&mut self) -> Result<(), LoadError> {
        // What a preset chose nobody has spoken of.
        let is_default = |key: Key| self.layers[key as usize] <= Layer::Preset;
        let is_memory = self.values[Key::Memory as usize] == Value::Number(1);
        let no_log = is_default(Key::Appendonly) && (is_memory || !is_default(Key::Save));
        let no_snapshots = is_default(Key::Save) && is_memory;
        let mut set = |key: Key, word: &[u8]| {
            let value = value::parse(key.row(), &[word], None);
            self.values[key as usize] =
                value.map_err(|reason| refusal("memory", key, &[], &reason))?;
            Ok(())
        };
        if no_log {
            set(Key::Appendonly, b"no")?;
        }
        if no_snapshots {
            set(Key::Save, b"")?;
        }
        Ok(())
    }

    /// Reads a file; its absolute path.
    fn file(&mut self, path: &Path) -> Result<PathBuf, LoadError> {
        let absolute = std::fs::canonicalize(path).map_err(|error| unreadable(path, &error))?;
        // Only the files that are being read: two may include a third.
        if self.including.contains(&absolute) {
            return Err(LoadError(format!("{} includes itself", path.display())));
        }
        let text = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        let syntax = Syntax::of(Some(path), &text);
        self.including.push(absolute.clone());
        self.text(&text, syntax, &path.display().to_string())?;
        self.including.pop();
        Ok(absolute)
    }

    fn standard_input(&mut self, stdin: &mut dyn Read) -> Result<(), LoadError> {
        let mut text = Vec::new();
        stdin
            .read_to_end(&mut text)
            .map_err(|error| LoadError(format!("standard input cannot be read: {error}")))?;
        self.text(&text, Syntax::of(None, &text), "standard input")
    }

    fn text(&mut self, text: &[u8], syntax: Syntax, source: &str) -> Result<(), LoadError> {
        let settings = file::read(text, syntax).map_err(|malformed| {
            LoadError(format!("{source}:{}: {}", malformed.line, malformed.reason))
        })?;
        settings
            .into_iter()
            .try_for_each(|setting| self.setting(setting, source))
    }

    fn setting(&mut self, setting: Setting, source: &str) -> Result<(), LoadError> {
        let origin = format!("{source}:{}", setting.line);
        match Key::named(&setting.name) {
            Some(key) => self.assign(key, setting.words, Layer::File, &origin),
            None => self.foreign(&String::from_utf8_lossy(&setting.name), &origin),
        }
    }

    /// A directive that is not kvik's.
    fn foreign(&mut self, name: &str, origin: &str) -> Result<(), LoadError> {
        if !foreign::is_harmless(name) {
            let unknown = foreign::unknown(name);
            return Err(LoadError(format!("{origin}: '{name}' {unknown}")));
        }
        self.warnings.push(format!(
            "{origin}: '{name}' is a directive of another server and has no effect"
        ));
        Ok(())
    }

    /// Reads another file; the last part of its path may be a pattern, which may match nothing.
    fn include(&mut self, pattern: &[u8], origin: &str) -> Result<(), LoadError> {
        let included = matching_files(&path_of(pattern)).map_err(|error| {
            LoadError(format!(
                "{origin}: cannot include {}: {error}",
                path_of(pattern).display()
            ))
        })?;
        for path in included {
            self.file(&path)
                .map_err(|error| LoadError(format!("{origin}: {error}")))?;
        }
        Ok(())
    }

    fn variable(&mut self, name: &OsStr, value: &OsStr) -> Result<(), LoadError> {
        let Some(directive) = name.as_encoded_bytes().strip_prefix(b"KVIK_") else {
            return Ok(());
        };
        if name == presets::VARIABLE {
            return Ok(());
        }
        let origin = name.to_string_lossy();
        match Key::named(directive) {
            Some(key) => self.assign(
                key,
                vec![value.as_encoded_bytes().to_vec()],
                Layer::Environment,
                &origin,
            ),
            // A typing error in a name must not go unnoticed; other programs' variables may.
            None => match foreign::meant(&String::from_utf8_lossy(directive)) {
                Some(known) => Err(LoadError(format!(
                    "{origin} names no directive of kvik; did you mean {known}?"
                ))),
                None => {
                    self.warnings.push(format!(
                        "{origin} names no directive of kvik and has no effect"
                    ));
                    Ok(())
                }
            },
        }
    }

    fn assign(
        &mut self,
        key: Key,
        words: Words,
        layer: Layer,
        origin: &str,
    ) -> Result<(), LoadError> {
        if key == Key::Include {
            return words
                .iter()
                .try_for_each(|pattern| self.include(pattern, origin));
        }
        let value = spread(key, words.clone()).and_then(|mut words| {
            if self.adds_up(key, &words, layer) {
                words.splice(
                    0..0,
                    value::words(key.row().kind, &self.values[key as usize], Style::Plain),
                );
            }
            value::parse(
                key.row(),
                &as_slices(&words),
                Some(&self.values[key as usize]),
            )
        });
        self.values[key as usize] =
            value.map_err(|reason| refusal(origin, key, &words, &reason))?;
        self.layers[key as usize] = layer;
        Ok(())
    }

    fn adds_up(&self, key: Key, words: &Words, layer: Layer) -> bool {
        let repeats = self.layers[key as usize] == layer && *words != [b""];
        repeats && matches!(key.row().kind, Kind::Save | Kind::Pairs | Kind::Doors)
    }
}

/// One word for a directive that takes several is split like a line of redis.conf.
fn spread(key: Key, words: Words) -> Result<Words, String> {
    match words.as_slice() {
        [word] if key.row().kind.takes_words() && !word.is_empty() => {
            split(word).ok_or_else(|| "Unbalanced quotes".to_owned())
        }
        _ => Ok(words),
    }
}

pub(super) fn as_slices(words: &Words) -> Vec<&[u8]> {
    words.iter().map(Vec::as_slice).collect()
}

fn refusal(origin: &str, key: Key, words: &[Vec<u8>], reason: &str) -> LoadError {
    let value = match key.row().access {
        Access::Secret | Access::FileOnly => "(hidden)".to_owned(),
        _ => String::from_utf8_lossy(&words.join(&b' ')).into_owned(),
    };
    LoadError(format!(
        "{origin}: cannot set {} to '{value}': {reason}",
        key.name()
    ))
}

fn unreadable(path: &Path, error: &std::io::Error) -> LoadError {
    LoadError(format!(
        "the configuration file {} cannot be read: {error}",
        path.display()
    ))
}

fn matching_files(pattern: &Path) -> std::io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().unwrap_or_default().as_encoded_bytes();
    if !name.iter().any(|byte| b"*?[".contains(byte)) {
        return Ok(vec![pattern.to_owned()]);
    }
    let directory = match pattern.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if kvik_command::glob::glob_match(name, entry.file_name().as_encoded_bytes(), false) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
