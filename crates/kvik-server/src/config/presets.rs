//! Presets: what users of other servers expect by default. A preset takes the place of defaults, so
//! files, environment and flags win over it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::LoadError;
use super::kevy;
use super::kvns;
use super::preset::Preset;
use super::table::Key;
use super::value::Words;
use crate::process::machine_bytes;

/// The preset that a flag names; the words behind it are its arguments.
pub(super) fn named(
    flag: &str,
    words: &[OsString],
    environment: &[(OsString, OsString)],
) -> Option<Result<Preset, LoadError>> {
    match (flag, words) {
        ("--kevy", []) => Some(kevy::preset(None, environment)),
        ("--kevy", [path]) => Some(kevy::preset(Some(Path::new(path)), environment)),
        ("--kvns", []) => Some(kvns::preset(environment, machine_bytes())),
        ("--neks", []) => Some(Ok(neks())),
        ("--no-persistence", []) => Some(Ok(vec![
            (Key::Memory, word("yes")),
            (Key::Import, Vec::new()),
        ]
        .into())),
        ("--kiba", []) => Some(Ok(kiba("127.0.0.1:6464"))),
        ("--kiba", [path]) => Some(of_kiba_conf(Path::new(path))),
        ("--nkv", []) => Some(Ok(nkv(environment))),
        ("--neks" | "--no-persistence" | "--nkv" | "--kiba" | "--kvns" | "--kevy", [.., last]) => {
            let last = last.to_string_lossy();
            Some(Err(LoadError(format!("{flag} does not take '{last}'"))))
        }
        _ => None,
    }
}

/// The variable that names a preset where no flag can, as in the image of a container.
pub(super) const VARIABLE: &str = "KVIK_PRESET";

/// The preset that the environment names.
pub(super) fn of_environment(
    environment: &[(OsString, OsString)],
) -> Option<Result<Preset, LoadError>> {
    let (_, name) = environment.iter().find(|(name, _)| name == VARIABLE)?;
    if name.is_empty() {
        return None;
    }
    let name = name.to_string_lossy();
    let preset = named(&format!("--{name}"), &[], environment);
    Some(preset.unwrap_or_else(|| {
        let expected = "kevy, kiba, kvns, neks, nkv";
        Err(LoadError(format!(
            "{VARIABLE} {name:?} is none of: {expected}"
        )))
    }))
}

fn word(text: &str) -> Words {
    vec![text.as_bytes().to_vec()]
}

fn neks() -> Preset {
    vec![
        (Key::Listen, word("neks://")),
        (Key::Import, word("neks:store.kvs")),
    ]
    .into()
}

fn kiba(bind: &str) -> Preset {
    vec![
        (Key::Listen, word(&format!("kiba://{bind}"))),
        (Key::Memory, word("yes")),
    ]
    .into()
}

/// In the directory where nkv has its data.
fn nkv(environment: &[(OsString, OsString)]) -> Preset {
    let home = |name: &str| {
        let found = environment.iter().rfind(|(it, _)| it == name);
        // One that is set to nothing counts as none.
        let path = found.map(|(_, path)| path).filter(|path| !path.is_empty());
        path.map(PathBuf::from)
    };
    let dir = match (home("XDG_DATA_HOME"), home("HOME")) {
        (Some(data), _) => data.join("nkv"),
        (None, Some(home)) => home.join(".local/share/nkv"),
        (None, None) => PathBuf::from("nkv"),
    };
    let dir = dir.display().to_string();
    let doors = ["nkv+unix://", "nkv://"].map(|door| door.as_bytes().to_vec());
    vec![
        (Key::Listen, doors.to_vec()),
        (Key::Dir, word(&dir)),
        // Wherever the data directory is in the end.
        (Key::Import, word("nkv:")),
    ]
    .into()
}

fn of_kiba_conf(path: &Path) -> Result<Preset, LoadError> {
    let mut preset = kiba(&read_kiba_conf(path)?);
    // Such a file is read as well; whoever named another one by mistake is told.
    if !path.as_os_str().as_bytes().ends_with(b"kiba.conf") {
        let path = path.display();
        let note = format!("{path} is read as a configuration of Kiba, whose name is kiba.conf");
        preset.notes.push(note);
    }
    Ok(preset)
}

/// The address that a kiba.conf names. Each line is two words; the other keys of the original have
/// no use here, and their values are checked as it does.
fn read_kiba_conf(path: &Path) -> Result<String, LoadError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| LoadError(format!("{} cannot be read: {error}", path.display())))?;
    let mut bind = "127.0.0.1:6464".to_owned();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let refuse = |reason: &str| {
            let place = format!("{}:{}", path.display(), number + 1);
            Err(LoadError(format!("{place}: {reason}")))
        };
        match words[..] {
            ["bind", address] => bind = address.to_owned(),
            ["cbound", count] if count.parse::<u64>().is_err() => {
                return refuse("cbound is no number");
            }
            [_, _] => {}
            _ => return refuse("a line is a key and a value"),
        }
    }
    Ok(bind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> Result<String, LoadError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kiba.conf");
        std::fs::write(&path, text).unwrap();
        read_kiba_conf(&path)
    }

    #[test]
    fn a_variable_names_a_preset() {
        let preset = |name: &str| of_environment(&[(VARIABLE.into(), name.into())]);
        let found = preset("neks").unwrap().unwrap();
        assert_eq!(found.settings.len(), 2);
        assert!(preset("").is_none());
        let refusal = preset("redis").unwrap().unwrap_err().to_string();
        assert!(refusal.contains("is none of: kevy"), "{refusal}");
    }

    #[test]
    fn the_directory_of_nkv_follows_the_environment() {
        let dir = |variables: &[(&str, &str)]| {
            let variables = variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()));
            let preset = nkv(&variables.collect::<Vec<_>>());
            let dir = preset.settings.iter().find(|it| it.key == Key::Dir);
            String::from_utf8(dir.unwrap().words[0].clone()).unwrap()
        };
        assert_eq!(dir(&[("XDG_DATA_HOME", "/d"), ("HOME", "/h")]), "/d/nkv");
        let unset = dir(&[("XDG_DATA_HOME", ""), ("HOME", "/h")]);
        assert_eq!(unset, "/h/.local/share/nkv");
        assert_eq!(dir(&[]), "nkv");
    }

    #[test]
    fn the_last_address_of_a_kiba_conf_counts() {
        let text =
            "# comment\n\n bind 1.2.3.4:1\nbind localhost:7\nhasher fnv\nother word\ncbound 9\n";
        assert_eq!(conf(text).unwrap(), "localhost:7");
        assert_eq!(conf("").unwrap(), "127.0.0.1:6464");
    }

    #[test]
    fn a_kiba_conf_is_refused_where_the_original_refuses_it() {
        for text in [
            "bind",
            "bind a b",
            " # comment here",
            "cbound many",
            "bind a:1 # no comment",
        ] {
            assert!(conf(text).is_err(), "{text}");
        }
    }
}
