//! A connection on which bytes are sent as they are, whole commands or not.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use kvik_resp::{ArgsBuf, ReplyDecoder, Value, encode_command};
use socket2::Socket;

/// A connection to a server over a socket.
pub(crate) struct Wire {
    pub(crate) stream: Socket,
    decoder: ReplyDecoder,
    received: Vec<u8>,
}

impl Wire {
    pub(crate) fn open(port: u16) -> Self {
        Self::open_at(("127.0.0.1", port))
    }

    pub(crate) fn open_at(address: (&str, u16)) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        Self::over(stream.into())
    }

    pub(crate) fn open_unix(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).expect("a connection").into())
    }

    fn over(stream: Socket) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket option");
        Self {
            stream,
            decoder: ReplyDecoder::new(),
            received: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a server that reads");
    }

    /// The next reply, or `None` at the end of the stream.
    pub(crate) fn reply(&mut self) -> Option<Value> {
        loop {
            if let Some((value, len)) = self.decoder.decode(&self.received).expect("a reply") {
                self.received.drain(..len);
                return Some(value);
            }
            let mut chunk = [0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply in time: {error}"),
            }
        }
    }

    /// The next reply, if it comes before the stream's read timeout.
    pub(crate) fn try_reply(&mut self) -> Option<Value> {
        let mut chunk = [0; 4096];
        loop {
            if let Some((value, len)) = self.decoder.decode(&self.received).expect("a reply") {
                self.received.drain(..len);
                return Some(value);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
            }
        }
    }

    /// The reply to a command of plain words.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply().unwrap_or_else(|| panic!("no reply to {line}"))
    }

    /// The number by which others know this connection.
    pub(crate) fn id(&mut self) -> i64 {
        self.ask("CLIENT ID").as_int().expect("a number")
    }
}

/// A command as it is sent.
pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_command(words.iter().collect::<ArgsBuf>().as_args(), &mut bytes);
    bytes
}
