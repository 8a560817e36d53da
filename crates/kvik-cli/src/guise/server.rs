//! The command lines of the servers.

use std::ffi::OsString;
use std::process::ExitCode;

use super::fail;

/// The log goes where it is not in the way of what the program prints.
const LOG: [&str; 2] = ["--logfile", "/dev/stderr"];

fn start(args: &[&str]) -> ExitCode {
    let args = args.iter().chain(&LOG).map(OsString::from);
    kvik_server::run(args.collect::<Vec<_>>())
}

/// `NeksServer [--no-persistence]`.
pub(super) fn neks(words: &[String]) -> ExitCode {
    match words {
        [] => {
            println!("Serving on port 9999 \nSaving DB to store.kvs");
            start(&["--neks", "--yield-port", "yes"])
        }
        [flag] if flag == "--no-persistence" => {
            println!("Serving on port 9999\nNot persisting to disk");
            start(&["--neks", "--no-persistence", "--yield-port", "yes"])
        }
        _ => {
            println!("Usage: NeksServer [--no-persistence]");
            println!("Serves port 9999; without the flag, data are kept in the current directory");
            ExitCode::SUCCESS
        }
    }
}

/// `kiba [kiba.conf]`.
pub(super) fn kiba(words: &[String]) -> ExitCode {
    match words {
        [] => start(&["--kiba", "--yield-port", "yes"]),
        [path, ..] => start(&["--kiba", path, "--yield-port", "yes"]),
    }
}

/// `kvns`, which is configured by its environment. Its log goes to standard output, as kvik's does.
pub(super) fn kvns(arguments: &[OsString]) -> ExitCode {
    let preset = std::iter::once(OsString::from("--kvns"));
    let words = arguments.iter().skip(1).cloned();
    kvik_server::run(preset.chain(words))
}

/// The options of `nkv-server`.
#[derive(Debug, Default, PartialEq, Eq)]
struct NkvFlags {
    addr: Option<String>,
    dir: Option<String>,
    level: Option<String>,
    help: bool,
    /// An address without a flag, as in earlier eras.
    place: Option<String>,
}

const NKV_USAGE: &str = "Usage: nkv-server [--addr SOCKET] [--dir DIR] [--logs DIR] [--level LEVEL] \
                         [--help]\n       nkv-server HOST:PORT";

/// `nkv-server`, of all eras.
pub(super) fn nkv(words: &[String]) -> ExitCode {
    let flags = match nkv_flags(words) {
        Ok(flags) => flags,
        Err(error) => {
            println!("error: {error}\n{NKV_USAGE}");
            return ExitCode::SUCCESS;
        }
    };
    if flags.help {
        println!("{NKV_USAGE}");
        return ExitCode::SUCCESS;
    }
    let level = match flags.level.as_deref().map(level) {
        None => "notice",
        Some(Some(level)) => level,
        Some(None) => {
            println!("error parsing log level: it is error, warn, info, debug, trace or 1 to 5");
            println!("{NKV_USAGE}");
            return ExitCode::SUCCESS;
        }
    };
    let mut args = vec!["--nkv", "--yield-port", "yes", "--loglevel", level];
    let address = match (&flags.place, &flags.addr) {
        (Some(place), _) => Some(format!("nkv://{place}")),
        (None, Some(path)) => Some(format!("nkv+unix://{path}")),
        (None, None) => None,
    };
    if let Some(address) = &address {
        args.extend(["--listen", address]);
    }
    if let Some(dir) = &flags.dir {
        if let Err(error) = std::fs::create_dir_all(dir) {
            return fail(&format_args!("cannot create {dir}: {error}"));
        }
        args.extend(["--dir", dir]);
    }
    start(&args)
}

/// Reads flags as the original does: what follows one and is none itself is its value.
fn nkv_flags(words: &[String]) -> Result<NkvFlags, String> {
    let (mut flags, mut seen) = (NkvFlags::default(), Vec::new());
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--") else {
            flags.place = Some(word.clone()).filter(|word| word.contains(':'));
            continue;
        };
        if seen.contains(&name) {
            return Err(format!("Duplicate flag {name}"));
        }
        seen.push(name);
        let value = words.next_if(|word| !word.starts_with("--")).cloned();
        match name {
            "addr" => flags.addr = value,
            "dir" => flags.dir = value,
            "level" => flags.level = value,
            // The log is not written to files of its own.
            "logs" => {}
            "help" => flags.help = true,
            _ => return Err(format!("Unknown flag {name}")),
        }
    }
    Ok(flags)
}

/// kvik's name of a level.
fn level(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "error" | "1" | "warn" | "2" => Some("warning"),
        "info" | "3" => Some("notice"),
        "debug" | "4" => Some("verbose"),
        "trace" | "5" => Some("debug"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Result<NkvFlags, String> {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        nkv_flags(&words)
    }

    #[test]
    fn a_flag_takes_what_follows_it() {
        let expected = NkvFlags {
            addr: Some("/tmp/a.sock".into()),
            dir: Some("d".into()),
            ..NkvFlags::default()
        };
        assert_eq!(
            flags("--addr /tmp/a.sock --dir d --logs l --level"),
            Ok(expected)
        );
        assert_eq!(
            flags("127.0.0.1:4222").unwrap().place.as_deref(),
            Some("127.0.0.1:4222")
        );
        assert_eq!(flags("--foo"), Err("Unknown flag foo".into()));
        assert_eq!(flags("--addr=x"), Err("Unknown flag addr=x".into()));
        assert_eq!(flags("--dir a --dir b"), Err("Duplicate flag dir".into()));
    }

    #[test]
    fn levels_have_names_and_numbers() {
        assert_eq!(level("INFO"), Some("notice"));
        assert_eq!(level("5"), Some("debug"));
        assert_eq!(level("6"), None);
    }
}
