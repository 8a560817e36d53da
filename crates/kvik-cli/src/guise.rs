//! The binary under the names of other programs: NeksServer, NeksClient, kiba, kiba-cli,
//! nkv-server, nkv-client, kvns, kevy. It takes their command lines and prints their lines.
//!
//! A server prints what its users' scripts look for; the log of kvik goes to standard error. The
//! port of RESP is open as ever, unless another server has it.

mod kevy;
mod neks;
mod server;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::door::kiba::KibaLink;
use crate::door::nkv::NkvLink;
use crate::door::{Dialogue, Flow, Place, Scheme, read_lines};

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

fn kiba_client(words: &[String]) -> ExitCode {
    let address = words.first().map_or("127.0.0.1:6464", String::as_str);
    println!("{LOGO}\n\n\nKiba CLI 0.1 (unstable)\n===========================");
    println!("** Attempting to connect to: {address}");
    let mut link = match KibaLink::open(&Place::tcp(Scheme::Kiba, address)) {
        Ok(link) => link,
        Err(error) => {
            eprintln!("Error: {error:?}");
            return ExitCode::FAILURE;
        }
    };
    println!("** Successfully established outbound TCP connection with: {address}");
    finish(kiba_lines(&mut link))
}

fn kiba_lines(link: &mut KibaLink) -> io::Result<()> {
    let mut out = io::stdout();
    for line in prompted("kiba> ") {
        let line = line?;
        let reply = link.ask(&line)?;
        out.write_all(&reply)?;
        out.write_all(b"\n\n")?;
        if line.trim().eq_ignore_ascii_case("quit") {
            return writeln!(out, "** Goodbye!");
        }
    }
    Ok(())
}

/// The lines of standard input, each asked for.
fn prompted(prompt: &'static str) -> impl Iterator<Item = io::Result<String>> {
    let mut lines = io::stdin().lines();
    std::iter::from_fn(move || {
        print!("{prompt}");
        io::stdout().flush().ok()?;
        lines.next()
    })
}

const NKV_USAGE: &str = "Usage: nkv-client [--addr SOCKET] [HOST:PORT]";

fn nkv_client(words: &[String]) -> ExitCode {
    let place = match words {
        [] => Place::unix(Scheme::Nkv, "/tmp/nkv/nkv.sock"),
        [flag, ..] if flag == "--help" => {
            println!("{NKV_USAGE}");
            return ExitCode::SUCCESS;
        }
        [flag, path, ..] if flag == "--addr" => place_of(path),
        [address, ..] => place_of(address),
    };
    println!(
        "Please enter the command words separated by whitespace, finish with a character return. \
         Enter HELP for help:"
    );
    let mut link = NkvLink::in_guise(&place);
    let result = match io::stdin().is_terminal() {
        true => nkv_lines(&mut link),
        false => read_lines(&mut link, &mut io::stdin().lock(), &mut io::stdout()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The original ends so when nobody serves it.
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::from(101)
        }
    }
}

/// A host with a port, or the path of a socket.
fn place_of(address: &str) -> Place {
    match address.contains('/') || !address.contains(':') {
        true => Place::unix(Scheme::Nkv, address),
        false => Place::tcp(Scheme::Nkv, address),
    }
}

fn nkv_lines(link: &mut NkvLink) -> io::Result<()> {
    for line in io::stdin().lines() {
        if link.say(&line?, &mut io::stdout())? == Flow::End {
            break;
        }
    }
    Ok(())
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
