//! The first line of a script or a library: `#!lua name=mylib flags=no-writes`.

use kvik_resp::{ArgsBuf, split_line};

use super::flags::ScriptFlags;
use crate::error::Error;

/// The first line of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the line, without its end.
    pub(super) length: usize,
    pub(super) flags: ScriptFlags,
}

/// The first line of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LibraryHeader {
    pub(super) length: usize,
    pub(super) engine: Vec<u8>,
    pub(super) name: Vec<u8>,
}

/// Reads the first line of a script; one without is not wrong.
pub(super) fn of_script(source: &[u8]) -> Result<Header, Error> {
    if !source.starts_with(b"#!") {
        return Ok(Header {
            length: 0,
            flags: ScriptFlags::SILENT,
        });
    }
    let length = memchr::memchr(b'\n', source).ok_or(Error::text("Invalid script shebang"))?;
    let words = words(&source[..length]).ok_or(Error::text("Invalid engine in script shebang"))?;
    let words = words.as_args();
    if &words[0] != b"#!lua" {
        return Err(Error::quoting(&[
            b"Unexpected engine in script shebang: ",
            &words[0],
        ]));
    }
    let mut flags = ScriptFlags::empty();
    for word in words.tail(1).iter() {
        let Some(names) = word.strip_prefix(b"flags=") else {
            return Err(Error::quoting(&[b"Unknown lua shebang option: ", word]));
        };
        for name in names
            .split(|byte| *byte == b',')
            .filter(|_| !names.is_empty())
        {
            flags |= ScriptFlags::named(name)
                .ok_or_else(|| Error::quoting(&[b"Unexpected flag in script shebang: ", name]))?;
        }
    }
    Ok(Header { length, flags })
}

/// Reads the first line of a library.
pub(super) fn of_library(source: &[u8]) -> Result<LibraryHeader, Error> {
    const INVALID: Error = Error::text("Invalid library metadata");
    if !source.starts_with(b"#!") {
        return Err(Error::text("Missing library metadata"));
    }
    let length = memchr::memchr(b'\n', source).ok_or(INVALID)?;
    let words = words(&source[..length]).ok_or(INVALID)?;
    let words = words.as_args();
    let mut name = None;
    for word in words.tail(1).iter() {
        let is_name = word.len() >= 5 && word[..5].eq_ignore_ascii_case(b"name=");
        if !is_name {
            return Err(Error::quoting(&[b"Invalid metadata value given: ", word]));
        }
        if name.replace(word[5..].to_vec()).is_some() {
            return Err(Error::text(
                "Invalid metadata value, name argument was given multiple times",
            ));
        }
    }
    Ok(LibraryHeader {
        length,
        engine: words[0][2..].to_vec(),
        name: name.ok_or(Error::text("Library name was not given"))?,
    })
}

fn words(line: &[u8]) -> Option<ArgsBuf> {
    let mut words = ArgsBuf::default();
    split_line(line, &mut words).ok()?;
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_declares_flags_in_its_first_line() {
        let header = of_script(b"#!lua flags=no-writes,allow-oom\nreturn 1").unwrap();
        assert_eq!(
            header.flags,
            ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM
        );
        assert_eq!(header.length, 31);
        assert_eq!(of_script(b"return 1").unwrap().flags, ScriptFlags::SILENT);
        assert_eq!(
            of_script(b"#!lua flags=\nreturn 1").unwrap().flags,
            ScriptFlags::empty()
        );
    }

    #[test]
    fn wrong_first_lines_are_refused_with_the_reason() {
        let error = |source: &[u8]| of_script(source).unwrap_err().to_string();
        assert_eq!(error(b"#!lua"), "ERR Invalid script shebang");
        assert_eq!(
            error(b"#!py\n"),
            "ERR Unexpected engine in script shebang: #!py"
        );
        assert_eq!(error(b"#!lua x=y\n"), "ERR Unknown lua shebang option: x=y");
        assert_eq!(
            error(b"#!lua flags=no-writes,no-such\n"),
            "ERR Unexpected flag in script shebang: no-such"
        );
        let error = |source: &[u8]| of_library(source).unwrap_err().to_string();
        assert_eq!(error(b"return"), "ERR Missing library metadata");
        assert_eq!(error(b"#!lua\n"), "ERR Library name was not given");
        assert_eq!(
            error(b"#!lua name=a name=b\n"),
            "ERR Invalid metadata value, name argument was given multiple times"
        );
    }
}
