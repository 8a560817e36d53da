//! `NeksClient host port --get KEY | --set KEY VALUE | --test`.

use std::process::ExitCode;
use std::thread;

use super::fail;
use crate::door::neks::{FrameError, NeksLink, Requests};
use crate::door::{Place, Scheme};

// The shape of its load.
const CLIENTS: usize = 50;
const FRAMES: usize = 200;
const KEYS: usize = 50;

/// Runs the client.
pub(super) fn run(words: &[String]) -> ExitCode {
    let [host, port, command @ ..] = words else {
        return usage();
    };
    let Ok(port) = port.parse::<u16>() else {
        return fail(&format_args!("'{port}' is no port"));
    };
    let place = Place::tcp(Scheme::Neks, format!("{host}:{port}"));
    let mut link = match NeksLink::open(&place) {
        Ok(link) => link,
        Err(error) => return fail(&error),
    };
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    match command[..] {
        ["--set", key, value] => {
            match link.ask(&Requests::default().set(&latin(key), &latin(value)).frame()) {
                Ok(elements) if elements.is_empty() => println!("Set successful"),
                Ok(_) => println!("Error setting value: {}", FrameError::Unexpected),
                Err(error) => println!("Error setting value: {error}"),
            }
        }
        ["--get", key] => match link.ask(&Requests::default().get(&latin(key)).frame()) {
            Ok(elements) => println!("Response received: [{}]", shown(&elements)),
            Err(error) => println!("Error getting value: {error}"),
        },
        ["--test"] => return test(&place),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    println!("Usage: NeksClient HOST PORT --get KEY | --set KEY VALUE | --test");
    println!("Reads or writes one key, or runs a load of a million requests");
    ExitCode::SUCCESS
}

/// Characters as the original sends them, a byte each.
fn latin(text: &str) -> Vec<u8> {
    text.chars()
        .map(|character| u32::from(character) as u8)
        .collect()
}

fn shown(elements: &[Option<Vec<u8>>]) -> String {
    let one = |element: &Option<Vec<u8>>| match element {
        None => "NotFound".to_owned(),
        Some(value) => format!("Found {}", literal(value)),
    };
    elements.iter().map(one).collect::<Vec<_>>().join(",")
}

/// A string as Haskell writes it. Behind a number stands `\&` if a digit follows.
fn literal(bytes: &[u8]) -> String {
    const NAMES: [&str; 32] = [
        "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "a", "b", "t", "n", "v", "f", "r", "SO",
        "SI", "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC",
        "FS", "GS", "RS", "US",
    ];
    let mut text = String::from("\"");
    let mut former = 0;
    for &byte in bytes {
        let is_cut = former > 0x7f && byte.is_ascii_digit() || former == 14 && byte == b'H';
        if is_cut {
            text.push_str("\\&");
        }
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            0..=31 => text.push_str(&format!("\\{}", NAMES[usize::from(byte)])),
            127 => text.push_str("\\DEL"),
            128.. => text.push_str(&format!("\\{byte}")),
            _ => text.push(char::from(byte)),
        }
        former = byte;
    }
    text.push('"');
    text
}

/// A load of frames with as many sets as gets of the same keys.
fn test(place: &Place) -> ExitCode {
    println!(
        "Spawning {CLIENTS} threads x {FRAMES} requests x {} transactions",
        2 * KEYS
    );
    let key = |number: usize| format!("{:010x}", number * 0x9e37_79b9 % 0xff_ffff_ffff);
    let mut requests = Requests::default();
    for number in 0..KEYS {
        requests.set(key(number).as_bytes(), key(number + KEYS).as_bytes());
    }
    for number in 0..KEYS {
        requests.get(key(number).as_bytes());
    }
    let frame = &requests.frame();
    let expected: Vec<_> = (0..KEYS)
        .map(|number| Some(key(number + KEYS).into_bytes()))
        .collect();
    let is_right = thread::scope(|scope| {
        let client = || -> Result<bool, String> {
            let mut link = NeksLink::open(place).map_err(|error| error.to_string())?;
            for _ in 0..FRAMES {
                if link.ask(frame).map_err(|error| error.to_string())? != expected {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let ends = clients
            .into_iter()
            .map(|client| client.join().unwrap_or(Ok(false)));
        ends.collect::<Vec<_>>()
    });
    for end in &is_right {
        match end {
            Ok(true) => {}
            Ok(false) => eprintln!("Bad response"),
            Err(error) => eprintln!("{error}"),
        }
    }
    if is_right.iter().all(|end| *end == Ok(true)) {
        println!("Test complete");
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literals_of_haskell() {
        assert_eq!(literal(b"goodbye"), "\"goodbye\"");
        assert_eq!(literal(b"\xff\n\"\\"), "\"\\255\\n\\\"\\\\\"");
        assert_eq!(literal(b"\xff1\x0eH\x7f"), "\"\\255\\&1\\SO\\&H\\DEL\"");
        assert_eq!(shown(&[None, Some(b"a".to_vec())]), "NotFound,Found \"a\"");
        assert_eq!(latin("é"), [0xe9]);
    }
}
