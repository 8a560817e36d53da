//! The command line, in Redis' style: `[file] [--directive word...]... [-]`.
//!
//! A flag takes every following word up to the next `--`, so `--bind 127.0.0.1 ::1` and `--save ""`
//! work unquoted; `--port=6380` works, too. `-` reads a configuration from standard input.

use std::ffi::OsString;
use std::path::PathBuf;

use super::error::LoadError;
use super::foreign;
use super::preset::Preset;
use super::presets;
use super::row::Kind;
use super::table::Key;
use super::value::Words;

/// The flag by which users of kevy do without a log.
const NO_AOF: &str = "--no-aof";

/// The requests of the command line.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    pub(super) file: Option<PathBuf>,
    pub(super) stdin: bool,
    pub(super) settings: Vec<(Key, Words)>,
    /// Settings in the place of defaults.
    pub(super) preset: Preset,
}

/// Reads the arguments after the program's name.
pub(super) fn read(
    args: &[OsString],
    environment: &[(OsString, OsString)],
) -> Result<CommandLine, LoadError> {
    let mut line = CommandLine::default();
    let mut args = args.iter().peekable();
    if let Some(file) = args.next_if(|arg| !is_flag(arg) && *arg != "-") {
        line.file = Some(file.into());
    }
    while let Some(arg) = args.next() {
        if arg == "-" {
            line.stdin = true;
            continue;
        }
        let behind = args.clone().take_while(|arg| !is_flag(arg) && *arg != "-");
        let behind: Vec<OsString> = behind.cloned().collect();
        let named = |flag| presets::named(flag, &behind, environment);
        if let Some(preset) = arg.to_str().and_then(named) {
            line.preset.extend(preset?);
            args.by_ref().take(behind.len()).for_each(drop);
            continue;
        }
        if arg == NO_AOF {
            line.settings.push((Key::Appendonly, vec![b"no".to_vec()]));
            continue;
        }
        let (key, mut words) = flag(arg)?;
        while let Some(word) = args.next_if(|arg| !is_flag(arg) && *arg != "-") {
            words.push(word.as_encoded_bytes().to_vec());
        }
        line.settings.push((key, words_or_default(key, words)?));
    }
    Ok(line)
}

fn is_flag(arg: &OsString) -> bool {
    arg.as_encoded_bytes().starts_with(b"--")
}

/// The key of a flag, and its value if it follows an equals sign.
fn flag(arg: &OsString) -> Result<(Key, Words), LoadError> {
    let unexpected = || {
        LoadError(format!(
            "'{}' is not expected here: flags begin with --",
            arg.display()
        ))
    };
    let text = arg
        .as_encoded_bytes()
        .strip_prefix(b"--")
        .ok_or_else(unexpected)?;
    let mut parts = text.splitn(2, |byte| *byte == b'=');
    let name = parts.next().unwrap_or_default();
    let unknown = || {
        let name = String::from_utf8_lossy(name);
        LoadError(format!("--{name} {}", foreign::unknown(&name)))
    };
    let key = Key::named(name).ok_or_else(unknown)?;
    Ok((key, parts.map(<[u8]>::to_vec).collect()))
}

/// A flag alone turns a yes-or-no directive on and `save` off.
fn words_or_default(key: Key, words: Words) -> Result<Words, LoadError> {
    match key.row().kind {
        _ if !words.is_empty() => Ok(words),
        Kind::Bool => Ok(vec![b"yes".to_vec()]),
        Kind::Save => Ok(vec![Vec::new()]),
        _ => Err(LoadError(format!("--{} needs a value", key.name()))),
    }
}
