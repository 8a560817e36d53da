//! A client that sends bytes and expects bytes.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use kvik_server::Server;

const PATIENCE: Duration = Duration::from_secs(20);
/// A pause in which the server reads what was sent.
const MOMENT: Duration = Duration::from_micros(300);

pub(super) struct RawWire {
    stream: TcpStream,
}

impl RawWire {
    /// A client of the server's address with this index; 0 is RESP's.
    pub(super) fn open(server: &Server, door: usize) -> Self {
        let stream = TcpStream::connect(server.addresses()[door]).expect("a server that listens");
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket option");
        Self { stream }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        // What the server does not want any more it need not take.
        let _ = self.stream.write_all(bytes);
    }

    /// Sends byte by byte, so that the server sees every cut.
    pub(super) fn trickle(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(std::slice::from_ref(byte));
            std::thread::sleep(MOMENT);
        }
    }

    /// The next bytes, as many as are expected; fewer if the server closes.
    pub(super) fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut got = 0;
        while got < len {
            match self.stream.read(&mut bytes[got..]) {
                Ok(0) => break,
                Ok(count) => got += count,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("no answer: {error} after '{}'", bytes[..got].escape_ascii()),
            }
        }
        bytes.truncate(got);
        bytes
    }

    /// All lines up to the first that contains a word. Nothing may be read after it.
    pub(super) fn lines_up_to(&mut self, word: &str) -> String {
        let (mut text, mut lines) = (String::new(), BufReader::new(&self.stream));
        loop {
            let start = text.len();
            let read = lines.read_line(&mut text).expect("lines");
            assert!(read > 0, "the server has closed");
            if text[start..].contains(word) {
                return text;
            }
        }
    }

    /// All bytes until the server closes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.receive(64 << 20)
    }

    pub(super) fn finish(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("an open socket");
    }

    /// Whether nothing comes for a while, neither bytes nor an end.
    pub(super) fn is_quiet(&mut self, for_ms: u64) -> bool {
        self.stream
            .set_read_timeout(Some(Duration::from_millis(for_ms)))
            .expect("an option");
        let heard = self.stream.peek(&mut [0]);
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("an option");
        heard.is_err()
    }
}
