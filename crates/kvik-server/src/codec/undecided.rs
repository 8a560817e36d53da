//! A door for all clients: the first bytes tell what one speaks.
//!
//! | first bytes | speech |
//! |---|---|
//! | NUL: the length of a frame | Neks |
//! | `{`, or a verb of nkv in capitals with three words behind it | nkv |
//! | a letter, in a line with a mere line feed or without a line end | Kiba |
//! | anything else | RESP; a line of text ends in carriage return and line feed |

use super::batch::BatchEnd;
use super::kiba::SILENCE_MS;
use super::{Codec, CodecSettings, KeyScope, Speech};

/// Longest first line that is waited for.
const LONGEST: usize = 64 << 10;

/// The codec of a connection that has said nothing yet.
#[derive(Debug)]
pub struct Undecided {
    database: u32,
    settings: CodecSettings,
}

/// The protocol by the first bytes.
#[derive(Debug)]
pub enum Decision {
    /// The codec from here on.
    Codec(Codec),
    /// Nothing yet.
    Wait(BatchEnd),
}

impl Undecided {
    /// For a connection whose keys are those of a database.
    pub fn new(database: u32, settings: CodecSettings) -> Self {
        Self { database, settings }
    }

    /// The keys of the door's clients.
    pub fn scope(&self) -> KeyScope {
        self.settings.scope
    }

    /// Decides by all that the client has sent; `is_silent` says that no more will follow soon.
    pub fn decide(&self, input: &[u8], is_silent: bool) -> Decision {
        match speech_of(input, is_silent) {
            Ok(speech) => Decision::Codec(speech.codec(self.database, &self.settings)),
            Err(end) => Decision::Wait(end),
        }
    }
}

fn speech_of(input: &[u8], is_silent: bool) -> Result<Speech, BatchEnd> {
    let Some(first) = input.first() else {
        return Err(BatchEnd::Incomplete(0));
    };
    match first {
        0 => return Ok(Speech::Neks),
        b'{' => return Ok(Speech::Nkv),
        b'a'..=b'z' | b'A'..=b'Z' | b'"' | b' ' | b'\t' | b'\r' | b'\n' => {}
        _ => return Ok(Speech::Resp),
    }
    if is_tree_request(input) {
        return Ok(Speech::Nkv);
    }
    match memchr::memchr(b'\n', input) {
        Some(end) if input[..end].ends_with(b"\r") => Ok(Speech::Resp),
        Some(_) => Ok(Speech::Kiba),
        None if is_silent => Ok(Speech::Kiba),
        None if input.len() > LONGEST => Ok(Speech::Resp),
        None => Err(BatchEnd::Silence(SILENCE_MS)),
    }
}

/// Whether three words follow a verb of nkv. With so many, no command of the others has these
/// names.
fn is_tree_request(input: &[u8]) -> bool {
    const VERBS: [&[u8]; 8] = [
        b"PUT", b"GET", b"DEL", b"SUB", b"UNSUB", b"CAS", b"TIE", b"LIST",
    ];
    let line = input.split(|byte| *byte == b'\n').next();
    let mut words = line
        .unwrap_or_default()
        .trim_ascii_end()
        .split(|byte| *byte == b' ');
    let verb = words.next().unwrap_or_default();
    VERBS.contains(&verb) && words.count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let speeches: [(&[u8], Result<Speech, BatchEnd>); 12] = [
            (b"", Err(BatchEnd::Incomplete(0))),
            (b"\0\0", Ok(Speech::Neks)),
            (b"*1\r\n$4", Ok(Speech::Resp)),
            (b"PING\r\n", Ok(Speech::Resp)),
            (b"GET / HTTP/1.1\r\nHost: x", Ok(Speech::Resp)),
            (b"PING\n", Ok(Speech::Kiba)),
            (b"PING", Err(BatchEnd::Silence(SILENCE_MS))),
            (b"\n", Ok(Speech::Kiba)),
            (b"{\"type\"", Ok(Speech::Nkv)),
            (b"PUT 1 c k dg==\n", Ok(Speech::Nkv)),
            (b"SUB 1 c k", Ok(Speech::Nkv)),
            (b"GET k\nGET 1 c k\n", Ok(Speech::Kiba)),
        ];
        for (input, speech) in speeches {
            assert_eq!(speech_of(input, false), speech, "{}", input.escape_ascii());
        }
        assert_eq!(speech_of(b"PING", true), Ok(Speech::Kiba));
    }
}
