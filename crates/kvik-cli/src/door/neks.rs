//! The client of Neks' frames.

use std::io::{self, Read, Write};

use super::place::{DoorStream, Place};
use super::{Dialogue, Flow, words};

/// Longest reply that is read, in bytes.
const LONGEST: u64 = 1 << 30;

/// A connection.
pub(crate) struct NeksLink {
    stream: DoorStream,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("Network stream ended while reading length")]
    NoLength,
    #[error("Connection dropped during message read")]
    Dropped,
    #[error("Message too long")]
    TooLong,
    #[error("Response decode failure")]
    Undecodable,
    #[error("Incorrect response type")]
    Unexpected,
}

/// A frame of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    count: u32,
    body: Vec<u8>,
}

impl Requests {
    pub(crate) fn get(&mut self, key: &[u8]) -> &mut Self {
        self.push(&[0x92, 0], &[key])
    }

    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.push(&[0x93, 1], &[key, value])
    }

    pub(crate) fn delete(&mut self, key: &[u8]) -> &mut Self {
        self.push(&[0x92, 2], &[key])
    }

    fn push(&mut self, head: &[u8], texts: &[&[u8]]) -> &mut Self {
        self.count += 1;
        self.body.extend_from_slice(head);
        for text in texts {
            match u8::try_from(text.len()) {
                Ok(len) => self.body.extend_from_slice(&[0xc4, len]),
                Err(_) => {
                    self.body.push(0xc6);
                    self.body
                        .extend_from_slice(&(text.len() as u32).to_be_bytes());
                }
            }
            self.body.extend_from_slice(text);
        }
        self
    }

    /// Its bytes.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let len = (self.body.len() + 5) as u64;
        let head = [&len.to_be_bytes()[..], &[0xdd], &self.count.to_be_bytes()].concat();
        [head, self.body.clone()].concat()
    }
}

impl NeksLink {
    pub(crate) fn open(place: &Place) -> io::Result<Self> {
        Ok(Self {
            stream: place.connect()?,
        })
    }

    /// Sends a frame; the values that its gets have found.
    pub(crate) fn ask(&mut self, frame: &[u8]) -> Result<Vec<Option<Vec<u8>>>, FrameError> {
        self.stream
            .write_all(frame)
            .map_err(|_| FrameError::NoLength)?;
        let mut len = [0; 8];
        self.stream
            .read_exact(&mut len)
            .map_err(|_| FrameError::NoLength)?;
        let len = u64::from_be_bytes(len);
        if len > LONGEST {
            return Err(FrameError::TooLong);
        }
        let mut payload = Vec::new();
        let mut limited = (&mut self.stream).take(len);
        match limited.read_to_end(&mut payload) {
            Ok(got) if got as u64 == len => {}
            _ => return Err(FrameError::Dropped),
        }
        decode(&payload).ok_or(FrameError::Undecodable)
    }
}

/// The elements of a reply.
fn decode(payload: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut reader = Reply(payload);
    let count = match reader.byte()? {
        short @ 0x90..=0x9f => usize::from(short & 0x0f),
        0xdc => reader.number(2)?,
        0xdd => reader.number(4)?,
        _ => return None,
    };
    let mut elements = Vec::new();
    for _ in 0..count {
        elements.push(match (reader.byte()?, reader.byte()?) {
            (0x91, 0xfe) => None,
            (0x92, 0xff) => {
                let len = match reader.byte()? {
                    0xc4 => reader.number(1)?,
                    0xc5 => reader.number(2)?,
                    0xc6 => reader.number(4)?,
                    _ => return None,
                };
                Some(reader.take(len)?.to_vec())
            }
            _ => return None,
        });
    }
    Some(elements)
}

struct Reply<'a>(&'a [u8]);

impl<'a> Reply<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte)),
        )
    }
}

impl Dialogue for NeksLink {
    fn words(&self) -> &'static [&'static str] {
        &["GET", "SET", "DELETE", "HELP", "QUIT"]
    }

    fn say(&mut self, line: &str, out: &mut dyn Write) -> io::Result<Flow> {
        let words = match words(line) {
            Ok(words) => words,
            Err(error) => {
                writeln!(out, "{error}")?;
                return Ok(Flow::Go);
            }
        };
        let Some((verb, operands)) = words.split_first() else {
            return Ok(Flow::Go);
        };
        let verb = String::from_utf8_lossy(verb).to_ascii_uppercase();
        let mut requests = Requests::default();
        match (verb.as_str(), operands) {
            ("QUIT" | "EXIT", []) => return Ok(Flow::End),
            ("GET", [key]) => requests.get(key),
            ("SET", [key, value]) => requests.set(key, value),
            ("DELETE" | "DEL", [key]) => requests.delete(key),
            _ => {
                writeln!(out, "GET key | SET key value | DELETE key | QUIT")?;
                return Ok(Flow::Go);
            }
        };
        let elements = self.ask(&requests.frame()).map_err(io::Error::other)?;
        match elements.first() {
            None => writeln!(out, "OK")?,
            Some(None) => writeln!(out, "(nil)")?,
            Some(Some(value)) => writeln!(out, "\"{}\"", value.escape_ascii())?,
        }
        Ok(Flow::Go)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_replies_have_their_bytes() {
        let mut requests = Requests::default();
        requests.set(b"a", b"1").get(b"a").delete(b"a");
        let expected = b"\0\0\0\0\0\0\0\x17\xdd\0\0\0\x03\x93\x01\xc4\x01a\xc4\x011\x92\0\xc4\x01a\x92\x02\xc4\x01a";
        assert_eq!(requests.frame(), [&expected[..]].concat());
        let elements = decode(b"\x92\x91\xfe\x92\xff\xc4\x02OK").unwrap();
        assert_eq!(elements, [None, Some(b"OK".to_vec())]);
        assert!(decode(b"\x91\x92\xff\xa2OK").is_none());
        assert!(decode(b"\x91").is_none());
    }
}
