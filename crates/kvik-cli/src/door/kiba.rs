//! The client of Kiba's lines, whose replies have no end.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use super::place::{DoorStream, Place};
use super::{Dialogue, Flow, quoted};

/// A reply is whole when nothing follows it for so long.
const PAUSE: Duration = Duration::from_millis(5);

/// The commands of the door.
pub(crate) const COMMANDS: [&str; 24] = [
    "PING",
    "GET",
    "SET",
    "INCR",
    "DECR",
    "INCRBY",
    "DECRBY",
    "LPUSH",
    "RPUSH",
    "LPOP",
    "RPOP",
    "SADD",
    "SREM",
    "SISMEMBER",
    "SMEMBERS",
    "HSET",
    "HGET",
    "HDEL",
    "DEL",
    "EXISTS",
    "EXPIRE",
    "KEYS",
    "AUTH",
    "QUIT",
];

/// A connection.
pub(crate) struct KibaLink {
    stream: DoorStream,
}

impl KibaLink {
    pub(crate) fn open(place: &Place) -> io::Result<Self> {
        let mut link = Self {
            stream: place.connect()?,
        };
        if let Some(password) = &place.password {
            let reply = link.ask(&format!("AUTH {}", quoted(password.as_bytes())))?;
            if reply != b"OK" {
                return Err(io::Error::other(String::from_utf8_lossy(&reply)));
            }
        }
        Ok(link)
    }

    /// Sends a line; the reply, empty when the server has closed.
    pub(crate) fn ask(&mut self, line: &str) -> io::Result<Vec<u8>> {
        self.stream.write_all(format!("{line}\n").as_bytes())?;
        let mut reply = vec![0; 64 << 10];
        self.stream.set_read_timeout(None)?;
        let mut len = self.stream.read(&mut reply)?;
        self.stream.set_read_timeout(Some(PAUSE))?;
        // A long reply comes in several parts.
        while len > 0 {
            if len == reply.len() {
                reply.resize(2 * len, 0);
            }
            match self.stream.read(&mut reply[len..]) {
                Ok(0) => break,
                Ok(more) => len += more,
                Err(error) if is_pause(&error) => break,
                Err(error) => return Err(error),
            }
        }
        reply.truncate(len);
        Ok(reply)
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Dialogue for KibaLink {
    fn words(&self) -> &'static [&'static str] {
        &COMMANDS
    }

    fn say(&mut self, line: &str, out: &mut dyn Write) -> io::Result<Flow> {
        if line.trim().is_empty() {
            return Ok(Flow::Go);
        }
        let mut reply = self.ask(line)?;
        if reply.is_empty() {
            return Ok(Flow::End);
        }
        reply.retain(|byte| *byte != 0);
        out.write_all(&reply)?;
        out.write_all(b"\n")?;
        Ok(Flow::Go)
    }
}
