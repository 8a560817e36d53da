//! The preset of kevy: its port, its `kevy.toml`, and its variables.
//!
//! The file and the variables take the place of defaults, the variables above the file, so `KVIK_*`
//! variables, files of kvik and flags win over them. What has no counterpart here is accepted and
//! named in the log, a line each. A value that makes no sense refuses to start, as it does there.

mod keys;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::LoadError;
use super::file::{self, Setting, Syntax};
use super::preset::Preset;
use super::table::Key;
use keys::{Meaning, key_named, variable_named};

/// Its port.
const PORT: &str = "6004";
/// Where its file is looked for when nobody names one: beside the data, here, and for the machine.
const FILE: &str = "kevy.toml";
const SYSTEM_FILE: &str = "/etc/kevy/kevy.toml";

/// The preset, by the file that the command line names and the environment.
///
/// # Errors
/// If the file cannot be read, or a value makes no sense.
pub(super) fn preset(
    path: Option<&Path>,
    environment: &[(OsString, OsString)],
) -> Result<Preset, LoadError> {
    let variables = KevyVariables(environment);
    let mut preset = defaults();
    match variables.file(path) {
        Some(path) => read_file(&path, &mut preset)?,
        None => {
            let found = variables.places().into_iter().find(|path| path.is_file());
            if let Some(path) = found {
                read_file(&path, &mut preset)?;
            }
        }
    }
    variables.apply(&mut preset)?;
    Ok(preset)
}

/// Kevy serves its own machine unless told otherwise, and then everybody, as it knows no password.
fn defaults() -> Preset {
    let mut preset = Preset {
        greets_as_kevy: true,
        ..Preset::default()
    };
    preset.set(Key::Bind, "127.0.0.1");
    preset.set(Key::Port, PORT);
    preset.set(Key::ProtectedMode, "no");
    preset.set(Key::Dir, ".");
    preset.set(Key::Appendonly, "yes");
    preset.set(Key::Save, "");
    preset.set(Key::Logfile, "/dev/stderr");
    // Wherever the data directory is in the end.
    preset.set(Key::Import, "kevy:");
    preset
}

/// The environment.
struct KevyVariables<'a>(&'a [(OsString, OsString)]);

impl KevyVariables<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        found.1.to_str()
    }

    /// The file that somebody names.
    fn file(&self, path: Option<&Path>) -> Option<PathBuf> {
        let named = || self.text("KEVY_CONFIG").map(PathBuf::from);
        path.map(Path::to_owned).or_else(named)
    }

    /// Where a file may lie otherwise; the first one counts.
    fn places(&self) -> Vec<PathBuf> {
        let folder = |name: &str| self.text(name).map(PathBuf::from);
        let own = folder("KEVY_DIR").map(|dir| dir.join(FILE));
        let user = folder("XDG_CONFIG_HOME").map(|dir| dir.join("kevy").join(FILE));
        let fixed = [FILE, SYSTEM_FILE].map(PathBuf::from);
        own.into_iter().chain(fixed).chain(user).collect()
    }

    /// Sets what they say.
    fn apply(&self, preset: &mut Preset) -> Result<(), LoadError> {
        for (name, value) in self.0 {
            let Some(name) = name.to_str().filter(|name| name.starts_with("KEVY_")) else {
                continue;
            };
            if name == "KEVY_CONFIG" {
                continue;
            }
            let Some(meaning) = variable_named(name) else {
                let note = format!("{name} is no variable of kevy and has no effect");
                preset.notes.push(note);
                continue;
            };
            let value = value
                .to_str()
                .ok_or_else(|| LoadError(format!("{name} is no text")))?;
            apply(preset, meaning, name, value)?;
        }
        Ok(())
    }
}

/// Sets what a `kevy.toml` says.
fn read_file(path: &Path, preset: &mut Preset) -> Result<(), LoadError> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| {
        LoadError(format!(
            "the configuration file {shown} cannot be read: {error}"
        ))
    })?;
    let settings = file::read(&text, Syntax::Toml)
        .map_err(|wrong| LoadError(format!("{shown}:{}: {}", wrong.line, wrong.reason)))?;
    for setting in settings {
        let origin = format!("{shown}:{}", setting.line);
        setting_of_file(&setting, &origin, preset)?;
    }
    Ok(())
}

fn setting_of_file(setting: &Setting, origin: &str, preset: &mut Preset) -> Result<(), LoadError> {
    let joined = String::from_utf8_lossy(&setting.name);
    // A section's name holds no hyphen.
    let (section, name) = joined.split_once('-').unwrap_or(("", &joined));
    let place = format!("{origin}: [{section}] {name}");
    let Some(meaning) = key_named(section, name) else {
        let note = format!("{place} is no setting of kevy and has no effect");
        preset.notes.push(note);
        return Ok(());
    };
    // A list is for settings that mean nothing here.
    let value = setting.words.join(&b' ');
    apply(preset, meaning, &place, &String::from_utf8_lossy(&value))
}

/// Sets what a value means.
fn apply(
    preset: &mut Preset,
    meaning: Meaning,
    origin: &str,
    value: &str,
) -> Result<(), LoadError> {
    let refuse = |reason: &str| LoadError(format!("{origin}: '{value}' {reason}"));
    let (key, word) = match meaning {
        Meaning::Sets(key) => (key, value.to_owned()),
        Meaning::Named(name) => match Key::named(name.as_bytes()) {
            Some(key) => (key, value.to_owned()),
            None => {
                preset.notes.push(format!("{origin} has no effect here"));
                return Ok(());
            }
        },
        Meaning::Maps(key, map) => {
            let mapped = map(value).ok_or_else(|| refuse("is not a value that kevy knows"))?;
            (key, mapped)
        }
        Meaning::Nothing(reason) => {
            preset
                .notes
                .push(format!("{origin} has no effect: {reason}"));
            return Ok(());
        }
        Meaning::NothingIf(usual, reason) => {
            if value != usual {
                preset
                    .notes
                    .push(format!("{origin} = {value} has no effect: {reason}"));
            }
            return Ok(());
        }
    };
    preset.set_by(origin, key, &word);
    Ok(())
}

#[cfg(test)]
mod tests;
