//! The payload of FUNCTION DUMP: libraries as they stand in a file, and a footer like DUMP's.

use crate::encode::{Compression, Encoder};
use crate::file::opcode::{FUNCTION_PRE_GA, FUNCTION2};
use crate::payload::{Payload, WrongEnvelope, seal};
use crate::reader::Reader;

/// The format in which functions came.
const VERSION: u16 = 10;

/// Why a payload of libraries is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LibrariesFault {
    /// Version or checksum are wrong.
    Envelope,
    /// Libraries as a release candidate of Redis 7.0 wrote them.
    PreRelease,
    /// Something else stands where a library should.
    NotAFunction,
    /// The bytes end, or are no string.
    Corrupt,
}

impl From<WrongEnvelope> for LibrariesFault {
    fn from(_: WrongEnvelope) -> Self {
        Self::Envelope
    }
}

/// Writes down the sources of libraries.
pub fn seal_libraries<'a>(
    sources: impl Iterator<Item = &'a [u8]>,
    compression: Compression,
) -> Vec<u8> {
    let mut payload = Vec::new();
    for source in sources {
        payload.push(FUNCTION2);
        Encoder::new(&mut payload, compression).string(source);
    }
    seal(&mut payload, VERSION);
    payload
}

/// Reads the sources of libraries that have been written down.
///
/// # Errors
/// If the payload is none of libraries.
pub fn open_libraries(bytes: &[u8]) -> Result<Vec<Vec<u8>>, LibrariesFault> {
    let mut body: Reader<'_> = Payload::open(bytes)?.into_body();
    let mut sources = Vec::new();
    while body.remaining() > 0 {
        match body.u8() {
            Ok(FUNCTION2) => {}
            Ok(FUNCTION_PRE_GA) => return Err(LibrariesFault::PreRelease),
            _ => return Err(LibrariesFault::NotAFunction),
        }
        let source = body.blob().map_err(|_| LibrariesFault::Corrupt)?;
        sources.push(source.into_owned());
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_back_and_damage_is_seen() {
        let sources = [b"#!lua name=a\n".as_slice(), &[b'x'; 500]];
        for compression in [Compression::Off, Compression::Lzf] {
            let payload = seal_libraries(sources.into_iter(), compression);
            assert_eq!(open_libraries(&payload).unwrap(), sources);
            for at in 0..payload.len() {
                let mut damaged = payload.clone();
                damaged[at] ^= 1;
                assert_eq!(open_libraries(&damaged), Err(LibrariesFault::Envelope));
            }
        }
        let mut other = vec![0, 1, b'x'];
        seal(&mut other, VERSION);
        assert_eq!(open_libraries(&other), Err(LibrariesFault::NotAFunction));
        let mut cut = vec![FUNCTION2, 9, b'x'];
        seal(&mut cut, VERSION);
        assert_eq!(open_libraries(&cut), Err(LibrariesFault::Corrupt));
    }
}
