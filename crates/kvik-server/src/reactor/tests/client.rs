//! A server inside the test, and a client of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use kvik_resp::{ReplyDecoder, Value};

use crate::config;
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a backend, or why there is none.
pub(crate) fn start(io: &str, threads: usize, settings: &[&str]) -> Result<Server, String> {
    let (port, threads) = (free_port().to_string(), threads.to_string());
    let bind = ["--port", &port, "--bind", "127.0.0.1", "--memory"];
    let args = [&bind[..], &["--io", io, "--threads", &threads], settings].concat();
    let args: Vec<_> = args.iter().map(std::ffi::OsString::from).collect();
    let loaded =
        config::load(&args, [], &mut std::io::empty()).map_err(|error| error.to_string())?;
    Server::start(Arc::new(loaded.config)).map_err(|error| error.to_string())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A client that waits for each reply it asks for.
pub(crate) struct Client {
    stream: TcpStream,
    decoder: ReplyDecoder,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn of(server: &Server) -> Self {
        let stream = TcpStream::connect(server.addresses()[0]).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            decoder: ReplyDecoder::new(),
            received: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, lines: &str) {
        self.stream.write_all(lines.as_bytes()).unwrap();
    }

    /// The next reply; `None` when the server has closed.
    pub(crate) fn reply(&mut self) -> Option<Value> {
        loop {
            if let Some((value, len)) = self.decoder.decode(&self.received).unwrap() {
                self.received.drain(..len);
                return Some(value);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    /// Whether bytes come within a short time.
    pub(crate) fn hears(&mut self) -> bool {
        const SHORT: Duration = Duration::from_millis(50);
        self.stream.set_read_timeout(Some(SHORT)).unwrap();
        let heard = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        heard.is_ok()
    }

    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.send(&format!("{line}\r\n"));
        self.reply().unwrap()
    }

    /// The thread that serves it, as CLIENT INFO says.
    pub(crate) fn thread(&mut self) -> usize {
        let info = self.ask("CLIENT INFO");
        let info = String::from_utf8_lossy(info.as_bytes().unwrap()).into_owned();
        let mut fields = info.split_whitespace();
        let thread = fields.find_map(|field| field.strip_prefix("io-thread="));
        thread.unwrap().parse().unwrap()
    }
}
