//! The command lines of the servers.

use std::ffi::OsString;
use std::process::ExitCode;

use super::flags::Flags;
use super::{LOGO, fail};

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
        [flag, ..] if flag == "--help" => {
            println!("Usage: kiba [KIBA.CONF]\n\nWithout a file: 127.0.0.1:6464");
            ExitCode::SUCCESS
        }
        [] => start_kiba(&["--kiba", "--yield-port", "yes"]),
        [path, ..] => start_kiba(&["--kiba", path, "--yield-port", "yes"]),
    }
}

fn start_kiba(args: &[&str]) -> ExitCode {
    println!("{LOGO}\nKiba Server 0.1 (unstable)\n===========================");
    start(args)
}

/// `kvns`, which is configured by its environment. Its log goes to standard output, as kvik's does.
pub(super) fn kvns(arguments: &[OsString]) -> ExitCode {
    let preset = std::iter::once(OsString::from("--kvns"));
    let words = arguments.iter().skip(1).cloned();
    kvik_server::run(preset.chain(words))
}

const NKV_USAGE: &str = "Usage: nkv-server [--addr SOCKET] [--dir DIR] [--logs DIR] [--level LEVEL] \
                         [--help]\n       nkv-server HOST:PORT";

/// `nkv-server`, of all eras. Its log goes to standard output, as that of the original does.
pub(super) fn nkv(words: &[String]) -> ExitCode {
    // The log is not written to files of its own.
    let flags = match Flags::read(words, &["addr", "dir", "logs", "level", "help"]) {
        Ok(flags) => flags,
        Err(error) => {
            println!("error: {error}\n{NKV_USAGE}");
            return ExitCode::SUCCESS;
        }
    };
    if flags.has("help") {
        println!("{NKV_USAGE}");
        return ExitCode::SUCCESS;
    }
    let level = match flags.value("level").map(level) {
        None => "notice",
        Some(Some(level)) => level,
        Some(None) => {
            println!("error parsing log level: it is error, warn, info, debug, trace or 1 to 5");
            println!("{NKV_USAGE}");
            return ExitCode::SUCCESS;
        }
    };
    let mut args = vec!["--nkv", "--yield-port", "yes", "--loglevel", level];
    let address = match (&flags.place, flags.value("addr")) {
        (Some(place), _) => Some(format!("nkv://{place}")),
        (None, Some(path)) => Some(format!("nkv+unix://{path}")),
        (None, None) => None,
    };
    if let Some(address) = &address {
        args.extend(["--listen", address]);
    }
    if let Some(dir) = flags.value("dir") {
        if let Err(error) = std::fs::create_dir_all(dir) {
            return fail(&format_args!("cannot create {dir}: {error}"));
        }
        args.extend(["--dir", dir]);
    }
    kvik_server::run(args.iter().map(OsString::from).collect::<Vec<_>>())
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

    #[test]
    fn levels_have_names_and_numbers() {
        assert_eq!(level("INFO"), Some("notice"));
        assert_eq!(level("5"), Some("debug"));
        assert_eq!(level("6"), None);
    }
}
