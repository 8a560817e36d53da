//! `kevy [--config PATH] [--bind ADDRESS] [--port PORT] [--threads N] [--dir PATH] [--no-aof]
//! [--cluster]`: its command line in kvik's words.
//!
//! As there, a value that makes no sense counts as none and an unknown flag is passed over, both
//! with a line on standard error. Directives of kvik are taken, too.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::process::ExitCode;

use kvik_server::config::Key;

const USAGE: &str = "Usage: kevy [OPTIONS]

  --config PATH   its kevy.toml [default: kevy.toml in $KEVY_DIR, here, in /etc/kevy]
  --bind ADDRESS  address to listen on [default: 127.0.0.1]
  --port PORT     port to listen on [default: 6004]
  --threads N     I/O threads [default: one for each processor]
  --dir PATH      directory of the data [default: .]
  --no-aof        keep no log
  --cluster       a port for each thread as well, for clients of a cluster
  -h, --help      print this help
  -V, --version   print the version

Further directives are those of kvik: kvik server --help. Variables: KEVY_BIND, KEVY_PORT,
KEVY_THREADS, KEVY_DIR, KEVY_AOF, KEVY_CONFIG, KEVY_CLUSTER, KEVY_IO_URING.";

/// Runs the server, or says what was asked for.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let words = arguments.get(1..).unwrap_or_default();
    let asks = |short: &str, long: &str| words.iter().any(|word| word == short || word == long);
    if asks("-h", "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if asks("-V", "--version") {
        println!("kevy {} (kvik)", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let line = translate(words);
    for note in &line.notes {
        eprintln!("kevy: {note}");
    }
    if let Some(dir) = &line.dir
        && let Err(error) = std::fs::create_dir_all(dir)
    {
        return super::fail(&format_args!("cannot create {}: {error}", dir.display()));
    }
    kvik_server::run(line.words)
}

/// A command line in kvik's words.
#[derive(Debug, Default)]
struct Translated {
    words: Vec<OsString>,
    dir: Option<OsString>,
    notes: Vec<String>,
}

fn translate(words: &[OsString]) -> Translated {
    let mut line = Translated::default();
    let (mut config, mut words) = (None, words.iter().peekable());
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let (name, joined) = match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
            None => (text.into_owned(), None),
        };
        match name.as_str() {
            "--no-aof" => line.words.push(name.into()),
            "--cluster" => line
                .words
                .extend(["--cluster-enabled", "yes"].map(OsString::from)),
            "--config" | "--bind" | "--port" | "--threads" | "--dir" => {
                let Some(value) = joined.or_else(|| words.next().cloned()) else {
                    line.notes.push(format!("{name} lacks its value"));
                    continue;
                };
                if !makes_sense(&name, &value) {
                    let value = value.display();
                    line.notes
                        .push(format!("{name} {value} makes no sense and is passed over"));
                    continue;
                }
                match name.as_str() {
                    "--config" => config = Some(value),
                    "--dir" => {
                        line.dir = Some(value.clone());
                        line.words.extend([name.into(), value]);
                    }
                    _ => line.words.extend([name.into(), value]),
                }
            }
            _ if is_directive(&name) => {
                line.words.push(word.clone());
                while let Some(value) = words.next_if(|word| !is_flag(word)) {
                    line.words.push(value.clone());
                }
            }
            _ => line
                .notes
                .push(format!("{name} is unknown and passed over")),
        }
    }
    let preset = [Some("--kevy".into()), config].into_iter().flatten();
    line.words.splice(0..0, preset);
    line
}

fn makes_sense(name: &str, value: &OsStr) -> bool {
    let Some(text) = value.to_str() else {
        return matches!(name, "--config" | "--dir");
    };
    match name {
        "--bind" => text.parse::<IpAddr>().is_ok(),
        "--port" => text.parse::<u16>().is_ok(),
        "--threads" => text.parse::<u32>().is_ok_and(|count| count > 0),
        _ => !text.is_empty(),
    }
}

fn is_flag(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"--")
}

fn is_directive(name: &str) -> bool {
    let name = name.strip_prefix("--");
    name.is_some_and(|name| Key::named(name.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> (String, usize) {
        let words: Vec<_> = text.split_whitespace().map(OsString::from).collect();
        let line = translate(&words);
        let words: Vec<_> = line
            .words
            .iter()
            .map(|word| word.to_str().unwrap())
            .collect();
        (words.join(" "), line.notes.len())
    }

    #[test]
    fn flags_become_directives() {
        for (words, expected, notes) in [
            ("", "--kevy", 0),
            (
                "--port 7 --no-aof --config=a.toml",
                "--kevy a.toml --port 7 --no-aof",
                0,
            ),
            (
                "--cluster --threads=2",
                "--kevy --cluster-enabled yes --threads 2",
                0,
            ),
            ("--port many --threads 0 --bind nowhere", "--kevy", 3),
            ("--turbo --dir d stray --port", "--kevy --dir d", 3),
            (
                "--save 60 1 --maxmemory 1gb",
                "--kevy --save 60 1 --maxmemory 1gb",
                0,
            ),
        ] {
            assert_eq!(translated(words), (expected.to_owned(), notes), "{words}");
        }
    }
}
