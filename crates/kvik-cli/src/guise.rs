//! The binary under the names of other programs: NeksServer, NeksClient, kiba, kiba-cli,
//! nkv-server, nkv-client, kvns, kevy, and those that check the files of Redis and Valkey. It takes
//! their command lines and prints their lines.
//!
//! A server prints what its users' scripts look for; the log of kvik goes to standard error. The
//! port of RESP is open as ever, unless another server has it.

mod flags;
mod kevy;
mod neks;
mod server;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::check::named;
use crate::door::kiba::{self, KibaLink};
use crate::door::nkv::NkvLink;
use crate::door::{Dialogue, Flow, Place, Scheme, converse};
use flags::Flags;

/// Runs the program that the first argument names, if it is one of those.
pub(crate) fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let name = Path::new(arguments.first()?).file_name()?.to_str()?;
    let words = || -> Vec<String> {
        let words = arguments.iter().skip(1);
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    };
    Some(match name {
        "NeksServer" => server::neks(&without_runtime_options(words())),
        "NeksClient" => neks::run(&without_runtime_options(words())),
        "kiba" => server::kiba(&words()),
        "kiba-cli" => kiba_client(&words()),
        "nkv-server" => server::nkv(&words()),
        "nkv-client" => nkv_client(&words()),
        // It has no command line of its own, so this one is kvik's.
        "kvns" => server::kvns(arguments),
        "kevy" => kevy::run(arguments),
        "redis-check-aof" | "valkey-check-aof" => named::check_aof(name, &words()),
        "redis-check-rdb" | "valkey-check-rdb" => named::check_rdb(name, &words()),
        _ => return None,
    })
}

/// Drops the words between `+RTS` and `-RTS`, which are for another runtime.
fn without_runtime_options(words: Vec<String>) -> Vec<String> {
    let mut is_inside = false;
    let mut keep = |word: &String| match word.as_str() {
        "+RTS" => {
            is_inside = true;
            false
        }
        "-RTS" if is_inside => {
            is_inside = false;
            false
        }
        _ => !is_inside,
    };
    words.into_iter().filter(|word| keep(word)).collect()
}

/// A failed end, with its reason.
fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("Error: {error}");
    ExitCode::FAILURE
}

fn finish(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

const LOGO: &str = r"
   _  __ ___ ____    _
  | |/ /|_ _| __ )  / \
  | ' /  | ||  _ \ / _ \
  | . \  | || |_) / ___ \
  |_|\_\|___|____/_/   \_\
      served by kvik
";

/// Writes what a program prints before its first question.
fn greet(text: &std::fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

const KIBA_USAGE: &str = "Usage: kiba-cli [HOST:PORT]\n\nWithout an address: 127.0.0.1:6464";

fn kiba_client(words: &[String]) -> ExitCode {
    let address = words.first().map_or("127.0.0.1:6464", String::as_str);
    if address == "--help" {
        return finish(greet(&format_args!("{KIBA_USAGE}")));
    }
    finish(kiba_session(address))
}

fn kiba_session(address: &str) -> io::Result<()> {
    greet(&format_args!(
        "{LOGO}\n\n\nKiba CLI 0.1 (unstable)\n===========================\n\
         ** Attempting to connect to: {address}"
    ))?;
    let link = KibaLink::open(&Place::tcp(Scheme::Kiba, address))?;
    greet(&format_args!(
        "** Successfully established outbound TCP connection with: {address}"
    ))?;
    converse(&mut KibaGuise(link), "kiba".to_owned())
}

/// A conversation with the lines of kiba-cli.
struct KibaGuise(KibaLink);

impl Dialogue for KibaGuise {
    fn words(&self) -> &'static [&'static str] {
        &kiba::COMMANDS
    }

    fn asks_for_line(&self) -> &'static [u8] {
        b"kiba> "
    }

    fn say(&mut self, line: &str, out: &mut dyn Write) -> io::Result<Flow> {
        let reply = self.0.ask(line)?;
        out.write_all(&reply)?;
        out.write_all(b"\n\n")?;
        if line.trim().eq_ignore_ascii_case("quit") {
            writeln!(out, "** Goodbye!")?;
            return Ok(Flow::End);
        }
        Ok(Flow::Go)
    }
}

const NKV_USAGE: &str = "Usage: nkv-client [--addr SOCKET] [--help] [HOST:PORT]";

fn nkv_client(words: &[String]) -> ExitCode {
    let flags = match Flags::read(words, &["addr", "help"]) {
        Ok(flags) => flags,
        Err(error) => return finish(greet(&format_args!("error: {error}\n{NKV_USAGE}"))),
    };
    if flags.has("help") {
        return finish(greet(&format_args!("{NKV_USAGE}")));
    }
    let place = match flags.value("addr").or(flags.place.as_deref()) {
        None => Place::unix(Scheme::Nkv, "/tmp/nkv/nkv.sock"),
        Some(address) => place_of(address),
    };
    let told = greet(&format_args!(
        "Please enter the command words separated by whitespace, finish with a character return. \
         Enter HELP for help:"
    ));
    let told = told.and_then(|()| converse(&mut NkvLink::in_guise(&place), place.to_string()));
    match told {
        // The original ends so when nobody serves it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("Error: {error}");
            ExitCode::from(101)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// A host with a port, or the path of a socket.
fn place_of(address: &str) -> Place {
    match address.contains('/') || !address.contains(':') {
        true => Place::unix(Scheme::Nkv, address),
        false => Place::tcp(Scheme::Nkv, address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn runtime_options_are_left_out() {
        let kept = |text| without_runtime_options(words(text));
        assert_eq!(
            kept("+RTS -N2 -RTS --no-persistence"),
            words("--no-persistence")
        );
        assert_eq!(kept("host 1 +RTS -N"), words("host 1"));
        assert_eq!(kept("a -RTS b"), words("a -RTS b"));
    }

    #[test]
    fn addresses_and_paths_are_told_apart() {
        assert_eq!(
            place_of("localhost:4222"),
            Place::tcp(Scheme::Nkv, "localhost:4222")
        );
        assert_eq!(
            place_of("/tmp/x.sock"),
            Place::unix(Scheme::Nkv, "/tmp/x.sock")
        );
    }
}
