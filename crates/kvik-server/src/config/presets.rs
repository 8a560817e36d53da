//! Presets: what users of other servers expect by default. A preset takes the place of defaults, so
//! files, environment and flags win over it.

use std::ffi::OsString;
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
        ("--kiba", [path]) => Some(read_kiba_conf(Path::new(path)).map(|bind| kiba(&bind))),
        ("--nkv", []) => Some(nkv()),
        ("--neks" | "--no-persistence" | "--nkv" | "--kiba" | "--kvns" | "--kevy", [.., last]) => {
            let last = last.to_string_lossy();
            Some(Err(LoadError(format!("{flag} does not take '{last}'"))))
        }
        _ => None,
    }
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
fn nkv() -> Result<Preset, LoadError> {
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let dir = match (home("XDG_DATA_HOME"), home("HOME")) {
        (Some(data), _) => data.join("nkv"),
        (None, Some(home)) => home.join(".local/share/nkv"),
        (None, None) => PathBuf::from("nkv"),
    };
    std::fs::create_dir_all(&dir)
        .map_err(|error| LoadError(format!("cannot create {}: {error}", dir.display())))?;
    let dir = dir.display().to_string();
    let doors = ["nkv+unix://", "nkv://"].map(|door| door.as_bytes().to_vec());
    Ok(vec![
        (Key::Listen, doors.to_vec()),
        (Key::Dir, word(&dir)),
        // Wherever the data directory is in the end.
        (Key::Import, word("nkv:")),
    ]
    .into())
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
